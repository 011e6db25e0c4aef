package heap

import "github.com/prometheus/client_golang/prometheus"

// metrics are those of the demo service, by the same names, and the sizes that
// the settings lead to. CPU and memory of the process are in the default registry.
type metrics struct {
	registry                 *prometheus.Registry
	duration                 prometheus.Histogram
	answered, received, shed prometheus.Counter
	responses                *prometheus.CounterVec
}

func newMetrics(s *Service) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "http_request_duration_seconds",
			Help:    "Time from arrival to completion. Shed requests are not in it.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
		answered: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "http_requests_total", Help: "Requests completed. Shed requests are not in it.",
		}),
		received: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "http_requests_received_total", Help: "Requests counted on arrival, shed ones included.",
		}),
		shed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "http_requests_shed_total", Help: "Requests refused because memory was short.",
		}),
		responses: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_responses_total", Help: "Answers by status code.",
		}, []string{"code"}),
	}
	for _, code := range []string{"200", "429"} {
		m.responses.WithLabelValues(code)
	}
	m.registry.MustRegister(m.duration, m.answered, m.received, m.shed, m.responses)
	gauge := func(name, help string, read func() int64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return float64(read()) }))
	}
	gauge("heap_live_set_bytes", "The live heap that was asked for and made.", s.live.bytes)
	gauge("heap_leaked_bytes", "What has leaked by now.", s.leaked.bytes)
	gauge("heap_cache_bytes", "The cache.", s.cache.bytes)
	gauge("heap_pressure", "The level that the agent told last.", s.pressure.Load)
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "heap_cache_drops_total", Help: "How often the cache was dropped at pressure high."},
		func() float64 { return float64(s.drops.Load()) }))
	return m
}
