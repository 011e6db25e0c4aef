// Package law has the two laws that move the knobs by themselves: a set-point
// of resident memory, and a price of memory. They are pure: a reading in, the
// knobs' values out.
package law

import (
	"math"
	"time"
)

// None is no memory limit, as the runtime spells it.
const None int64 = math.MaxInt64

// Reading is what the process and its runtime tell at one moment. Sizes are bytes.
type Reading struct {
	Cycles       uint64 // collections so far
	LimiterCycle uint64 // the collection at which the GC CPU limiter switched on last; 0: never

	Live    int64 // L: what the last collection left
	Roots   int64 // R: stacks and globals that a collection scans
	Goal    int64 // the heap at which the next collection ends
	Objects int64 // the heap in use, garbage included
	Free    int64 // free heap that the system still counts as ours
	Managed int64 // all the runtime holds: its total less what it gave back

	Resident  int64 // of the process; 0: unknown
	Container int64 // the container's limit, or None

	Allocated float64 // bytes allocated since the start
	GCCPU     float64 // seconds, as the runtime tells it
	CPU       float64 // seconds of the process; 0: unknown
}

// Unmanaged is N: resident memory that the runtime does not manage. It is less
// than 0 where the runtime holds pages that were never touched.
func (r Reading) Unmanaged() int64 {
	if r.Resident == 0 {
		return 0
	}
	return r.Resident - r.Managed
}

// Overhead is O: what the runtime holds beside objects and free heap. It is the
// term that the runtime's own pacer takes off its limit.
func (r Reading) Overhead() int64 { return max(0, r.Managed-r.Free-r.Objects) }

// Effective is the GOGC that the present goal amounts to, in percent; what
// really spaces collections, whichever of GOGC and limit made the goal. It is
// +Inf before the first collection.
func (r Reading) Effective() float64 {
	if r.Live+r.Roots <= 0 || r.Cycles == 0 {
		return math.Inf(1)
	}
	return 100 * float64(r.Goal-r.Live) / float64(r.Live+r.Roots)
}

// Bounds are those of the GOGC that a law may set, in percent.
type Bounds struct{ Min, Max int64 }

func (b Bounds) clamp(gogc float64) int64 {
	return int64(math.Round(min(max(gogc, float64(b.Min)), float64(b.Max))))
}

// Values are the knobs that a law asks for. A limit of 0 is left alone.
type Values struct {
	GOGC  int64
	Limit int64
}

// pace is how often a law is computed, with room for a late timer.
const pace = 900 * time.Millisecond
