// Command fetch brings Prometheus from the distribution's packages into the test
// bed's folder, for tests that need no cluster, and prints the server's path. It
// is a program of its own because testbed itself takes minutes to build.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"

	"flyball.dev/testbed/internal/layout"
	"flyball.dev/testbed/internal/packages"
)

func main() {
	folder := flag.String("dir", ".testbed", "the test bed's folder")
	flag.Parse()
	path, err := fetch(*folder)
	if err != nil {
		fmt.Fprintln(os.Stderr, "fetch:", err)
		os.Exit(1)
	}
	fmt.Println(path)
}

func fetch(folder string) (string, error) {
	dir, err := layout.Open(folder)
	if err != nil {
		return "", err
	}
	unlock, err := dir.LockPrometheus()
	if err != nil {
		return "", err
	}
	defer unlock()
	err = packages.Ensure(dir, packages.Prometheus, func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
	})
	if errors.Is(err, packages.ErrNoApt) {
		if server, lookErr := exec.LookPath("prometheus"); lookErr == nil {
			return server, nil
		}
	}
	return dir.Unpacked("usr/bin/prometheus"), err
}
