package contract

import (
	"time"

	"flyball.dev/agent/internal/law"
)

// Applied is the generation in force, or 0.
func (s *State) Applied() int64 { return s.applied }

// Seen is the highest generation that was taken.
func (s *State) Seen() int64 { return s.seen }

// Readable is whether the file was there.
func (s *State) Readable() bool { return s.readable }

// Lease is what is left of it; 0: there is none.
func (s *State) Lease(now time.Duration, wall int64) time.Duration {
	if s.applied == 0 {
		return 0
	}
	return max(0, min(s.until-now, time.Duration(min(s.exp-wall, 604800))*time.Second))
}

// Pressure is the higher of the line's and the agent's own.
func (s *State) Pressure() Level { return max(s.pressure, s.ownLevel) }

// Foreign is whether somebody else moved a knob, and no higher generation came since.
func (s *State) Foreign() bool { return s.foreign != 0 }

// Breaker is its state, 0, 1 or 2, and how often it tripped.
func (s *State) Breaker() (state int, trips int64) { return s.breaker.state, s.breaker.trips }

// Setpoint is what the set-point of the line in force has come to.
func (s *State) Setpoint() law.Hold {
	if s.applied == 0 || s.seenKnobs.RSS == 0 {
		return law.Idle
	}
	if s.breaker.state != 0 {
		return law.GivenUp
	}
	return s.setpoint.State
}

// Asked are the knobs that the line in force gives a law, as they are applied,
// by the key of the line.
func (s *State) Asked() map[string]float64 {
	out := map[string]float64{}
	k := s.seenKnobs
	if s.applied == 0 || k.RSS == 0 && k.Lambda == 0 {
		return out
	}
	if k.RSS != 0 {
		out["rss"] = float64(s.config.rss(k.RSS, s.limit))
	} else {
		out["lambda"] = k.Lambda
	}
	bounds := s.config.bounds(k)
	out["gogc-min"], out["gogc-max"] = float64(bounds.Min), float64(bounds.Max)
	return out
}

// Clamped tells for each knob of the line in force whether a local bound is.
func (s *State) Clamped() map[string]bool {
	if s.applied == 0 {
		return nil
	}
	return s.config.clamped(s.seenKnobs, s.limit)
}
