package contract

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"flyball.dev/agent/internal/law"
)

const head = "v1 gen=1 ttl=60 exp=1795000000 "

// What the vectors don't have: the forms of single values.
func TestParse(t *testing.T) {
	check := func(words string, want Reason) {
		t.Helper()
		if _, got := Parse(head + words); got != want {
			t.Errorf("%s: refused as %q, want %q", words, got, want)
		}
	}
	check("lambda=1", "")
	check("lambda=2.5e-9", "")
	check("lambda=0.25", "")
	check("lambda=1e-400", Range) // nearer to 0 than any float is
	check("lambda=00.5", Syntax)
	check("lambda=0x1p-3", Syntax)
	check("lambda=1_0e-3", Syntax)
	check("lambda=Inf", Syntax)
	check("lambda=1e-9 memlimit=none", "") // only gogc and rss exclude it
	check("lambda=1e-9 gogc-min=100", "")
	check("rss=1073741824 gogc-max=50", "")
	check("gogc-max=50", Range)
	check("memlimit=1125899906842624", "") // 2^50
	check("memlimit=1125899906842625", Range)
	check("memlimit=99999999999999999999", Range)
	check("memlimit=off", Syntax)
	check("gogc=none", Syntax)
	// Another runtime's value is looked at before whose key it is.
	check("gc-thresholds=700,10,010", Syntax)
	check("gc-thresholds=700,10,10", Unsupported)
	check("min-heap-free=70 max-heap-free=40", Range)
	check("freeze=1", Unsupported)
	check("pressure=", Syntax)
	check("=high", Syntax)
}

// Whatever is in the file, the agent decides, and holds its own invariants.
func FuzzStep(f *testing.F) {
	for _, text := range []string{"", "hello", head + "gogc=200", head + "rss=1073741824", head + "lambda=1e-9 memlimit=none", head + "reclaim=3 pressure=high", "v1 gen=\xff"} {
		f.Add(text, int64(1))
	}
	f.Fuzz(func(t *testing.T, text string, seed int64) { steps(t, text, seed) })
}

// The same, briefly, with lines that are nearly right.
func TestStepSurvivesGarbage(t *testing.T) {
	words := []string{"v1", "v2", "gen=1", "gen=2", "gen=9223372036854775807", "ttl=1", "ttl=604800", "exp=1795000100", "gogc=200", "gogc=off",
		"gogc=1", "memlimit=4194304", "memlimit=none", "rss=1073741824", "lambda=1e-9", "gogc-min=60", "gogc-max=55", "reclaim=5",
		"pressure=emergency", "min-heap-free=3", "x=y", "=", " ", "\n", "\x00", "é", "gen=", strings.Repeat("9", 400)}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		var text strings.Builder
		if random.IntN(2) == 0 {
			text.WriteString(head)
		}
		for range random.IntN(8) {
			text.WriteString(words[random.IntN(len(words))])
			if random.IntN(20) != 0 {
				text.WriteByte(' ')
			}
		}
		steps(t, text.String(), random.Int64())
	}
}

// steps runs one text through a process whose memory is random, and checks what
// holds whatever the text is.
func steps(t *testing.T, text string, seed int64) {
	t.Helper()
	random := rand.New(rand.NewPCG(uint64(seed), 1))
	config, _ := Configure(func(name string) string {
		return map[string]string{"FLYBALL_STATE_DIR": "/state", "FLYBALL_MEMLIMIT_MAX": "2147483648"}[name]
	})
	s := New(config)
	knobs := Values{GOGC: 100, Limit: None}
	for i := range 6 {
		reading := law.Reading{Cycles: uint64(i * random.IntN(5)), Live: random.Int64N(1 << 31), Roots: random.Int64N(1 << 20),
			Goal: random.Int64N(1 << 32), Objects: random.Int64N(1 << 32), Managed: random.Int64N(1 << 32), Resident: random.Int64N(1 << 32),
			Container: None, Allocated: random.Float64() * 1e12, GCCPU: random.Float64() * 100}
		if random.IntN(2) == 0 {
			reading.Container = random.Int64N(1 << 32)
		}
		actions := s.Step(Look{Now: time.Duration(i) * 2 * time.Second, Wall: 1794999999 + int64(i), Read: true, Readable: true, Text: text,
			Current: knobs, Container: reading.Container, Filled: random.Float64() * 120, Reading: &reading})
		for _, action := range actions {
			switch action.Kind {
			case SetGOGC:
				if v := action.Value; v < 50 || v > 1000 {
					t.Fatalf("%q sets GOGC to %d", text, v)
				}
				knobs.GOGC = action.Value
			case SetLimit:
				if v := action.Value; v < minBytes && reading.Container == None {
					t.Fatalf("%q sets the limit to %d", text, v)
				}
				knobs.Limit = action.Value
			}
		}
		if s.Applied() == 0 && knobs != (Values{GOGC: 100, Limit: None}) {
			t.Fatalf("%q: nothing is applied, and the knobs are %+v", text, knobs)
		}
	}
}
