package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"flyball.dev/testbed/internal/bed"
	"flyball.dev/testbed/internal/layout"
)

var metricsCommands = map[string]command{
	"up":    metricsUp,
	"down":  metricsDown,
	"serve": metricsServe,
}

func metrics(args []string) error {
	if len(args) > 0 {
		if run, known := metricsCommands[args[0]]; known {
			return run(args[1:])
		}
	}
	return usageError{errors.New("metrics: say up or down")}
}

// metricsUp prints the URL at which values are set, and nothing else, on stdout.
func metricsUp(args []string) error {
	dir, err := onlyFolder("metrics up", args)
	if err != nil {
		return err
	}
	url, err := bed.MetricsUp(dir, say)
	if err != nil {
		return err
	}
	fmt.Println(url)
	return nil
}

func metricsDown(args []string) error {
	dir, err := onlyFolder("metrics down", args)
	if err != nil {
		return err
	}
	return bed.MetricsDown(dir)
}

// metricsServe is the server's process; `up` starts it.
func metricsServe(args []string) error {
	dir, err := onlyFolder("metrics serve", args)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return bed.MetricsServe(ctx, dir)
}

func onlyFolder(command string, args []string) (layout.Dir, error) {
	flags := newFlags(command)
	dir, err := flags.parse(args)
	if err != nil {
		return "", err
	}
	return dir, flags.noArguments()
}
