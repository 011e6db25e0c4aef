package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
)

// goModules are the modules by their folder under agents.
var goModules = map[string]string{"go": "flyball.dev/agent", "go/prom": "flyball.dev/agent/prom"}

// modules writes both modules as a module proxy serves them, so that
// GOPROXY=file://.../go is all that a user of unpublished ones needs.
func (t *tree) modules() error {
	release, err := t.version("go")
	if err != nil {
		return err
	}
	if err := os.RemoveAll(t.to("go")); err != nil {
		return err
	}
	for folder, name := range goModules {
		if err := t.module(folder, module.Version{Path: name, Version: "v" + release}); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (t *tree) module(folder string, version module.Version) error {
	root := t.path("agents", folder)
	files, err := sources(root)
	if err != nil {
		return err
	}
	// As the go command does for a module in a folder of a repository.
	files = append(files, file{"LICENSE", t.path("LICENSE")})
	var zip bytes.Buffer
	if err := modzip.Create(&zip, version, files); err != nil {
		return err
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return err
	}
	info, err := json.Marshal(struct {
		Version string
		Time    time.Time
	}{version.Version, t.time})
	if err != nil {
		return err
	}
	escaped, err := module.EscapePath(version.Path)
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{
		"list":                    []byte(version.Version + "\n"),
		version.Version + ".info": info,
		version.Version + ".mod":  mod,
		version.Version + ".zip":  zip.Bytes(),
	} {
		if err := write(t.to("go", escaped, "@v", name), text); err != nil {
			return err
		}
	}
	return nil
}

// sources are the files of a module that are worth a place in it; what lies
// about in the folder beside them is not. The tests compare with what the go
// command makes of a tag.
func sources(root string) ([]modzip.File, error) {
	var files []modzip.File
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil && below != "." {
				return filepath.SkipDir // a module of its own
			}
			return nil
		}
		kind := path.Ext(name)
		if kind == ".go" || kind == ".md" || below == "go.mod" || below == "go.sum" {
			files = append(files, file{filepath.ToSlash(below), name})
		}
		return nil
	})
	return files, err
}

// file is one of a module, by its name there and its name here.
type file struct{ inside, here string }

func (f file) Path() string                 { return f.inside }
func (f file) Lstat() (fs.FileInfo, error)  { return os.Lstat(f.here) }
func (f file) Open() (io.ReadCloser, error) { return os.Open(f.here) }
