package contract

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"flyball.dev/agent/internal/law"
)

// bench is a process at a time, with 1 GiB of memory in its container unless said otherwise.
type bench struct {
	container
	t    *testing.T
	now  time.Duration
	look Look
	gc   law.Reading
	gone []Action
}

func newBench(t *testing.T, env map[string]string, boot Values) *bench {
	b := &bench{t: t, container: container{env: env, boot: boot}}
	b.start()
	b.look = Look{Readable: true, Container: 1 << 30}
	b.gc = law.Reading{Live: 100 << 20, Goal: 200 << 20, Container: 1 << 30}
	return b
}

func (b *bench) line(words string) {
	b.look.Text = "v1 ttl=100000 exp=1796000000 " + words
}

// after lets time go by and looks, with n collections ended since.
func (b *bench) after(seconds int, n uint64) {
	b.t.Helper()
	b.now += time.Duration(seconds) * time.Second
	b.gc.Cycles += n
	b.look.Now, b.look.Wall = b.now, 1795000000+int64(b.now/time.Second)
	b.gc.Container = b.look.Container
	reading := b.gc
	b.look.Reading = &reading
	b.gone = b.container.look(b.look)
	b.do(b.t, b.gone)
}

func (b *bench) knobsAre(gogc, limit int64) {
	b.t.Helper()
	if want := (Values{gogc, limit}); b.knobs != want {
		b.t.Errorf("at %s the knobs are %+v, want %+v", b.now, b.knobs, want)
	}
}

func (b *bench) breakerIs(state int, trips int64) {
	b.t.Helper()
	if s, n := b.state.Breaker(); s != state || n != trips {
		b.t.Errorf("at %s the breaker is in state %d after %d trips, want %d after %d", b.now, s, n, state, trips)
	}
}

// writes are the knobs that the last look moved, in order.
func (b *bench) writes() string {
	out := ""
	for _, action := range b.gone {
		switch action.Kind {
		case SetGOGC:
			out += fmt.Sprintf("gogc=%d ", action.Value)
		case SetLimit:
			out += fmt.Sprintf("limit=%d ", action.Value)
		}
	}
	return out
}

func TestMemoryIsNeverPromisedTwice(t *testing.T) {
	check := func(first, second, want string) {
		t.Helper()
		b := newBench(t, map[string]string{"FLYBALL_GOGC_OFF": "allow"}, Values{100, None})
		b.line("gen=1 " + first)
		b.after(1, 1)
		b.line("gen=2 " + second)
		b.after(1, 1)
		if got := b.writes(); got != want {
			t.Errorf("from %s to %s: %s, want %s", first, second, got, want)
		}
	}
	check("gogc=100 memlimit=none", "gogc=400 memlimit=536870912", "limit=536870912 gogc=400 ")
	check("gogc=400 memlimit=536870912", "gogc=100 memlimit=268435456", "gogc=100 limit=268435456 ")
	check("gogc=400 memlimit=268435456", "gogc=100 memlimit=536870912", "gogc=100 limit=536870912 ")
	check("gogc=400 memlimit=268435456", "gogc=off memlimit=536870912", "limit=536870912 gogc=-1 ")
	check("gogc=off memlimit=268435456", "gogc=100", "gogc=100 limit=9223372036854775807 ")
	check("gogc=100", "gogc=200", "gogc=200 ")
}

func TestTheContainersLimitIsABound(t *testing.T) {
	b := newBench(t, nil, Values{100, None})
	b.line("gen=1 memlimit=2147483648")
	b.after(1, 1)
	b.knobsAre(100, 1041529569) // 0.97 of 1 GiB
	if !b.state.Clamped()["memlimit"] {
		t.Error("nothing says that it is clamped")
	}
	b.look.Container = 4 << 30 // resized in place
	b.after(1, 1)
	b.knobsAre(100, 2147483648)
	if b.state.Clamped()["memlimit"] {
		t.Error("it is still said to be clamped")
	}
	b.look.Container = 512 << 20
	b.after(1, 1)
	b.knobsAre(100, 520764784)
	b.look.Container = None
	b.after(1, 1)
	b.knobsAre(100, 2147483648)
}

func TestASetpointNeedsABound(t *testing.T) {
	check := func(container int64, env map[string]string, want int64) {
		t.Helper()
		b := newBench(t, env, Values{100, None})
		b.look.Container = container
		b.line("gen=1 rss=1073741824")
		b.after(1, 1)
		if got := b.state.Counts.Rejected[Unsupported]; got != want {
			t.Errorf("with a container of %d and %v: %d unsupported, want %d", container, env, got, want)
		}
	}
	check(None, nil, 1)
	check(2<<30, nil, 0)
	check(None, map[string]string{"FLYBALL_MEMLIMIT_MAX": "2147483648"}, 0)
}

// What the line does not name is the process's own, also while a line is in force.
func TestAKnobThatIsNotNamedIsNotTouched(t *testing.T) {
	b := newBench(t, nil, Values{100, None})
	b.line("gen=1 pressure=high")
	b.after(1, 1)
	b.knobs.GOGC = 150 // the application's own
	b.after(1, 1)
	b.knobsAre(150, None)
	if b.state.Foreign() || b.state.Applied() != 1 || b.state.Pressure() != High {
		t.Error("what the agent does not hold was taken for somebody else's write")
	}
	b.line("gen=2 gogc=300")
	b.after(1, 1)
	b.knobsAre(300, None)
	b.look.Text = ""
	b.after(1, 1)
	b.knobsAre(150, None) // what it had before the agent took it
}

func TestTheBreakerEndsASpiral(t *testing.T) {
	b := newBench(t, nil, Values{100, None})
	b.line("gen=1 gogc=400 memlimit=104857600")
	b.after(1, 1)
	b.knobsAre(400, 104857600)
	b.gc.Goal = 124 << 20 // 24 % above the live heap
	b.after(1, 1)
	b.after(1, 0) // no collection ended: it does not count
	b.after(1, 1)
	b.breakerIs(0, 0)
	b.after(1, 1)
	b.breakerIs(1, 1)
	b.knobsAre(400, 115343360) // 1.1 times
	b.after(1, 1)
	b.after(1, 1)
	b.breakerIs(1, 1)
	b.after(1, 1)
	b.breakerIs(2, 2)
	b.knobsAre(100, None)
	b.gc.Goal = 200 << 20
	if b.state.Applied() != 1 {
		t.Error("the generation is not in force any more")
	}

	// Neither the same line nor a renewal undoes it.
	b.after(1, 1)
	b.look.Text = "v1 ttl=100001 exp=1796000000 gen=1 gogc=400 memlimit=104857600"
	b.after(597, 1) // 598 s after the trip
	b.knobsAre(100, None)
	b.after(2, 1)
	b.breakerIs(0, 2)
	b.knobsAre(400, 104857600) // once more
	b.gc.Goal = 124 << 20
	for range 3 {
		b.after(1, 1)
	}
	b.breakerIs(1, 3)
	b.gc.Goal = 200 << 20
	b.after(3600, 100)
	b.breakerIs(1, 3) // for good
	b.line("gen=2 gogc=200")
	b.after(1, 1)
	b.breakerIs(0, 3)
	b.knobsAre(200, None)
}

func TestASpiralIsInARow(t *testing.T) {
	b := newBench(t, nil, Values{100, None})
	b.line("gen=1 memlimit=104857600")
	b.after(1, 1)
	for range 5 {
		b.gc.Goal = 120 << 20
		b.after(1, 1)
		b.after(1, 1)
		b.gc.Goal = 125 << 20 // 25 % is no spiral
		b.after(1, 1)
	}
	b.breakerIs(0, 0)
}

func TestTheBreakerSeesTheLimiterAndTheContainer(t *testing.T) {
	b := newBench(t, nil, Values{100, None})
	b.gc.LimiterCycle = 7 // long ago
	b.line("gen=1 gogc=400")
	b.after(1, 1)
	b.breakerIs(0, 0)
	b.gc.LimiterCycle = 9
	b.after(1, 1)
	b.breakerIs(1, 1)
	b.knobsAre(400, 1041529569) // there was no limit: 0.97 of the container's

	b.line("gen=2 gogc=400 memlimit=536870912")
	b.after(1, 1)
	b.breakerIs(0, 1)
	b.gc.Resident = 1041529570
	b.after(1, 1)
	b.breakerIs(1, 2)
	b.knobsAre(400, 590558003) // 1.1 times 512 MiB
	b.after(1, 1)
	b.breakerIs(1, 2) // the memory needs a moment to follow
	b.after(9, 0)
	b.breakerIs(2, 3)
	b.knobsAre(100, None)

	b.look.Text = ""
	b.after(1, 0)
	b.breakerIs(0, 3)
	b.after(1, 0)
	b.breakerIs(0, 3) // nothing is applied: nothing to take back
}

func TestWhoAllowsALowGOGCIsInNoSpiral(t *testing.T) {
	b := newBench(t, map[string]string{"FLYBALL_GOGC_MIN": "10"}, Values{100, None})
	b.gc.Goal = 120 << 20
	b.line("gen=1 gogc=20")
	for range 10 {
		b.after(1, 1)
	}
	b.breakerIs(0, 0)
	b.gc.Goal = 117 << 20 // under 0.9 of it
	for range 3 {
		b.after(1, 1)
	}
	b.breakerIs(1, 1)
}

func TestALineWithoutKnobsTripsNothing(t *testing.T) {
	b := newBench(t, nil, Values{100, None})
	b.gc.Resident = 1 << 30
	b.line("gen=1 pressure=emergency")
	b.after(1, 1)
	b.breakerIs(0, 0)
	b.knobsAre(100, None)
}

func TestASetpointIsGivenUpWhileTheBreakerIsTripped(t *testing.T) {
	b := newBench(t, nil, Values{100, None})
	b.gc.Managed, b.gc.Resident, b.gc.Objects = 300<<20, 310<<20, 200<<20
	b.line("gen=1 rss=524288000")
	b.after(1, 1)
	if b.knobs.GOGC != 400 || b.knobs.Limit == None || b.state.Setpoint() != law.Holding {
		t.Errorf("%+v, state %d", b.knobs, b.state.Setpoint())
	}
	if asked := b.state.Asked(); asked["rss"] != 524288000 || asked["gogc-min"] != 50 || asked["gogc-max"] != 400 {
		t.Errorf("asked %v", asked)
	}
	b.gc.LimiterCycle = 3
	b.after(1, 1)
	b.breakerIs(1, 1)
	limit := b.knobs.Limit
	b.after(1, 1)
	if b.state.Setpoint() != law.GivenUp || b.knobs.Limit != limit {
		t.Errorf("the law goes on: %+v, state %d", b.knobs, b.state.Setpoint())
	}
	b.look.Text = ""
	b.after(1, 1)
	b.knobsAre(100, None)
	if b.state.Setpoint() != law.Idle {
		t.Errorf("state %d", b.state.Setpoint())
	}
}

func TestOwnWatermarks(t *testing.T) {
	check := func(name string, readings []float64, want []Level) {
		t.Helper()
		l := newLevels(&[3]float64{80, 90, 95})
		var got []Level
		for second, percent := range readings {
			got = append(got, l.look(time.Duration(second)*time.Second, percent))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	n, w, h, e := Normal, Warning, High, Emergency
	check("a peak of two seconds tells nobody", []float64{50, 99, 99, 50, 50, 50}, []Level{n, n, n, n, n, n})
	check("five seconds apart", []float64{80, 80, 80, 80, 80, 80}, []Level{n, n, n, n, n, w})
	check("all in between", []float64{80, 80, 80, 79, 80, 80, 80}, []Level{n, n, n, n, n, n, n})
	check("emergency at the third", []float64{96, 96, 96, 96, 96, 96}, []Level{n, n, e, e, e, e})
	check("the highest counts", []float64{91, 91, 91, 91, 91, 91}, []Level{n, n, n, n, n, h})
	fall := []float64{80, 80, 80, 80, 80, 80, 78, 77, 77, 77, 77, 77, 77, 77, 77, 77, 77, 77}
	check("it ends three points below, held for ten seconds", fall,
		[]Level{n, n, n, n, n, w, w, w, w, w, w, w, w, w, w, w, w, n})
}

func TestBounds(t *testing.T) {
	check := func(words string, env map[string]string, low, high int64) {
		t.Helper()
		config, _ := Configure(func(name string) string { return env[name] })
		line, reason := Parse(strings.TrimRight(head+"lambda=1e-9 "+words, " "))
		if reason != "" {
			t.Fatal(reason)
		}
		if got := config.bounds(line.Knobs); got != (law.Bounds{Min: low, Max: high}) {
			t.Errorf("%s with %v: %+v, want %d to %d", words, env, got, low, high)
		}
	}
	check("", nil, 50, 400)
	check("gogc-min=20 gogc-max=800", nil, 50, 800) // FLYBALL_GOGC_MIN is 50
	check("gogc-min=20", map[string]string{"FLYBALL_GOGC_MIN": "10"}, 20, 400)
	check("gogc-min=500", nil, 500, 500)
	check("", map[string]string{"FLYBALL_GOGC_MAX": "150"}, 50, 150)
	check("gogc-max=300", map[string]string{"FLYBALL_GOGC_MIN": "400"}, 400, 400)
}

func TestConfigure(t *testing.T) {
	config, notes := Configure(func(name string) string {
		return map[string]string{"FLYBALL_GOGC_MIN": "eighty", "FLYBALL_GOGC_MAX": "99999999999999999999", "FLYBALL_MEMLIMIT_MAX": "-4",
			"FLYBALL_WATERMARKS": "90,80,95"}[name]
	})
	if config.GOGC != (Bound{50, 1000}) || config.MemLimit != (Bound{0, None}) || *config.Watermarks != [3]float64{80, 90, 95} {
		t.Errorf("%+v", config)
	}
	if len(notes) != 3 {
		t.Errorf("%d notes, want 3: %q", len(notes), notes)
	}
	if config, _ := Configure(func(string) string { return "off" }); config.Watermarks != nil || !config.Disabled {
		t.Errorf("%+v", config)
	}
}
