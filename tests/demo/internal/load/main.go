// Package load sends requests at a planned rate, whatever becomes of them.
package load

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// settings are the load's flags.
type settings struct {
	url        string
	host       string
	kubeconfig string
	namespace  string
	service    string
	path       string
	plan       string
	rateFile   string
	out        string
	timeout    time.Duration
	maxWorkers uint64
}

// Main runs the load until its plan or the context ends.
func Main(ctx context.Context, args []string) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	schedule, err := s.schedule()
	if err != nil {
		return err
	}
	target, err := s.target(ctx)
	if err != nil {
		return err
	}
	out, err := s.output()
	if err != nil {
		return err
	}
	defer out.Close()
	return target.attack(ctx, s, schedule, out)
}

func parse(args []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("demo load", flag.ContinueOnError)
	flags.StringVar(&s.service, "service", "", "Service whose ready endpoints take the requests in turn")
	flags.StringVar(&s.namespace, "namespace", "default", "namespace of the Service")
	flags.StringVar(&s.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "credentials to find the endpoints (in a pod: its own account)")
	flags.StringVar(&s.path, "path", "/", "path to ask the endpoints for")
	flags.StringVar(&s.url, "url", "", "plain URL to ask, instead of a Service")
	flags.StringVar(&s.host, "host", "", "host to ask for, where it is not that of the URL: behind a gateway")
	flags.StringVar(&s.plan, "plan", "", "requests a second and for how long, such as 20x30s,60x2m,20x1m")
	flags.StringVar(&s.rateFile, "rate-file", "", "file with the rate, read each second, instead of a plan")
	flags.StringVar(&s.out, "out", "", "file for the report (default: standard output)")
	flags.DurationVar(&s.timeout, "timeout", 10*time.Second, "time a request may take")
	flags.Uint64Var(&s.maxWorkers, "max-workers", 5000, "requests that may be under way; beyond that they start late")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	switch {
	case (s.service == "") == (s.url == ""):
		return s, errors.New("load: give one of --service and --url")
	case (s.plan == "") == (s.rateFile == ""):
		return s, errors.New("load: give one of --plan and --rate-file")
	case s.timeout <= 0 || s.maxWorkers == 0:
		return s, errors.New("load: --timeout and --max-workers must be positive")
	}
	return s, nil
}

// schedule is the plan, or an empty one that a rate file will fill.
func (s settings) schedule() (*schedule, error) {
	if s.rateFile != "" {
		return newSchedule(), nil
	}
	stages, err := parsePlan(s.plan)
	if err != nil {
		return nil, err
	}
	return planned(stages), nil
}

func (s settings) output() (io.WriteCloser, error) {
	if s.out == "" {
		return os.Stdout, nil
	}
	return os.Create(s.out)
}

// target is what takes the requests.
type target struct {
	url       string
	transport http.RoundTripper
	endpoints func() int
}

func (s settings) target(ctx context.Context) (target, error) {
	// Connections are kept: a burst of new ones would measure the network.
	under := &http.Transport{MaxIdleConnsPerHost: int(s.maxWorkers), IdleConnTimeout: 30 * time.Second}
	if s.url != "" {
		return target{url: s.url, transport: under, endpoints: func() int { return 1 }}, nil
	}
	found, err := watchService(ctx, s.kubeconfig, s.namespace, s.service)
	if err != nil {
		return target{}, err
	}
	// The host is replaced for each request; this one names the Service.
	url := fmt.Sprintf("http://%s.%s%s", s.service, s.namespace, s.path)
	return target{url: url, transport: spread{found, under}, endpoints: found.count}, nil
}

// request is what is sent each time.
func request(url, host string) vegeta.Target {
	target := vegeta.Target{Method: http.MethodGet, URL: url}
	if host != "" {
		// Vegeta makes it the request's host.
		target.Header = http.Header{"Host": {host}}
	}
	return target
}

// attack runs the schedule and reports each second.
func (t target) attack(ctx context.Context, s settings, schedule *schedule, out io.Writer) error {
	const firstWorkers = 10
	attacker := vegeta.NewAttacker(
		vegeta.Client(&http.Client{Transport: t.transport, Timeout: s.timeout}),
		vegeta.Workers(firstWorkers), vegeta.MaxWorkers(s.maxWorkers),
	)
	began := make(chan time.Time, 1)
	pacer := &pacer{schedule: schedule, ctx: ctx, started: func(at time.Time) { began <- at }}
	targeter := vegeta.NewStaticTargeter(request(t.url, s.host))
	results := attacker.Attack(targeter, pacer, 0, "")

	report := newReport(schedule, out, t.endpoints)
	report.began = <-began
	since := func() time.Duration { return time.Since(report.began) }
	if s.rateFile != "" {
		warn := func(err error) { fmt.Fprintf(os.Stderr, "demo: %v\n", err) }
		go steer(ctx, schedule, s.rateFile, since, warn)
	}
	// The pacer may be waiting for a free sender when the context ends.
	stopped := forever
	ended := ctx.Done()
	ticker := time.NewTicker(time.Second / 10)
	defer ticker.Stop()
	for {
		select {
		case result, more := <-results:
			if !more {
				return report.close(min(stopped, since()))
			}
			report.add(result)
		case <-ticker.C:
			if err := report.flush(since()); err != nil {
				return fmt.Errorf("write the report: %w", err)
			}
		case <-ended:
			attacker.Stop()
			stopped, ended = since(), nil
		}
	}
}
