package serve

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are the four that the demo's rules read. None has labels of its own:
// PromQL divides http_request_duration_seconds_sum by http_requests_total one
// to one only if both carry the same label set.
type metrics struct {
	registry *prometheus.Registry
	duration prometheus.Histogram
	answered prometheus.Counter
	received prometheus.Counter
	shed     prometheus.Counter
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "http_request_duration_seconds",
			Help:    "Time from arrival to completion, waiting in the queue included. Shed requests are not in it.",
			Buckets: []float64{.005, .01, .025, .05, .1, .15, .2, .3, .4, .5, .75, 1, 1.5, 2, 3, 5, 7.5, 10, 20},
		}),
		answered: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "http_requests_total",
			Help: "Requests completed. Shed requests are not in it.",
		}),
		received: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "http_requests_received_total",
			Help: "Requests counted on arrival: the demand, shed requests included.",
		}),
		shed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "http_requests_shed_total",
			Help: "Requests refused because the queue was full.",
		}),
	}
	m.registry.MustRegister(m.duration, m.answered, m.received, m.shed)
	return m
}

func (m *metrics) completed(took time.Duration) {
	m.duration.Observe(took.Seconds())
	m.answered.Inc()
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
