// Package packages brings the programs that the node needs from the
// distribution's own packages without installing them: they are downloaded and
// unpacked into the test bed's folder, so that no service of the machine is
// started, changed or removed.
package packages

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"flyball.dev/testbed/internal/layout"
)

// Set is a group of packages and the programs that prove it is there.
type Set struct {
	packages []string
	programs []string // below the unpacked root; patterns where a name differs by architecture
	// With all that they depend on and this machine lacks. What a release of the
	// distribution splits a runtime into is not for us to know.
	dependencies bool
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

// NodeExporter tells of the machine's memory as Prometheus reads it.
var NodeExporter = Set{
	packages: []string{"prometheus-node-exporter"},
	programs: []string{"usr/bin/prometheus-node-exporter"},
}

// NodeJS is the runtime, without npm.
var NodeJS = Set{packages: []string{"nodejs"}, programs: []string{"usr/bin/node*"}, dependencies: true}

// Python is the distribution's default version of it.
var Python = Set{packages: []string{"python3"}, programs: []string{"usr/bin/python3*"}, dependencies: true}

// Java is a development kit without a desktop, by its major version.
func Java(major string) Set {
	return Set{
		packages:     []string{"openjdk-" + major + "-jdk-headless"},
		programs:     []string{"usr/lib/jvm/java-" + major + "-openjdk-*/bin/java"},
		dependencies: true,
	}
}

// ErrNoApt says that this machine has no apt.
var ErrNoApt = errors.New("apt-get and dpkg-deb are needed to fetch packages: use a Debian or Ubuntu machine")

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
	if err := set.download(archives); err != nil {
		// The package lists may be missing or too old for the archive.
		if err := apt(archives, "update"); err != nil {
			return err
		}
		if err := set.download(archives); err != nil {
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
		if found, err := filepath.Glob(dir.Unpacked(program)); err != nil || len(found) == 0 {
			return false
		}
	}
	return true
}

func (s Set) download(folder string) error {
	names := s.packages
	if s.dependencies {
		uris, err := output(folder, "apt-get", append([]string{"-q", "-y", "--no-install-recommends", "--print-uris", "install"}, names...)...)
		if err != nil {
			return err
		}
		// One that is installed is not among them, though it may be what was asked for.
		names = append(archived(uris), names...)
		slices.Sort(names)
		names = slices.Compact(names)
	}
	return apt(folder, append([]string{"download"}, names...)...)
}

// archived are the names of the packages in apt's list of URIs, whose lines read
// 'URI' NAME_VERSION_ARCHITECTURE.deb SIZE SUM.
func archived(uris string) []string {
	var names []string
	for line := range strings.Lines(uris) {
		fields := strings.Fields(line)
		if len(fields) < 3 || !strings.HasPrefix(fields[0], "'") {
			continue
		}
		if name, _, found := strings.Cut(fields[1], "_"); found {
			names = append(names, name)
		}
	}
	return names
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
	_, err := output(folder, program, args...)
	return err
}

// output is all that a program says; the last line of it is why it failed.
func output(folder, program string, args ...string) (string, error) {
	cmd := exec.Command(program, args...)
	cmd.Dir = folder
	out, err := cmd.CombinedOutput()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return "", fmt.Errorf("%s %s: %w: %s", program, args[len(args)-1], err, lines[len(lines)-1])
	}
	return string(out), nil
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
