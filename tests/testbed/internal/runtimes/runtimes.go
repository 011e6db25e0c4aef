// Package runtimes finds the language runtimes of this machine, for pods that
// run a JVM, Node or Python. An image that holds one is large, and there is no
// registry to take it from; so such a pod has an image with next to nothing in
// it, and sees the machine's own runtime, with the libraries it is linked to,
// through mounts that it can't write to.
package runtimes

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Image is what the pods run in: a user database, and no program that they need.
const Image = "flyball.dev/runtime:1"

// Mount is a folder or a file of the machine, as a hostPath volume and its
// volumeMount have it.
type Mount struct {
	Name      string `json:"name"`
	HostPath  string `json:"hostPath"`
	MountPath string `json:"mountPath"`
}

// Runtime is how a pod runs one, or why there is none.
type Runtime struct {
	Image   string            `json:"image,omitempty"`
	Command []string          `json:"command,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
	Mounts  []Mount           `json:"mounts,omitempty"` // all read-only
	Version string            `json:"version,omitempty"`
	Missing string            `json:"missing,omitempty"` // why there is none; nothing else is set then
}

// place is a runtime that was found.
type place struct {
	program string // its real path: what is run
	version string // as it says itself
	binds   []bind // files and folders that it reads, the program's libraries excepted
	env     map[string]string
}

// bind is a place of the machine, and where a pod sees it. Nearly always it is the
// same path, so that links and search paths hold.
type bind struct{ host, at string }

func same(paths ...string) []bind {
	var binds []bind
	for _, path := range paths {
		binds = append(binds, bind{path, path})
	}
	return binds
}

// runtime puts together what a pod is given.
func (p place) runtime(libraries []string) Runtime {
	hosts := map[string]string{}
	for _, bind := range slices.Concat(same(p.program), same(libraries...), p.binds) {
		hosts[bind.at] = bind.host
	}
	var mounts []Mount
	for _, at := range outermost(slices.Collect(maps.Keys(hosts))) {
		host := hosts[at]
		if real, err := filepath.EvalSymlinks(host); err == nil {
			host = real
		}
		mounts = append(mounts, Mount{Name: volumeName(at), HostPath: host, MountPath: at})
	}
	return Runtime{Image: Image, Command: []string{p.program}, Env: p.env, Mounts: mounts, Version: p.version}
}

// outermost sorts paths, and leaves out what another one of them contains.
func outermost(paths []string) []string {
	sorted := slices.Clone(paths)
	slices.Sort(sorted)
	sorted = slices.Compact(sorted)
	return slices.DeleteFunc(slices.Clone(sorted), func(path string) bool {
		return slices.ContainsFunc(sorted, func(other string) bool {
			return other != path && strings.HasPrefix(path, strings.TrimSuffix(other, "/")+"/")
		})
	})
}

var noLabel = regexp.MustCompile(`[^a-z0-9]+`)

// volumeName is the same for the same path, so that a pod with two runtimes can
// share volumes, and a DNS label.
func volumeName(path string) string {
	sum := sha256.Sum256([]byte(path))
	name := strings.Trim(noLabel.ReplaceAllString(strings.ToLower(filepath.Base(path)), "-"), "-")
	name = strings.Trim(name[:min(len(name), 40)], "-")
	return strings.TrimPrefix(name+"-"+hex.EncodeToString(sum[:4]), "-")
}

// Print writes one JSON object, each runtime on a line of its own.
func Print(out io.Writer, found map[string]Runtime) error {
	var lines []string
	for name, runtime := range found {
		data, err := json.Marshal(runtime)
		if err != nil {
			return err
		}
		lines = append(lines, fmt.Sprintf("%q: %s", name, data))
	}
	slices.Sort(lines)
	_, err := fmt.Fprintf(out, "{%s}\n", strings.Join(lines, ",\n "))
	return err
}
