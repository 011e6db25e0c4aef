package cli

import (
	"errors"
	"fmt"

	"flyball.dev/testbed/internal/bed"
)

var nodeExporterCommands = map[string]command{
	"up":    nodeExporterUp,
	"down":  nodeExporterDown,
	"serve": nodeExporterServe,
}

func nodeExporter(args []string) error {
	if len(args) > 0 {
		if run, known := nodeExporterCommands[args[0]]; known {
			return run(args[1:])
		}
	}
	return usageError{errors.New("node-exporter: say up or down")}
}

// nodeExporterUp prints HOST:PORT, and nothing else, on stdout.
func nodeExporterUp(args []string) error {
	dir, err := onlyFolder("node-exporter up", args)
	if err != nil {
		return err
	}
	address, err := bed.NodeExporterUp(dir, say)
	if err != nil {
		return err
	}
	fmt.Println(address)
	return nil
}

func nodeExporterDown(args []string) error {
	dir, err := onlyFolder("node-exporter down", args)
	if err != nil {
		return err
	}
	return bed.NodeExporterDown(dir)
}

// nodeExporterServe becomes the exporter's process; `up` starts it.
func nodeExporterServe(args []string) error {
	dir, err := onlyFolder("node-exporter serve", args)
	if err != nil {
		return err
	}
	return bed.NodeExporterServe(dir)
}
