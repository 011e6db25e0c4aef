// Package serve is a service with a fixed number of workers, a real service
// time and a bounded queue.
package serve

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// Main runs the service until the context ends.
func Main(ctx context.Context, args []string) error {
	settings, err := parse(args)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", settings.Listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "demo: serving on %s with %d workers of %s\n", listener.Addr(), settings.Workers, settings.ServiceTime)
	service := newService(settings)
	server := &http.Server{Handler: service.handler(), ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return drain(service, server)
	}
}

func parse(args []string) (Settings, error) {
	var s Settings
	flags := flag.NewFlagSet("demo serve", flag.ContinueOnError)
	flags.StringVar(&s.Listen, "listen", ":8080", "address to serve on: / does the work, /healthz, /metrics, /admin/speed")
	flags.IntVar(&s.Workers, "workers", 4, "requests that are worked on at a time")
	flags.IntVar(&s.Queue, "queue", 200, "requests that may wait; further ones get a 503")
	flags.DurationVar(&s.ServiceTime, "service-time", 100*time.Millisecond, "time that the work takes")
	flags.DurationVar(&s.Jitter, "jitter", 0, "spread of the service time to both sides")
	flags.StringVar(&s.Dependency, "dependency", "", "URL that each request calls and waits for as part of its work")
	flags.DurationVar(&s.Drain, "drain", 5*time.Second, "time to finish after SIGTERM")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if s.Workers < 1 || s.Queue < 0 || s.ServiceTime < 0 || s.Jitter < 0 {
		return s, errors.New("serve: --workers must be at least 1; --queue, --service-time and --jitter must not be negative")
	}
	return s, nil
}

// drain ends in two steps. First the service says that it is not ready, and
// still takes what its callers send until they have heard; then it takes
// nothing new and finishes what it has.
func drain(service *service, server *http.Server) error {
	service.draining.Store(true)
	server.SetKeepAlivesEnabled(false)
	time.Sleep(service.settings.Drain / 5)
	ctx, cancel := context.WithTimeout(context.Background(), service.settings.Drain*4/5)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return fmt.Errorf("some requests were not finished within %s: %w", service.settings.Drain, err)
	}
	service.pool.close()
	return nil
}
