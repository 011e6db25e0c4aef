package contract

import (
	"time"

	"flyball.dev/agent/internal/law"
)

const (
	spiralGOGC   = 25.0 // effective GOGC, under which collections follow each other
	spiralCycles = 3
	fullShare    = 0.97 // of the container's limit
	raise        = 1.1
	latch        = 10 * time.Minute
	// Resident memory needs a moment to follow a limit that was moved: it trips
	// again only after that, or after as many collections as a spiral takes.
	follows = 10 * time.Second
)

// breaker ends what a knob has done to the process, whoever asked for it.
type breaker struct {
	state   int // 0; 1: the limit is raised; 2: it is lifted
	trips   int64
	tripped time.Duration // when last
	retried bool          // the knobs were applied again once

	begun   bool
	cycles  uint64 // at the last look
	low     int    // collections in a row under spiralGOGC
	limiter uint64
	since   uint64 // collections at the last trip
}

// reset is for a new generation, and for the end of one.
func (b *breaker) reset() { *b = breaker{trips: b.trips} }

// look is why it trips now; "" if it does not. gogc is the one in force.
func (b *breaker) look(now time.Duration, gogc int64, r law.Reading) string {
	if !b.begun {
		b.begun, b.cycles, b.limiter = true, r.Cycles, r.LimiterCycle
	}
	if r.Cycles != b.cycles {
		b.cycles = r.Cycles
		// Who allows a low GOGC for his process is not in a spiral with it.
		if r.Effective() < min(spiralGOGC, lowest(gogc)) {
			b.low++
		} else {
			b.low = 0
		}
	}
	limited := r.LimiterCycle != b.limiter
	b.limiter = r.LimiterCycle
	settled := b.state == 0 || now-b.tripped >= follows || r.Cycles-b.since >= spiralCycles
	switch {
	case b.low >= spiralCycles:
		return "collections follow each other"
	case limited:
		return "the runtime limits the collector's CPU"
	case settled && r.Container != None && float64(r.Resident) > fullShare*float64(r.Container):
		return "resident memory is at the container's limit"
	default:
		return ""
	}
}

func lowest(gogc int64) float64 {
	if gogc == Off {
		return spiralGOGC
	}
	return 0.9 * float64(gogc)
}

func (b *breaker) trip(now time.Duration, r law.Reading) {
	b.state = min(b.state+1, 2)
	b.trips++
	b.tripped, b.since, b.low = now, r.Cycles, 0
}

// ends is whether the latch has run out and the knobs are due once more.
func (b *breaker) ends(now time.Duration) bool {
	return b.state != 0 && !b.retried && now-b.tripped >= latch
}

// again begins anew, the second and last time.
func (b *breaker) again() { *b = breaker{trips: b.trips, retried: true} }

// raised is the limit of state 1, from the one that was in force.
func raised(limit, container int64) int64 {
	if limit != None {
		limit = int64(raise * float64(limit))
	}
	return min(limit, part(fullShare, container))
}
