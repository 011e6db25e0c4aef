package load

import (
	"context"
	"math"
	"sync"
	"time"
)

// schedule says when each request is due. It is a rate that is constant between
// changes: the number of requests due by a moment is the area under it. Whether
// the service keeps up plays no part, which is what makes the load open-loop.
type schedule struct {
	mu     sync.Mutex
	steps  []step
	end    time.Duration // nothing is due from here on
	change chan struct{} // closed and replaced when the schedule changes
}

// step is a stretch of constant rate.
type step struct {
	from   time.Duration
	rate   float64 // requests a second
	before float64 // requests due before it
}

// forever is the end of a schedule that has none.
const forever = time.Duration(math.MaxInt64)

func newSchedule() *schedule {
	return &schedule{end: forever, change: make(chan struct{})}
}

// setRate makes the rate hold from a moment on, which must not be before that
// of the last change.
func (s *schedule) setRate(from time.Duration, rate float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.steps); n > 0 && s.steps[n-1].rate == rate {
		return
	}
	s.steps = append(s.steps, step{from: from, rate: rate, before: s.area(from)})
	s.changed()
}

// finish ends the schedule.
func (s *schedule) finish(end time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end = end
	s.changed()
}

func (s *schedule) changed() {
	close(s.change)
	s.change = make(chan struct{})
}

// area is the number of requests due before a moment, with its fraction.
func (s *schedule) area(at time.Duration) float64 {
	for i := len(s.steps) - 1; i >= 0; i-- {
		if step := s.steps[i]; step.from <= at {
			return step.before + step.rate*(at-step.from).Seconds()
		}
	}
	return 0
}

// count is the number of requests due in [0, at).
func (s *schedule) count(at time.Duration) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Request n is due when the area reaches n, so the first is due at once.
	// The tolerance keeps rounding from making one request out of none.
	return uint64(math.Ceil(s.area(min(at, s.end)) - 1e-6))
}

// due is the moment at which a request is due; false means never, as far as
// the schedule is known now.
func (s *schedule) due(number uint64) (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := float64(number)
	for i, step := range s.steps {
		last := s.end
		if i+1 < len(s.steps) {
			last = s.steps[i+1].from
		}
		if step.rate <= 0 {
			continue
		}
		at := step.from + seconds(max(0, n-step.before)/step.rate)
		if at < last {
			return at, true
		}
	}
	return 0, false
}

func (s *schedule) finishedBy(at time.Duration) (over bool, change <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return at >= s.end, s.change
}

// lastDue is the moment when the schedule ends, or forever.
func (s *schedule) lastDue() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

// pacer is the schedule as Vegeta asks for it.
type pacer struct {
	schedule *schedule
	ctx      context.Context
	started  func(time.Time) // told once when the attack began
	once     sync.Once
}

// Pace waits until the next request is due. It does not leave the waiting to
// Vegeta, which would sleep through a change of the rate. A request that is
// overdue is sent at once, and keeps the moment at which it was due.
func (p *pacer) Pace(elapsed time.Duration, hits uint64) (wait time.Duration, stop bool) {
	now := time.Now()
	began := now.Add(-elapsed)
	p.once.Do(func() { p.started(began) })
	for {
		over, change := p.schedule.finishedBy(time.Since(began))
		at, known := p.schedule.due(hits)
		if p.ctx.Err() != nil || (over && !known) {
			return 0, true
		}
		sleep := at - time.Since(began)
		if known && sleep <= 0 {
			return 0, false
		}
		if !known {
			sleep = time.Second
		}
		timer := time.NewTimer(sleep)
		select {
		case <-timer.C:
		case <-change:
		case <-p.ctx.Done():
		}
		timer.Stop()
	}
}

// Rate is only asked for by Vegeta's own plots.
func (p *pacer) Rate(elapsed time.Duration) float64 {
	const moment = time.Millisecond
	return float64(p.schedule.count(elapsed+moment)-p.schedule.count(elapsed)) / moment.Seconds()
}

func seconds(s float64) time.Duration { return time.Duration(math.Round(s * float64(time.Second))) }
