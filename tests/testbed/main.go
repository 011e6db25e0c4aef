// Command testbed is a Kubernetes cluster in one binary, and its supervisor.
// Under the name of an upstream program (a link, or the first argument) it is
// that program; otherwise it is the command line of package cli.
package main

import (
	"os"
	"path/filepath"

	"flyball.dev/testbed/components"
	"flyball.dev/testbed/internal/cli"
)

func main() {
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	if code, ok := components.Run(name, args); ok {
		os.Exit(code)
	}
	if len(args) > 0 {
		if code, ok := components.Run(args[0], args[1:]); ok {
			os.Exit(code)
		}
	}
	os.Exit(cli.Run(os.Args[1:]))
}
