package contract

import "math"

// wanted are the values for the knobs that are to be held; 0 is one that is not.
func (s *State) wanted(l Look) Values {
	knobs := s.seenKnobs
	force := s.inForce(l.Current)
	switch {
	case s.applied == 0:
		return Values{}
	case s.breaker.state == 1:
		return Values{GOGC: force.GOGC, Limit: min(s.raisedTo, part(limitShare, l.Container))}
	case s.breaker.state == 2:
		return Values{GOGC: 100, Limit: None}
	}
	want := Values{GOGC: knobs.GOGC, Limit: knobs.MemLimit}
	if want.GOGC != 0 {
		want.GOGC = s.config.gogc(want.GOGC)
	}
	if want.Limit != 0 {
		want.Limit = s.config.memLimit(want.Limit, l.Container)
	}
	if l.Reading == nil { // a law waits for its first reading
		if knobs.RSS != 0 && s.holds.limit {
			return force
		}
		if knobs.Lambda != 0 && s.holds.gogc {
			want.GOGC = force.GOGC
		}
		return want
	}
	bounds := s.config.bounds(knobs)
	switch {
	case knobs.RSS != 0:
		values := s.setpoint.Step(l.Now, s.config.rss(knobs.RSS, l.Container), bounds, *l.Reading)
		return Values{GOGC: values.GOGC, Limit: values.Limit}
	case knobs.Lambda != 0 && s.Pressure() == Emergency && s.holds.gogc:
		// More collections would cost processor time that the process needs now,
		// and fewer the memory that it lacks.
		want.GOGC = force.GOGC
	case knobs.Lambda != 0:
		price := knobs.Lambda
		if s.Pressure() == High {
			price *= dearer
		}
		want.GOGC = s.price.Step(l.Now, price, bounds, force.GOGC, *l.Reading).GOGC
	}
	return want
}

// dearer is by how much memory costs more while the pressure is high.
const dearer = 8

// raise computes state 1 of the breaker once, when it trips.
func (s *State) raise(l Look) {
	s.raisedTo = raised(s.inForce(l.Current).Limit, l.Container)
}

// write compares what is wanted with what is, and moves what differs. A knob
// that is no longer asked for goes to its boot value once, and is let go.
func (s *State) write(l Look) {
	want := s.wanted(l)
	next := s.inForce(l.Current)
	if want.GOGC != 0 {
		next.GOGC = want.GOGC
	} else if s.holds.gogc {
		next.GOGC = s.boot.GOGC
	}
	if want.Limit != 0 {
		next.Limit = want.Limit
	} else if s.holds.limit {
		next.Limit = s.boot.Limit
	}
	s.holds.gogc, s.holds.limit = want.GOGC != 0, want.Limit != 0
	s.set = next
	s.move(l.Current, next)
}

// move orders the writes so that memory is never promised twice: a limit is set
// before GOGC is raised, and GOGC is lowered before a limit is set.
func (s *State) move(from, to Values) {
	gogc := Action{Kind: SetGOGC, Value: to.GOGC}
	limit := Action{Kind: SetLimit, Value: to.Limit}
	moves := []Action{limit, gogc}
	if rank(to.GOGC) < rank(from.GOGC) {
		moves = []Action{gogc, limit}
	}
	for _, move := range moves {
		if move.Kind == SetGOGC && to.GOGC != from.GOGC || move.Kind == SetLimit && to.Limit != from.Limit {
			s.actions = append(s.actions, move)
		}
	}
}

// rank orders GOGC by the garbage that it allows.
func rank(gogc int64) int64 {
	if gogc < 0 {
		return math.MaxInt64
	}
	return gogc
}
