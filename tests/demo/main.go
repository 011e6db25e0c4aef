// Command demo is a small HTTP service whose latency behaves like a real one's,
// and an open-loop load for it. The demo and the tests scale it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"flyball.dev/demo/internal/load"
	"flyball.dev/demo/internal/serve"
)

func main() {
	// A second signal ends the program at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "serve":
			return serve.Main(ctx, args[1:])
		case "load":
			return load.Main(ctx, args[1:])
		}
	}
	return errors.New("say what to do: demo serve or demo load (-h shows the flags)")
}
