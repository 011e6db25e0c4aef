package runtimes

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"flyball.dev/testbed/internal/layout"
	"flyball.dev/testbed/internal/packages"
)

// search is where runtimes are looked for.
type search struct {
	root string   // "": the machine's own; else below this folder of unpacked packages
	env  []string // that programs found there need
}

// wanted are the runtimes by name: how each is looked for, and the packages to
// take it from where there is none.
var wanted = map[string]struct {
	find func(search) (place, error)
	from packages.Set
}{
	"java17": {func(s search) (place, error) { return s.java("17") }, packages.Java("17")},
	"java25": {func(s search) (place, error) { return s.java("25") }, packages.Java("25")},
	"node":   {search.node, packages.NodeJS},
	"python": {search.python, packages.Python},
}

// Names are those of all runtimes.
func Names() []string { return slices.Sorted(maps.Keys(wanted)) }

// Find looks for runtimes on this machine, and fetches those that are not there
// from the distribution's packages. What is to be had neither way is in the
// answer too, with the reason.
func Find(dir layout.Dir, names []string, say func(format string, args ...any)) (map[string]Runtime, error) {
	found := map[string]Runtime{}
	for _, name := range names {
		runtime, known := wanted[name]
		if !known {
			return nil, fmt.Errorf("there is no runtime %q: one of %s", name, strings.Join(Names(), ", "))
		}
		found[name] = get(dir, say, runtime.find, runtime.from)
		if missing := found[name].Missing; missing != "" {
			say("%s is missing: %s", name, missing)
		}
	}
	return found, nil
}

func get(dir layout.Dir, say func(string, ...any), find func(search) (place, error), from packages.Set) Runtime {
	place, err := find(search{})
	if err != nil {
		if fetchErr := packages.Ensure(dir, from, say); fetchErr != nil {
			return Runtime{Missing: fmt.Sprintf("%v; %v", err, fetchErr)}
		}
		if place, err = find(search{root: dir.Unpacked(""), env: packages.Env(dir)}); err != nil {
			return Runtime{Missing: err.Error()}
		}
		place.fetched(dir)
	}
	libraries, err := Libraries(place.program, place.env)
	if err != nil {
		return Runtime{Missing: err.Error()}
	}
	return place.runtime(libraries)
}

// fetched gives a program from an unpacked package the libraries beside it.
func (p *place) fetched(dir layout.Dir) {
	const name = "LD_LIBRARY_PATH"
	for _, setting := range packages.Env(dir) {
		if path, found := strings.CutPrefix(setting, name+"="); found && path != "" {
			p.env = map[string]string{name: path}
			p.binds = append(p.binds, same(filepath.SplitList(path)...)...)
		}
	}
}

// java takes any kit of this major version that lies where distributions put
// them, or that JAVA_HOME names.
func (s search) java(major string) (place, error) {
	homes, err := filepath.Glob(filepath.Join(s.root, "/usr/lib/jvm/*"))
	if err != nil {
		return place{}, err
	}
	if home := os.Getenv("JAVA_HOME"); home != "" && s.root == "" {
		homes = append(homes, home)
	}
	for _, home := range homes {
		program, err := filepath.EvalSymlinks(filepath.Join(home, "bin", "java"))
		if err != nil {
			continue
		}
		home = filepath.Dir(filepath.Dir(program))
		version := javaVersion(home)
		if version != major && !strings.HasPrefix(version, major+".") {
			continue
		}
		links, err := s.linked(home)
		return place{program: program, version: version, binds: append(links, same(home)...)}, err
	}
	return place{}, fmt.Errorf("no Java %s in /usr/lib/jvm or JAVA_HOME", major)
}

// javaVersion reads it from the file that every kit has.
func javaVersion(home string) string {
	data, err := os.ReadFile(filepath.Join(home, "release"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), "JAVA_VERSION="); found {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

// linked are the folders below /etc that links in a folder lead to: Debian keeps
// a kit's settings there.
func (s search) linked(folder string) ([]bind, error) {
	var found []bind
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeSymlink == 0 {
			return err
		}
		target, err := os.Readlink(path)
		if err != nil || !strings.HasPrefix(target, "/etc/") {
			return err
		}
		if _, err := os.Stat(filepath.Join(s.root, target)); err == nil {
			target = filepath.Dir(target)
			found = append(found, bind{filepath.Join(s.root, target), target})
		}
		return nil
	})
	return found, err
}

// node takes the one on the path. What is there may be a script of a version
// manager, so it is asked who it is.
func (s search) node() (place, error) {
	var said struct{ Path, Version string }
	const question = `console.log(JSON.stringify({Path: process.execPath, Version: process.versions.node}))`
	if err := s.ask([]string{"node", "nodejs"}, []string{"-e", question}, &said); err != nil {
		return place{}, fmt.Errorf("no Node: %w", err)
	}
	program, err := filepath.EvalSymlinks(said.Path)
	return place{program: program, version: said.Version, binds: s.nodeModules()}, err
}

// python takes the one on the path, or the one that environments on the path
// are made from.
func (s search) python() (place, error) {
	var said struct {
		Path, Version, Prefix string
		Library               []string
	}
	const question = `import json, os, platform, sys, sysconfig
print(json.dumps({"Path": os.path.realpath(sys.executable), "Version": platform.python_version(),
    "Prefix": sys.base_prefix, "Library": [sysconfig.get_path(p) for p in ("stdlib", "platstdlib")]}))`
	if err := s.ask([]string{"python3", "/usr/bin/python3"}, []string{"-I", "-c", question}, &said); err != nil {
		return place{}, fmt.Errorf("no Python: %w", err)
	}
	found := place{program: said.Path, version: said.Version, binds: same(said.Prefix)}
	if said.Prefix == "/usr" {
		found.binds = same(said.Library...)
	}
	return found, nil
}

// nodeModules are those that Debian's Node keeps beside it, by a path that is built in.
func (s search) nodeModules() []bind {
	const folder = "/usr/share/nodejs"
	if _, err := os.Stat(filepath.Join(s.root, folder)); err != nil {
		return nil
	}
	return []bind{{filepath.Join(s.root, folder), folder}}
}

// ask runs the first of these programs that can answer in JSON.
func (s search) ask(programs, args []string, answer any) error {
	var failures []error
	for _, program := range programs {
		if s.root != "" {
			program = filepath.Join(s.root, "usr/bin", filepath.Base(program))
		}
		cmd := exec.Command(program, args...)
		cmd.Env = append(os.Environ(), s.env...)
		out, err := cmd.Output()
		if err == nil {
			err = json.Unmarshal(out, answer)
		}
		if err == nil {
			return nil
		}
		failures = append(failures, fmt.Errorf("%s: %w", program, err))
	}
	return errors.Join(failures...)
}
