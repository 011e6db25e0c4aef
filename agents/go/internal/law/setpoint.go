package law

import "time"

// Hold is what a set-point of resident memory has come to.
type Hold int

// The states, with the numbers that the metric shows.
const (
	Idle    Hold = iota // there is no set-point
	Holding             // the memory limit holds resident memory at the set-point
	Below               // GOGC at its upper bound holds it below: the live heap is too small to fill it
	GivenUp             // the live heap does not fit with enough room for its garbage: no limit
)

const (
	// The runtime gives memory back in the background down to 0.95 of its limit,
	// and its pacer aims at 0.97 of it: 0.96 on average. So the limit begins that
	// much higher, and the integrator has little to do.
	share = 0.96
	pacer = 0.97

	// A collection often begins, and ends, well before its goal: after a burst
	// the pacer keeps its distance for four collections. And what the memory has
	// once reached it keeps, as long as the runtime need not give it back. So
	// upward the integrator goes by small steps, each of which is given a whole
	// collection to show; downward it acts at once, and slowly, because a limit
	// that falls fast takes the memory far below it.
	gainUp, stepUp, settle = 0.3, 0.02, 2
	gainDown               = 0.2
	// Near enough, as shares of the set-point.
	stillBelow, stillAbove = 0.005, 0.01
	// What the integrator may add or take, as a share of the set-point: a
	// reading that is wrong can't move the limit further than that.
	trimUp, trimDown = 0.12, 0.25
	// Changes of the limit below this share of the set-point are not written: a
	// write stops the world for some microseconds.
	quiet = 0.002

	// The heap does not fit after so many collections that say so.
	tight = 3
	// A set-point that was given up is taken again when the heap fits with this
	// much to spare, for that long.
	spare     = 1.05
	fitsAgain = 10 * time.Second
	// Where it is given up, GOGC is as by default, if that peak is below this
	// share of the container's limit, and else what fits.
	safePeak   = 0.85
	commonGOGC = 100
	// The limit stays below this share of the container's.
	most = 0.97
)

// Setpoint holds resident memory at a number of bytes. The zero value is ready.
type Setpoint struct {
	State Hold

	begun  bool
	last   time.Duration
	cycles uint64  // at the last look
	trim   float64 // bytes that the integrator adds to the limit
	other  float64 // N, smoothed
	target float64
	values Values
	tight  int           // collections in a row that did not fit
	fits   time.Duration // since when it fits again; -1: it does not
	moved  uint64        // collections when the trim last moved
}

// Step is the law: limit = S - N + trim, where the trim integrates what
// resident memory is short of S, and GOGC at its upper bound, so that the limit
// is what binds. It is computed once a second; in between the values stay.
func (s *Setpoint) Step(now time.Duration, target int64, bounds Bounds, r Reading) Values {
	if s.begun && now-s.last < pace {
		return s.values
	}
	if !s.begun {
		*s = Setpoint{begun: true, last: now - time.Second, other: float64(r.Unmanaged()), fits: -1, cycles: r.Cycles, moved: r.Cycles}
	}
	if float64(target) != s.target {
		s.target, s.trim = float64(target), 0
		s.trim = s.above(share)
	}
	seconds := min((now - s.last).Seconds(), 5)
	s.last = now
	ended := r.Cycles != s.cycles
	s.cycles = r.Cycles
	s.other += 0.3 * (float64(r.Unmanaged()) - s.other)

	if s.full(now, ended, bounds, r) {
		s.State = GivenUp
		s.values = Values{GOGC: gaveUp(bounds, r), Limit: None}
		return s.values
	}
	if s.binds(bounds, r) {
		s.State = Holding
		s.integrate(seconds, r)
	} else {
		s.State = Below
	}
	s.move(bounds, r)
	return s.values
}

// above is the trim with which that share of the limit, and N, are the set-point.
func (s *Setpoint) above(share float64) float64 { return (1/share - 1) * (s.target - s.other) }

// limit is S - N + trim, and below the container's own.
func (s *Setpoint) limit(r Reading) float64 {
	limit := s.target - s.other + s.trim
	if r.Container != None {
		limit = min(limit, most*float64(r.Container))
	}
	return max(limit, 4<<20)
}

// room is the heap's goal under that limit, as the runtime's pacer computes it.
func (s *Setpoint) room(r Reading) float64 {
	return pacer * (s.limit(r) - float64(r.Overhead()))
}

// need is the heap's size at which GOGC amounts to so much.
func need(r Reading, gogc float64) float64 {
	return float64(r.Live) + float64(r.Live+r.Roots)*gogc/100
}

// full is whether the live heap has no room for the garbage of the lowest GOGC
// under the limit. Then a limit makes collections follow each other. What the
// last collection left has in it what was allocated meanwhile, so one alone
// that says so is not believed, unless half of that GOGC has no room.
func (s *Setpoint) full(now time.Duration, ended bool, bounds Bounds, r Reading) bool {
	room, needed := s.room(r), need(r, float64(bounds.Min))
	if s.State != GivenUp {
		if needed <= room {
			s.tight = 0
		} else if ended {
			s.tight++
		}
		return s.tight >= tight || need(r, float64(bounds.Min)/2) > room
	}
	if needed*spare > room {
		s.fits = -1
		return true
	}
	if s.fits < 0 {
		s.fits = now
	}
	if now-s.fits < fitsAgain {
		return true
	}
	s.fits, s.tight = -1, 0
	return false
}

// binds is whether the limit, not GOGC, makes the goal. Before the first
// collection nothing is known, and the limit is let bind.
func (s *Setpoint) binds(bounds Bounds, r Reading) bool {
	return r.Cycles == 0 || need(r, float64(bounds.Max)) >= s.room(r)
}

// integrate moves the trim by what resident memory is short of.
func (s *Setpoint) integrate(seconds float64, r Reading) {
	if r.Resident == 0 { // unknown: what the runtime does has to do
		return
	}
	short := s.target - float64(r.Resident)
	switch {
	case short <= stillBelow*s.target && -short <= stillAbove*s.target:
	case short < 0:
		s.trim += gainDown * seconds * short
		s.moved = r.Cycles
	case r.Cycles >= s.moved+settle:
		s.trim += min(gainUp*short, stepUp*s.target)
		s.moved = r.Cycles
	}
	s.trim = min(max(s.trim, -trimDown*s.target), trimUp*s.target)
}

func (s *Setpoint) move(bounds Bounds, r Reading) {
	limit := int64(s.limit(r))
	far := float64(abs(limit-s.values.Limit)) >= quiet*s.target
	if s.values.Limit == 0 || s.values.Limit == None || far || r.Container != None && float64(s.values.Limit) > most*float64(r.Container) {
		s.values.Limit = limit
	}
	s.values.GOGC = bounds.Max
}

// gaveUp is the GOGC without a limit: the usual one where its peak is safe in
// the container, and else the highest that is, not below the lower bound.
func gaveUp(bounds Bounds, r Reading) int64 {
	if r.Container == None || r.Live+r.Roots <= 0 {
		return commonGOGC
	}
	room := safePeak*float64(r.Container) - float64(r.Live+r.Overhead()+max(0, r.Unmanaged()))
	return Bounds{Min: min(bounds.Min, commonGOGC), Max: commonGOGC}.clamp(100 * room / float64(r.Live+r.Roots))
}

func abs(n int64) int64 { return max(n, -n) }
