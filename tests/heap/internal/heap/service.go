package heap

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// high is the agent's level from which the service sheds: 2 of 0 to 3.
const high = 2

// Service is the memory, and the requests that use it.
type Service struct {
	mu       sync.Mutex
	settings Settings
	due      time.Time // the rate limit: when the next request may come

	live     live
	leaked   live
	cache    cache
	pressure atomic.Int64
	drops    atomic.Int64
	metrics  *metrics
}

// New has the live heap that the settings ask for.
func New(settings Settings) *Service {
	s := &Service{settings: settings}
	s.metrics = newMetrics(s)
	s.live.resize(settings.Live)
	return s
}

func (s *Service) now() Settings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settings
}

// Run allocates in the background, and leaks, until the context ends.
func (s *Service) Run(ctx context.Context) {
	const pace = 10 * time.Millisecond
	tick := time.NewTicker(pace)
	defer tick.Stop()
	last, leak := time.Now(), 0.0
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			seconds := min(now.Sub(last), time.Second).Seconds()
			last = now
			settings := s.now()
			garbage(int64(seconds * float64(settings.Churn)))
			if settings.Leak == 0 {
				leak = 0
			}
			leak += seconds * float64(settings.Leak)
			s.leaked.resize(int64(leak))
		}
	}
}

// Pressure is what the agent tells. At high the cache goes, and stays empty. A
// service that then allocates little would collect it much later, so it does
// that once, and gives the memory back.
func (s *Service) Pressure(level int) {
	if was := s.pressure.Swap(int64(level)); was < high && level >= high {
		s.drops.Add(1)
		s.cache.drop()
		debug.FreeOSMemory()
	}
}

// Handler is the service with its metrics.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.serve)
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("GET /metrics", promhttp.HandlerFor(
		prometheus.Gatherers{prometheus.DefaultGatherer, s.metrics.registry}, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /admin/heap", s.show)
	mux.HandleFunc("POST /admin/heap", s.turn)
	return mux
}

func (s *Service) serve(out http.ResponseWriter, _ *http.Request) {
	began := time.Now()
	s.metrics.received.Inc()
	settings := s.now()
	short := s.pressure.Load() >= high
	if short && !s.admits(began, settings.HighRPS) {
		s.metrics.shed.Inc()
		s.answer(out, http.StatusTooManyRequests)
		return
	}
	garbage(settings.Request)
	if !short {
		s.cache.add(settings.Entry, settings.Cache)
	}
	s.answer(out, http.StatusOK)
	s.metrics.duration.Observe(time.Since(began).Seconds())
	s.metrics.answered.Inc()
}

func (s *Service) answer(out http.ResponseWriter, code int) {
	s.metrics.responses.WithLabelValues(fmt.Sprint(code)).Inc()
	out.WriteHeader(code)
}

// admits spaces requests by the rate; 0 is no limit. Up to a tenth of a second
// of them may come at once.
func (s *Service) admits(now time.Time, rate float64) bool {
	if rate <= 0 {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if earliest := now.Add(-100 * time.Millisecond); s.due.Before(earliest) {
		s.due = earliest
	}
	if s.due.After(now) {
		return false
	}
	s.due = s.due.Add(time.Duration(float64(time.Second) / rate))
	return true
}

func (s *Service) show(out http.ResponseWriter, _ *http.Request) {
	settings := reflect.ValueOf(s.now())
	for i := range settings.NumField() {
		fmt.Fprintf(out, "%s=%v\n", settings.Type().Field(i).Tag.Get("setting"), settings.Field(i))
	}
}

// turn sets what the query names, all of it or nothing, and returns once the
// live heap has that size.
func (s *Service) turn(out http.ResponseWriter, in *http.Request) {
	query := in.URL.Query()
	s.mu.Lock()
	for name := range query {
		if !known(name) {
			s.mu.Unlock()
			http.Error(out, fmt.Sprintf("there is no setting %q", name), http.StatusBadRequest)
			return
		}
	}
	err := s.settings.Set(query.Get)
	settings := s.settings
	s.mu.Unlock()
	if err != nil {
		http.Error(out, err.Error(), http.StatusBadRequest)
		return
	}
	s.live.resize(settings.Live)
	if settings.Cache < s.cache.bytes() {
		s.cache.drop()
	}
	s.show(out, in)
}

func known(name string) bool {
	fields := reflect.TypeFor[Settings]()
	for i := range fields.NumField() {
		if fields.Field(i).Tag.Get("setting") == name {
			return true
		}
	}
	return false
}
