// Command heap is a small HTTP service whose memory behaves as it is told: its
// live heap, what a request and a second allocate, a leak, a cache. It has
// Flyball's agent, and does what a service should when memory gets short.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"syscall"
	"time"

	"flyball.dev/agent"
	_ "flyball.dev/agent/prom" // the agent's metrics beside those of the service

	"flyball.dev/heap/internal/heap"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	if err := run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "heap: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	listen := flag.String("listen", ":8080", "address to serve on: / does the work, /healthz, /metrics, /admin/heap")
	flag.Parse()
	settings, err := heap.FromEnvironment(os.Getenv)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	service := heap.New(settings)
	agent.OnPressure(func(level agent.Level) { service.Pressure(int(level)) })
	go service.Run(ctx)
	handler := service.Handler()
	if os.Getenv("HEAP_PPROF") == "on" {
		handler = withProfiles(handler)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() {
		ending, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(ending) // what is not done by then is not done
	})
	fmt.Fprintf(os.Stderr, "heap: serving on %s with %+v\n", listener.Addr(), settings)
	if err := server.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// withProfiles serves what net/http/pprof has beside the service. That package
// puts it into http.DefaultServeMux, which is not served here.
func withProfiles(service http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", service)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}
