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
	// The runtime keeps its memory between 0.95 of the limit, to which it gives
	// back in the background, and 0.97, where its pacer aims: 0.96 on average.
	// So the limit is put that much higher, and the integrator has little to do.
	share = 0.96
	// Headroom of the runtime's pacer below the limit.
	pacer = 0.97

	// Gain of the integrator a second. The memory moves by one percent within a
	// collection cycle of several seconds, which a faster one would chase. Too
	// much memory is worse than too little.
	gainUp, gainDown = 0.1, 0.2
	// What the integrator may add or take, as a share of the set-point: a
	// reading that is wrong can't move the limit further than that.
	trimUp, trimDown = 0.08, 0.25
	// Changes of the limit below this share of the set-point are not written: a
	// write stops the world for some microseconds.
	quiet = 0.002

	// A set-point that was given up is taken again when the heap fits with this
	// much to spare, for that long.
	spare     = 1.05
	fitsAgain = 10 * time.Second
	// Where it is given up, GOGC is as by default, if that peak is below this
	// share of the container's limit, and else what fits.
	safePeak   = 0.85
	commonGOGC = 100
)

// Setpoint holds resident memory at a number of bytes. The zero value is ready.
type Setpoint struct {
	State Hold

	begun  bool
	last   time.Duration
	cycles uint64  // at the last look
	trim   float64 // bytes that the integrator adds to the limit
	other  float64 // N, smoothed
	target int64
	values Values
	fits   time.Duration // since when it fits again; -1: it does not
	cycled bool          // a collection has ended since the limit was last moved
}

// Step is the law: limit = S - N + trim, where the trim integrates what
// resident memory is short of S, and GOGC at its upper bound, so that the limit
// is what binds. It is computed once a second; in between the values stay.
func (s *Setpoint) Step(now time.Duration, target int64, bounds Bounds, r Reading) Values {
	if s.begun && now-s.last < pace {
		return s.values
	}
	seconds := min((now - s.last).Seconds(), 5)
	if !s.begun {
		*s = Setpoint{begun: true, other: float64(r.Unmanaged()), fits: -1}
		s.trim = (1/share - 1) * (float64(target) - s.other)
		seconds = 1
	}
	if target != s.target && s.target != 0 {
		s.trim *= float64(target) / float64(s.target)
	}
	s.target, s.last = target, now
	s.cycled = s.cycled || r.Cycles != s.cycles
	s.cycles = r.Cycles
	s.other += 0.3 * (float64(r.Unmanaged()) - s.other)

	if !s.fit(now, bounds, r) {
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
	s.move(bounds)
	return s.values
}

// fit is whether the live heap has room at the set-point for the garbage of
// the lowest GOGC: L x (1 + min/100) + R x min/100 + O within what is left of
// S after N. A limit below it makes collections follow each other without end.
func (s *Setpoint) fit(now time.Duration, bounds Bounds, r Reading) bool {
	room := pacer*(float64(s.target)-s.other) - float64(r.Overhead())
	need := float64(r.Live) + float64(r.Live+r.Roots)*float64(bounds.Min)/100
	if s.State != GivenUp {
		return need <= room
	}
	if need*spare > room {
		s.fits = -1
		return false
	}
	if s.fits < 0 {
		s.fits = now
	}
	if now-s.fits < fitsAgain {
		return false
	}
	s.fits = -1
	s.trim = (1/share - 1) * (float64(s.target) - s.other)
	return true
}

// binds is whether the limit, not GOGC, makes the goal. Before the first
// collection nothing is known, and the limit is let bind.
func (s *Setpoint) binds(bounds Bounds, r Reading) bool {
	byGOGC := float64(r.Live) + float64(r.Live+r.Roots)*float64(bounds.Max)/100
	room := pacer*(float64(s.target)-s.other) - float64(r.Overhead())
	return r.Cycles == 0 || byGOGC >= room
}

// integrate moves the trim by what resident memory is short of. Upward it
// waits for a collection since the last move, because until then the memory has
// not shown where this limit leads; else a process that fills its heap slowly
// would wind the trim up to its bound.
func (s *Setpoint) integrate(seconds float64, r Reading) {
	short := float64(s.target - r.Resident)
	gain := gainUp
	if short < 0 {
		gain = gainDown
	} else if !s.cycled {
		return
	}
	whole := float64(s.target)
	s.trim = min(max(s.trim+gain*seconds*short, -trimDown*whole), trimUp*whole)
}

func (s *Setpoint) move(bounds Bounds) {
	limit := int64(float64(s.target) - s.other + s.trim)
	limit = max(limit, 4<<20)
	far := float64(abs(limit-s.values.Limit)) >= quiet*float64(s.target)
	if s.values.Limit == 0 || s.values.Limit == None || far {
		s.values.Limit = limit
		s.cycled = false
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
