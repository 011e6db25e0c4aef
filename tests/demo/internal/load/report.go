package load

import (
	"encoding/json"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// tardy is how far behind its moment a request may start and still be on time.
const tardy = 50 * time.Millisecond

// second is the fate of the requests that were due within one second.
type second struct {
	offered   uint64
	answered  uint64 // with or without success
	late      uint64
	endpoints int // ready at its end
	errors    map[string]uint64
	latencies []time.Duration // of the successful ones
}

// line is a second as it is written. Times are in seconds.
type line struct {
	T         int               `json:"t"`
	Time      time.Time         `json:"time"`
	Offered   uint64            `json:"offered"`   // due in this second
	Completed uint64            `json:"completed"` // of these, answered with success
	Errors    map[string]uint64 `json:"errors"`
	Late      uint64            `json:"late"` // started more than 50 ms after their moment
	Endpoints int               `json:"endpoints"`
	Latency   *latency          `json:"latency"` // of the completed ones; null if there are none
}

type latency struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	Max  float64 `json:"max"`
}

// summary is the last line.
type summary struct {
	Summary struct {
		Seconds   float64           `json:"seconds"`
		Offered   uint64            `json:"offered"`
		Sent      uint64            `json:"sent"` // fewer than offered if it was interrupted
		Completed uint64            `json:"completed"`
		Errors    map[string]uint64 `json:"errors"`
		Late      uint64            `json:"late"`
		Latency   *latency          `json:"latency"`
	} `json:"summary"`
}

// report gathers results by the second in which they were due.
type report struct {
	schedule  *schedule
	began     time.Time
	endpoints func() int
	out       *json.Encoder
	written   int // seconds that are written
	seconds   map[int]*second
	total     second
}

func newReport(s *schedule, out io.Writer, endpoints func() int) *report {
	return &report{
		schedule: s, endpoints: endpoints, out: json.NewEncoder(out),
		seconds: map[int]*second{}, total: second{errors: map[string]uint64{}},
	}
}

// add counts one result. Its latency runs from the moment at which the request
// was due, so that waiting for a free sender is not hidden.
func (r *report) add(result *vegeta.Result) {
	due, known := r.schedule.due(result.Seq)
	if !known {
		return // sent for a rate that was taken back in the same instant
	}
	started := result.Timestamp.Sub(r.began)
	took := started + result.Latency - due
	for _, s := range []*second{r.at(int(due / time.Second)), &r.total} {
		s.answered++
		if started-due > tardy {
			s.late++
		}
		if class := classify(result); class != "" {
			s.errors[class]++
		} else {
			s.latencies = append(s.latencies, took)
		}
	}
}

func (r *report) at(index int) *second {
	s := r.seconds[index]
	if s == nil {
		s = &second{errors: map[string]uint64{}}
		r.seconds[index] = s
	}
	return s
}

// flush writes the seconds that are over and whose requests have all ended. A
// second waits for those before it, so lines come in order.
func (r *report) flush(elapsed time.Duration) error {
	if elapsed < r.schedule.lastDue() {
		r.at(int(elapsed / time.Second)).endpoints = r.endpoints()
	}
	for {
		from := time.Duration(r.written) * time.Second
		until := min(from+time.Second, r.schedule.lastDue())
		s := r.at(r.written)
		s.offered = r.schedule.count(until) - r.schedule.count(from)
		if from >= r.schedule.lastDue() || elapsed < until || s.answered < s.offered {
			return nil
		}
		if err := r.write(s); err != nil {
			return err
		}
	}
}

// close writes the remaining seconds as they are, and the summary.
func (r *report) close(elapsed time.Duration) error {
	end := min(elapsed, r.schedule.lastDue())
	for time.Duration(r.written)*time.Second < end {
		from := time.Duration(r.written) * time.Second
		s := r.at(r.written)
		s.offered = r.schedule.count(min(from+time.Second, end)) - r.schedule.count(from)
		if err := r.write(s); err != nil {
			return err
		}
	}
	var last summary
	last.Summary.Seconds = end.Seconds()
	last.Summary.Offered = r.schedule.count(end)
	last.Summary.Sent = r.total.answered
	last.Summary.Completed = uint64(len(r.total.latencies))
	last.Summary.Errors = r.total.errors
	last.Summary.Late = r.total.late
	last.Summary.Latency = summarise(r.total.latencies)
	return r.out.Encode(last)
}

func (r *report) write(s *second) error {
	err := r.out.Encode(line{
		T:         r.written,
		Time:      r.began.Add(time.Duration(r.written) * time.Second).UTC().Truncate(time.Millisecond),
		Offered:   s.offered,
		Completed: uint64(len(s.latencies)),
		Errors:    s.errors,
		Late:      s.late,
		Endpoints: s.endpoints,
		Latency:   summarise(s.latencies),
	})
	delete(r.seconds, r.written)
	r.written++
	return err
}

func summarise(all []time.Duration) *latency {
	if len(all) == 0 {
		return nil
	}
	sorted := slices.Sorted(slices.Values(all))
	var sum time.Duration
	for _, d := range sorted {
		sum += d
	}
	return &latency{
		Mean: rounded(sum / time.Duration(len(sorted))),
		P50:  rounded(quantile(sorted, 0.50)),
		P95:  rounded(quantile(sorted, 0.95)),
		P99:  rounded(quantile(sorted, 0.99)),
		Max:  rounded(sorted[len(sorted)-1]),
	}
}

// quantile is the smallest value that at least that share of all does not exceed.
func quantile(sorted []time.Duration, share float64) time.Duration {
	return sorted[max(0, int(math.Ceil(share*float64(len(sorted))))-1)]
}

// rounded is in seconds, to the microsecond.
func rounded(d time.Duration) float64 { return float64(d.Round(time.Microsecond).Microseconds()) / 1e6 }

// errorClasses names errors by a part of their text, which is all that Vegeta
// keeps of them.
var errorClasses = map[string]string{
	errNoEndpoints.Error():         "no-endpoints",
	"Client.Timeout":               "timeout",
	"context deadline exceeded":    "timeout",
	"i/o timeout":                  "timeout",
	"connection refused":           "refused",
	"connection reset":             "reset",
	"EOF":                          "reset",
	"server closed idle":           "reset",
	"no route to host":             "unreachable",
	"network is unreachable":       "unreachable",
	"cannot assign requested addr": "no-local-port",
}

// classify names the kind of failure, or returns nothing for a success.
func classify(result *vegeta.Result) string {
	if result.Error == "" {
		return ""
	}
	if result.Code >= 400 {
		return "http-" + result.Error[:3] // the status line begins with the code
	}
	for _, part := range slices.Sorted(maps.Keys(errorClasses)) {
		if strings.Contains(result.Error, part) {
			return errorClasses[part]
		}
	}
	return "other"
}
