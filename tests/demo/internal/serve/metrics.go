package serve

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are what rules and laws read. None but responses has labels of its
// own: PromQL divides http_request_duration_seconds_sum by http_requests_total,
// and the time worked by the workers, one to one only if both carry the same
// label set.
type metrics struct {
	registry  *prometheus.Registry
	duration  prometheus.Histogram
	answered  prometheus.Counter
	received  prometheus.Counter
	shed      prometheus.Counter
	responses *prometheus.CounterVec
}

func newMetrics(workers int, busy *meter) *metrics {
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
		responses: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_responses_total",
			Help: "Answers by status code, those to shed requests included.",
		}, []string{"code"}),
	}
	// There before the first of each, so that a rate of errors is 0 and not missing.
	for _, code := range []string{"200", "502", "503"} {
		m.responses.WithLabelValues(code)
	}
	size := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "demo_workers",
		Help: "Requests that can be worked on at a time.",
	})
	size.Set(float64(workers))
	worked := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "demo_worker_busy_seconds_total",
		Help: "Time that the workers have worked, all added up, work under way included. Its rate by demo_workers is the utilization.",
	}, func() float64 { return busy.read().Seconds() })
	m.registry.MustRegister(m.duration, m.answered, m.received, m.shed, m.responses, size, worked)
	return m
}

func (m *metrics) completed(took time.Duration) {
	m.duration.Observe(took.Seconds())
	m.answered.Inc()
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
