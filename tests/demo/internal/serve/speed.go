package serve

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// Bounds of the speed: beyond them a service that is meant to be slow stands still.
const (
	slowest = 0.001
	fastest = 1000
)

// speed is the factor by which the service is faster than its settings say. It
// can be changed while the service runs, as that of a machine that is throttled.
type speed struct{ bits atomic.Uint64 }

func (s *speed) set(factor float64) { s.bits.Store(math.Float64bits(factor)) }
func (s *speed) get() float64       { return math.Float64frombits(s.bits.Load()) }

// stretch is how long work takes that would take so long at factor 1.
func (s *speed) stretch(took time.Duration) time.Duration {
	return time.Duration(math.Round(float64(took) / s.get()))
}

// show answers with the factor.
func (s *speed) show(out http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(out, strconv.FormatFloat(s.get(), 'g', -1, 64))
}

// change takes the factor of a request, for all work that begins from now on.
func (s *speed) change(out http.ResponseWriter, request *http.Request) {
	text := request.URL.Query().Get("factor")
	factor, err := strconv.ParseFloat(text, 64)
	// Written so that what is no number is refused as well.
	if err != nil || !(factor >= slowest && factor <= fastest) {
		http.Error(out, fmt.Sprintf("factor %q: give a number from %g to %d, such as ?factor=0.5", text, slowest, fastest), http.StatusBadRequest)
		return
	}
	s.set(factor)
	s.show(out, request)
}
