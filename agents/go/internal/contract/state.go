package contract

import (
	"fmt"
	"strings"
	"time"

	"flyball.dev/agent/internal/law"
)

// survives is how long a process must live with a generation.
const survives = 60 * time.Second

// Values are the knobs of the runtime: GOGC in percent or Off, and the memory
// limit in bytes or None.
type Values struct{ GOGC, Limit int64 }

// Look is what one look sees.
type Look struct {
	Now  time.Duration // monotonic
	Wall int64         // seconds since 1970

	// Read says that the file was tried at this look; Readable and Text are
	// what came of it. Looks between two of those leave the file alone.
	Read     bool
	Readable bool
	Text     string

	Current   Values // the knobs as they are
	Container int64  // the smallest limit of the container's control groups, or None
	// Filled is the container's working set in percent of that limit; less than 0: unknown.
	Filled float64
	// Reading is nil where the runtime was not asked.
	Reading *law.Reading
}

// Action is what the process has to do now, in this order.
type Action struct {
	Kind  ActionKind
	Value int64 // the generation for Mark, the value of a knob
	Note  string
}

// ActionKind says what an action does.
type ActionKind int

// The actions.
const (
	Mark     ActionKind = iota // write the generation into the file of probation
	Unmark                     // remove that file
	SetGOGC                    // percent, or Off
	SetLimit                   // bytes, or None
	Reclaim                    // collect, and give memory back
	Log                        // tell the note
)

// State is the agent's memory. Its Step is the whole decision.
type State struct {
	config Config

	readable bool
	text     string // what the file held at the last look, trimmed
	taken    string // the last line that was taken
	counted  bool   // text was refused and counted

	seen      int64 // the highest generation taken, with its knobs
	seenKnobs Knobs
	applied   int64 // the one in force, or 0
	until     time.Duration
	exp       int64
	foreign   int64 // the generation under which somebody else moved a knob
	reclaim   int64 // the highest seen
	reclaimed bool  // one was seen

	boot  Values // what the process has without the agent
	holds struct{ gogc, limit bool }
	set   Values // what the agent wrote, where it holds the knob

	markedAt time.Duration
	marked   bool

	breaker  breaker
	setpoint law.Setpoint
	price    law.Price
	own      *levels
	pressure Level // the line's
	ownLevel Level
	raisedTo int64 // the limit of the breaker's first state
	limit    int64 // the container's, at the last look
	Counts   Counts
	actions  []Action
}

// Counts only grow.
type Counts struct {
	Rejected      map[Reason]int64
	LeasesEnded   int64
	Reclaims      int64
	ForeignWrites int64
}

// New is the state of a process that starts.
func New(config Config) *State {
	return &State{
		config: config, own: newLevels(config.Watermarks), limit: None,
		Counts: Counts{Rejected: map[Reason]int64{}},
	}
}

// Step takes a look and returns what is to be done.
func (s *State) Step(l Look) []Action {
	s.actions = nil
	if s.config.Disabled {
		return nil
	}
	s.limit = l.Container
	s.watch(l.Current)
	if l.Read {
		s.readable = l.Readable
		if l.Readable {
			s.read(l, strings.TrimRight(l.Text, " \r\n"))
		}
	}
	if s.applied != 0 && (l.Now >= s.until || l.Wall >= s.exp) {
		s.Counts.LeasesEnded++
		s.note("the lease of generation %d ended: boot values", s.applied)
		s.release()
	}
	if s.marked && l.Now-s.markedAt >= survives {
		s.unmark()
	}
	if l.Filled >= 0 {
		s.ownLevel = s.own.look(l.Now, l.Filled)
	}
	s.protect(l)
	s.write(l)
	return s.actions
}

// watch compares the knobs that the agent holds with what it wrote.
func (s *State) watch(current Values) {
	if s.holds.gogc && current.GOGC != s.set.GOGC || s.holds.limit && current.Limit != s.set.Limit {
		s.moved()
	}
	// What the agent does not hold is the process's own: its start-up code may
	// set it after the agent began. Where somebody fought the agent, the boot
	// values stay those of before.
	if s.foreign == 0 && !s.holds.gogc {
		s.boot.GOGC = current.GOGC
	}
	if s.foreign == 0 && !s.holds.limit {
		s.boot.Limit = current.Limit
	}
}

// Moved is told of a knob that somebody else moved between a look and its
// writes, and returns what is to be done.
func (s *State) Moved() []Action {
	s.actions = nil
	s.moved()
	return s.actions
}

// moved takes the agent's hands off.
func (s *State) moved() {
	s.Counts.ForeignWrites++
	s.foreign = s.applied
	s.note("somebody else moved a knob under generation %d: hands off", s.applied)
	s.holds.gogc, s.holds.limit = false, false
	s.stop()
}

// read takes or refuses what the file holds.
func (s *State) read(l Look, text string) {
	if text != s.text {
		s.counted = false
	}
	s.text = text
	switch text {
	case "":
		s.taken = ""
		if s.applied != 0 {
			s.note("the line was removed: boot values")
			s.release()
		}
	case s.taken: // no renewal: its lease counts from when it was first seen
	default:
		line, reason := Parse(text)
		if reason == "" {
			reason = s.refuses(l, line)
		}
		if reason != "" {
			s.refuse(reason)
			return
		}
		s.take(l, line)
	}
}

// refuses has the reasons that the line alone does not tell.
func (s *State) refuses(l Look, line Line) Reason {
	if reason := s.config.refuses(line.Knobs, l.Container); reason != "" {
		return reason
	}
	switch {
	case line.Gen < s.seen:
		return Old
	case line.Gen == s.seen && line.Knobs != s.seenKnobs:
		return Changed
	case line.Exp <= l.Wall:
		return Expired
	case s.config.State && line.Gen == s.config.Marked:
		return Probation
	case line.Gen == s.foreign:
		return Foreign
	default:
		return ""
	}
}

func (s *State) refuse(reason Reason) {
	if s.counted {
		return
	}
	s.counted = true
	s.Counts.Rejected[reason]++
	s.note("line refused, %s: %.200q", reason, s.text)
}

func (s *State) take(l Look, line Line) {
	s.taken = s.text
	if line.Gen > s.seen {
		s.breaker.reset()
		s.setpoint, s.price = law.Setpoint{}, law.Price{}
		s.foreign = 0
	}
	again := s.applied != line.Gen
	s.seen, s.seenKnobs = line.Gen, line.Knobs
	s.applied = line.Gen
	s.until, s.exp = l.Now+time.Duration(line.TTL)*time.Second, line.Exp
	s.pressure = line.Pressure
	if again {
		s.note("generation %d applied: %s", line.Gen, s.text)
		s.mark(l.Now)
	}
	if s.reclaimed && line.Reclaim > s.reclaim {
		s.Counts.Reclaims++
		s.actions = append(s.actions, Action{Kind: Reclaim})
	}
	s.reclaim, s.reclaimed = max(s.reclaim, line.Reclaim), true
}

func (s *State) mark(now time.Duration) {
	if s.config.State {
		s.marked, s.markedAt = true, now
		s.actions = append(s.actions, Action{Kind: Mark, Value: s.applied})
	}
}

func (s *State) unmark() {
	s.marked = false
	s.actions = append(s.actions, Action{Kind: Unmark})
}

// stop ends what a generation had in force, but for the knobs themselves.
func (s *State) stop() {
	s.applied, s.pressure = 0, Normal
	s.breaker.reset()
	s.setpoint, s.price = law.Setpoint{}, law.Price{}
	if s.marked {
		s.unmark()
	}
}

// release takes everything back: what is held goes to its boot value with the
// next write.
func (s *State) release() { s.stop() }

// protect is the breaker. A line without knobs has done nothing that could be
// taken back.
func (s *State) protect(l Look) {
	if s.applied == 0 || s.seenKnobs == (Knobs{}) || l.Reading == nil {
		return
	}
	if s.breaker.ends(l.Now) {
		s.breaker.again()
		s.setpoint, s.price = law.Setpoint{}, law.Price{}
		s.note("the breaker's ten minutes are over: generation %d applied again", s.applied)
		s.mark(l.Now)
	}
	if s.breaker.state == 2 {
		return
	}
	if why := s.breaker.look(l.Now, s.inForce(l.Current).GOGC, *l.Reading); why != "" {
		s.breaker.trip(l.Now, *l.Reading)
		s.note("the breaker tripped to state %d under generation %d: %s", s.breaker.state, s.applied, why)
		if s.breaker.state == 1 {
			s.raise(l)
		}
	}
}

// inForce are the knobs as the agent left them, or as they are.
func (s *State) inForce(current Values) Values {
	if s.holds.gogc {
		current.GOGC = s.set.GOGC
	}
	if s.holds.limit {
		current.Limit = s.set.Limit
	}
	return current
}

func (s *State) note(format string, args ...any) {
	s.actions = append(s.actions, Action{Kind: Log, Note: fmt.Sprintf(format, args...)})
}
