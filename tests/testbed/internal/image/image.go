// Package image builds container images from static binaries, without a
// container engine. The same input gives the same bytes.
package image

import (
	"archive/tar"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"runtime"
	"sort"
	"strings"
	"time"
)

// File is a file of the image.
type File struct {
	Path string // absolute, in the image
	Mode int64
	Data []byte
}

// Image is one layer of files and how to run it.
type Image struct {
	Name       string // with its tag, such as flyball.dev/demo:dev
	Entrypoint []string
	User       string // uid or uid:gid; empty is root
	Arch       string // as Go names it; empty is this machine's
	Files      []File
}

// epoch is the time of everything in an image: its content alone decides.
var epoch = time.Unix(0, 0).UTC()

// Write writes the image as an archive that `docker load` and
// `ctr images import` take.
func (i Image) Write(out io.Writer) error {
	if !strings.Contains(i.Name, ":") {
		return fmt.Errorf("image %q: give its name with a tag, such as flyball.dev/demo:dev", i.Name)
	}
	layer, err := i.layer()
	if err != nil {
		return err
	}
	config, err := i.config(digest(layer))
	if err != nil {
		return err
	}
	configName, layerName := digest(config)+".json", digest(layer)+".tar"
	manifest, err := json.Marshal([]map[string]any{{
		"Config": configName, "RepoTags": []string{i.Name}, "Layers": []string{layerName},
	}})
	if err != nil {
		return err
	}
	archive := tar.NewWriter(out)
	for _, file := range []File{{"manifest.json", 0o644, manifest}, {configName, 0o644, config}, {layerName, 0o644, layer}} {
		if err := add(archive, file); err != nil {
			return err
		}
	}
	return archive.Close()
}

func (i Image) layer() ([]byte, error) {
	var buffer bytes.Buffer
	layer := tar.NewWriter(&buffer)
	files := append([]File(nil), i.Files...)
	sort.Slice(files, func(a, b int) bool { return files[a].Path < files[b].Path })
	made := map[string]bool{}
	for _, file := range files {
		file.Path = strings.TrimPrefix(path.Clean(file.Path), "/")
		if err := addParents(layer, file.Path, made); err != nil {
			return nil, err
		}
		if err := add(layer, file); err != nil {
			return nil, err
		}
	}
	err := layer.Close()
	return buffer.Bytes(), err
}

func addParents(layer *tar.Writer, file string, made map[string]bool) error {
	parent := path.Dir(file)
	if parent == "." || made[parent] {
		return nil
	}
	if err := addParents(layer, parent, made); err != nil {
		return err
	}
	made[parent] = true
	return layer.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: parent + "/", Mode: 0o755, ModTime: epoch, Format: tar.FormatUSTAR})
}

func add(archive *tar.Writer, file File) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: file.Path, Mode: file.Mode, Size: int64(len(file.Data)), ModTime: epoch, Format: tar.FormatUSTAR}
	if err := archive.WriteHeader(header); err != nil {
		return fmt.Errorf("add %s: %w", file.Path, err)
	}
	_, err := archive.Write(file.Data)
	return err
}

// config is the image's description as the OCI image format has it.
func (i Image) config(layer string) ([]byte, error) {
	return json.Marshal(map[string]any{
		"architecture": cmp.Or(i.Arch, runtime.GOARCH),
		"os":           "linux",
		"created":      epoch.Format(time.RFC3339),
		"config":       map[string]any{"Entrypoint": i.Entrypoint, "User": i.User, "WorkingDir": "/"},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + layer}},
	})
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
