// Package packages brings the programs that the node needs from the
// distribution's own packages without installing them: they are downloaded and
// unpacked into the test bed's folder, so that no service of the machine is
// started, changed or removed.
package packages

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"

	"flyball.dev/testbed/internal/layout"
)

// Set is a group of packages and the programs that prove it is there.
type Set struct {
	packages []string
	programs []string // below the unpacked root
}

// Node is what a node runs: the container runtime, the network plugins, and
// nft for kube-proxy with the libraries that a small system lacks.
var Node = Set{
	packages: []string{
		"containerd", "runc", "containernetworking-plugins", "libseccomp2",
		"nftables", "libnftables1", "libnftnl11", "libmnl0", "libxtables12", "libjansson4", "libedit2", "libbsd0",
	},
	programs: []string{"usr/bin/containerd", "usr/bin/ctr", "usr/sbin/runc", "usr/lib/cni/bridge", "usr/sbin/nft"},
}

// Prometheus is the server and promtool.
var Prometheus = Set{
	packages: []string{"prometheus"},
	programs: []string{"usr/bin/prometheus", "usr/bin/promtool"},
}

// ErrNoApt says that this machine has no apt.
var ErrNoApt = errors.New("apt-get and dpkg-deb are needed for containerd, runc and Prometheus: use a Debian or Ubuntu machine")

// Ensure downloads and unpacks the set if any of its programs is missing.
func Ensure(dir layout.Dir, set Set, say func(format string, args ...any)) error {
	if set.unpacked(dir) {
		return nil
	}
	for _, tool := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return ErrNoApt
		}
	}
	say("fetching packages: %s", strings.Join(set.packages, " "))
	// Archives go to a folder of their own, so that what is unpacked is exactly
	// what this call has downloaded.
	if err := os.MkdirAll(dir.Packages(), 0o755); err != nil {
		return err
	}
	archives, err := os.MkdirTemp(dir.Packages(), "archives-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(archives)
	if err := download(archives, set.packages); err != nil {
		// The package lists may be missing or too old for the archive.
		if err := apt(archives, "update"); err != nil {
			return err
		}
		if err := download(archives, set.packages); err != nil {
			return err
		}
	}
	if err := unpack(archives, dir.Unpacked("")); err != nil {
		return err
	}
	if !set.unpacked(dir) {
		return fmt.Errorf("the packages %s do not hold %s on this distribution", strings.Join(set.packages, ", "), strings.Join(set.programs, ", "))
	}
	return nil
}

func (s Set) unpacked(dir layout.Dir) bool {
	for _, program := range s.programs {
		if _, err := os.Stat(dir.Unpacked(program)); err != nil {
			return false
		}
	}
	return true
}

func download(folder string, packages []string) error {
	return apt(folder, append([]string{"download"}, packages...)...)
}

func apt(folder string, args ...string) error {
	// The download user of apt may not enter our folder.
	args = append([]string{"-q", "-o", "APT::Sandbox::User=root"}, args...)
	return run(folder, "apt-get", args...)
}

func unpack(folder, root string) error {
	archives, err := filepath.Glob(filepath.Join(folder, "*.deb"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	for _, archive := range archives {
		if err := run(folder, "dpkg-deb", "-x", archive, root); err != nil {
			return err
		}
	}
	return nil
}

func run(folder, program string, args ...string) error {
	cmd := exec.Command(program, args...)
	cmd.Dir = folder
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		return fmt.Errorf("%s %s: %w: %s", program, args[len(args)-1], err, lines[len(lines)-1])
	}
	return nil
}

// Env lets unpacked programs find each other and their libraries.
func Env(dir layout.Dir) []string {
	path := strings.Join([]string{dir.Unpacked("usr/bin"), dir.Unpacked("usr/sbin"), os.Getenv("PATH")}, ":")
	return []string{"PATH=" + path, "LD_LIBRARY_PATH=" + strings.Join(libraryFolders(dir), ":")}
}

// libraryFolders are the folders with shared libraries among the unpacked
// files: /usr/lib/<architecture>, and /lib/<architecture> in older packages.
func libraryFolders(dir layout.Dir) []string {
	folders := map[string]bool{}
	for _, pattern := range []string{"usr/lib/*/*.so.*", "lib/*/*.so.*"} {
		files, _ := filepath.Glob(dir.Unpacked(pattern))
		for _, file := range files {
			folders[filepath.Dir(file)] = true
		}
	}
	var sorted []string
	for folder := range folders {
		sorted = append(sorted, folder)
	}
	sort.Strings(sorted)
	return sorted
}
