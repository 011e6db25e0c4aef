// Package page is the agent's metrics, and their text form. It is apart from
// the agent so that the module for client_golang shows the same.
package page

import (
	"bufio"
	"io"
	"math"
	"strconv"
	"strings"
)

// The kinds of metrics.
const (
	Gauge   = "gauge"
	Counter = "counter"
)

// Family is a metric with its series.
type Family struct {
	Name, Kind, Help string
	Series           []Series
}

// Series is one value; Labels are names and values in turn.
type Series struct {
	Labels []string
	Value  float64
}

// Gather is set by the agent.
var Gather = func() []Family { return nil }

// Watched is set by the agent: somebody is going to read the metrics.
var Watched = func() {}

// ContentType is that of Write.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Write writes families in Prometheus' text form.
func Write(out io.Writer, families []Family) error {
	w := bufio.NewWriter(out)
	text := func(parts ...string) {
		for _, part := range parts {
			_, _ = w.WriteString(part)
		}
	}
	for _, family := range families {
		text("# HELP ", family.Name, " ", family.Help, "\n# TYPE ", family.Name, " ", family.Kind, "\n")
		for _, series := range family.Series {
			text(family.Name)
			for i := 0; i+1 < len(series.Labels); i += 2 {
				open := ","
				if i == 0 {
					open = "{"
				}
				text(open, series.Labels[i], `="`, escape(series.Labels[i+1]), `"`)
			}
			if len(series.Labels) > 0 {
				text("}")
			}
			text(" ", number(series.Value), "\n")
		}
	}
	return w.Flush()
}

func number(n float64) string {
	switch {
	case math.IsInf(n, 1):
		return "+Inf"
	case n == math.Trunc(n) && math.Abs(n) < 1<<53:
		return strconv.FormatInt(int64(n), 10)
	default:
		return strconv.FormatFloat(n, 'g', -1, 64)
	}
}

var escapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

func escape(text string) string { return escapes.Replace(text) }
