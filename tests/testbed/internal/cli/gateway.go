package cli

import (
	"encoding/json"
	"errors"
	"os"

	"flyball.dev/testbed/internal/bed"
)

var gatewayCommands = map[string]command{
	"up":    gatewayUp,
	"down":  gatewayDown,
	"serve": gatewayServe,
}

func gateway(args []string) error {
	if len(args) > 0 {
		if run, known := gatewayCommands[args[0]]; known {
			return run(args[1:])
		}
	}
	return usageError{errors.New("gateway: say up or down")}
}

// gatewayUp prints one line of JSON, and nothing else, on stdout.
func gatewayUp(args []string) error {
	dir, err := onlyFolder("gateway up", args)
	if err != nil {
		return err
	}
	found, err := bed.GatewayUp(dir, say)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}

func gatewayDown(args []string) error {
	dir, err := onlyFolder("gateway down", args)
	if err != nil {
		return err
	}
	return bed.GatewayDown(dir)
}

// gatewayServe becomes the gateway's process; `up` starts it.
func gatewayServe(args []string) error {
	dir, err := onlyFolder("gateway serve", args)
	if err != nil {
		return err
	}
	return bed.GatewayServe(dir)
}
