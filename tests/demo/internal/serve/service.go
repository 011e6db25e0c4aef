package serve

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// Settings are the service's flags.
type Settings struct {
	Listen      string
	Workers     int
	Queue       int
	ServiceTime time.Duration
	Jitter      time.Duration
	Dependency  string
	Drain       time.Duration
}

// service answers requests.
type service struct {
	settings Settings
	pool     *pool
	metrics  *metrics
	client   *http.Client // for the dependency
	speed    speed
	draining atomic.Bool
}

// dependencyTimeout ends a call that hangs, so that a worker is not lost to it.
const dependencyTimeout = 30 * time.Second

func newService(settings Settings) *service {
	pool := newPool(settings.Workers, settings.Queue)
	s := &service{
		settings: settings,
		pool:     pool,
		metrics:  newMetrics(settings.Workers, &pool.busy),
		client: &http.Client{
			Timeout:   dependencyTimeout,
			Transport: &http.Transport{MaxIdleConnsPerHost: settings.Workers}, // one for each worker
		},
	}
	s.speed.set(1)
	return s
}

func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.work)
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /admin/speed", s.speed.show)
	mux.HandleFunc("POST /admin/speed", s.speed.change)
	mux.Handle("GET /metrics", s.metrics.handler())
	return mux
}

// work is the endpoint under load.
func (s *service) work(out http.ResponseWriter, _ *http.Request) {
	arrived := time.Now()
	s.metrics.received.Inc()
	var failure error
	accepted := s.pool.do(func() {
		time.Sleep(s.speed.stretch(serviceTime(s.settings.ServiceTime, s.settings.Jitter, rand.Float64())))
		failure = s.callDependency()
		s.metrics.completed(time.Since(arrived))
	})
	code, text := http.StatusOK, "done"
	switch {
	case !accepted:
		s.metrics.shed.Inc()
		code, text = http.StatusServiceUnavailable, "the queue is full"
	case failure != nil:
		code, text = http.StatusBadGateway, failure.Error()
	}
	s.metrics.responses.WithLabelValues(strconv.Itoa(code)).Inc()
	out.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out.WriteHeader(code)
	fmt.Fprintln(out, text)
}

// callDependency waits for the service that this one needs, if any.
func (s *service) callDependency() error {
	if s.settings.Dependency == "" {
		return nil
	}
	answer, err := s.client.Get(s.settings.Dependency)
	if err != nil {
		return fmt.Errorf("the dependency does not answer: %w", err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body) // so that the connection is used again
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the dependency answers %s", answer.Status)
	}
	return nil
}

func (s *service) health(out http.ResponseWriter, _ *http.Request) {
	if s.draining.Load() {
		http.Error(out, "draining", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(out, "ok")
}
