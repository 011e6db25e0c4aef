// Package prom shows the agent's metrics in client_golang's default registry,
// beside the application's own. A blank import is enough, and starts the agent:
//
//	import _ "flyball.dev/agent/prom"
//
// It is a module of its own, so that the agent's has no dependencies.
package prom

import (
	"github.com/prometheus/client_golang/prometheus"

	_ "flyball.dev/agent" // what is shown
	"flyball.dev/agent/internal/page"
)

func init() {
	prometheus.MustRegister(Collector())
}

// Collector is for a registry of the application's own.
func Collector() prometheus.Collector { return collector{} }

type collector struct{}

// Describe tells nothing: which series there are depends on the line in force.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect asks the agent once.
func (collector) Collect(out chan<- prometheus.Metric) {
	page.Watched()
	for _, family := range page.Gather() {
		kind := prometheus.GaugeValue
		if family.Kind == page.Counter {
			kind = prometheus.CounterValue
		}
		for _, series := range family.Series {
			var names, values []string
			for i := 0; i+1 < len(series.Labels); i += 2 {
				names, values = append(names, series.Labels[i]), append(values, series.Labels[i+1])
			}
			desc := prometheus.NewDesc(family.Name, family.Help, names, nil)
			out <- prometheus.MustNewConstMetric(desc, kind, series.Value, values...)
		}
	}
}
