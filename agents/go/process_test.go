package agent

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"

	"flyball.dev/agent/internal/contract"
)

func TestNothingIsMounted(t *testing.T) {
	c := newChild(t)
	c.dir = filepath.Join(c.dir, "not-there")
	c.start("idle", "GOGC=120")
	page := c.page()
	for name, want := range map[string]float64{
		"source_readable": 0, "applied_generation": 0, `knob{knob="gogc"}`: 120, `rejected_total{reason="syntax"}`: 0, "lease_seconds": 0,
	} {
		if got, there := page[name]; !there || got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// A swap of the link is read at once: the next poll would be 5 s away, and the
// swaps here follow each other.
func TestAFolderThatIsSwapped(t *testing.T) {
	c := newChild(t)
	c.mount("")
	c.start("idle", "GOGC=120", "GOMEMLIMIT=1GiB")
	c.until(map[string]float64{"source_readable": 1, "applied_generation": 0})
	c.mount(line("gen=1 gogc=200 memlimit=536870912"))
	c.until(map[string]float64{"applied_generation": 1, `knob{knob="gogc"}`: 200, `knob{knob="memlimit"}`: 536870912})
	c.mount(line("gen=2 gogc=75"))
	c.until(map[string]float64{"applied_generation": 2, `knob{knob="gogc"}`: 75, `knob{knob="memlimit"}`: 1 << 30})
	c.mount("hello")
	c.until(map[string]float64{"applied_generation": 2, `rejected_total{reason="syntax"}`: 1})
	c.mount(line("gen=3 gogc=10"))
	c.until(map[string]float64{"applied_generation": 3, `knob{knob="gogc"}`: 50, `knob_clamped{knob="gogc"}`: 1})
	c.mount("")
	c.until(map[string]float64{"applied_generation": 0, "seen_generation": 3, `knob{knob="gogc"}`: 120, "leases_ended_total": 0})
}

// The folder itself goes and comes, which ends a watch on it.
func TestAFolderThatIsReplaced(t *testing.T) {
	c := newChild(t)
	c.mount(line("gen=1 gogc=200"))
	c.start("idle")
	c.until(map[string]float64{"applied_generation": 1})
	must(t, os.RemoveAll(c.dir))
	must(t, os.Mkdir(c.dir, 0o755))
	c.mount(line("gen=2 gogc=300"))
	c.until(map[string]float64{"applied_generation": 2, `knob{knob="gogc"}`: 300})
}

func TestALeaseEnds(t *testing.T) {
	c := newChild(t)
	c.mount("v1 gen=1 ttl=1 exp=4000000000 gogc=200")
	c.start("idle")
	c.until(map[string]float64{"leases_ended_total": 1, "applied_generation": 0, "seen_generation": 1, `knob{knob="gogc"}`: 100})
}

func TestProbationOverAnEnd(t *testing.T) {
	c := newChild(t)
	c.mount(line("gen=4 gogc=200"))
	c.start("idle")
	c.until(map[string]float64{"applied_generation": 4})
	c.kill() // within its first minute
	c.start("idle")
	c.until(map[string]float64{"applied_generation": 0, `rejected_total{reason="probation"}`: 1, `knob{knob="gogc"}`: 100})
	c.kill()
	c.mount(line("gen=5 gogc=150"))
	c.start("idle")
	c.until(map[string]float64{"applied_generation": 5, `knob{knob="gogc"}`: 150})

	// Without the folder it is taken at once again.
	c.kill()
	c.start("idle", "FLYBALL_STATE_DIR=")
	c.until(map[string]float64{"applied_generation": 5})
}

func TestSomebodyElseMovesAKnob(t *testing.T) {
	c := newChild(t)
	c.mount(line("gen=1 gogc=200"))
	c.start("knobs")
	c.until(map[string]float64{"applied_generation": 1, `knob{knob="gogc"}`: 200})
	c.command("333")
	c.until(map[string]float64{"applied_generation": 0, "foreign": 1, "foreign_writes_total": 1, `knob{knob="gogc"}`: 333})
	c.mount(line("gen=1 gogc=200 pressure=high"))
	c.until(map[string]float64{`rejected_total{reason="foreign"}`: 1, `knob{knob="gogc"}`: 333, "pressure": 0})
	c.mount(line("gen=2 gogc=150"))
	c.until(map[string]float64{"applied_generation": 2, "foreign": 0, `knob{knob="gogc"}`: 150})
}

func TestPressureIsTold(t *testing.T) {
	c := newChild(t)
	c.mount(line("gen=1 pressure=warning"))
	c.start("pressure")
	c.says("told warning")
	c.mount(line("gen=1 pressure=high"))
	c.says("told high") // and the function panics
	c.mount(line("gen=1 pressure=emergency"))
	c.says("told emergency")
	c.until(map[string]float64{"pressure": 3, `knob{knob="gogc"}`: 100})
	c.mount("")
	c.says("told normal")
}

func TestReclaim(t *testing.T) {
	c := newChild(t)
	c.mount(line("gen=1 reclaim=3"))
	c.start("idle")
	before := c.await("generation 1", func(page map[string]float64) bool { return page["applied_generation"] == 1 })
	c.mount(line("gen=1 reclaim=4"))
	c.await("a collection that was asked for", func(page map[string]float64) bool {
		return page["reclaims_total"] == 1 && page["gc_cycles_total"] > before["gc_cycles_total"]
	})
}

// 100 MiB live under a limit of 104 MiB: collections without end, until the
// breaker lets the process have what it needs.
func TestASpiralEnds(t *testing.T) {
	c := newChild(t)
	c.mount("")
	c.start("spiral")
	calm := c.await("a live heap", func(page map[string]float64) bool { return page["heap_live_bytes"] > 100<<20 })
	c.mount(line("gen=1 gogc=400 memlimit=109051904"))
	page := c.await("the breaker trips", func(page map[string]float64) bool { return page["breaker_trips_total"] > 0 })
	if page["applied_generation"] != 1 {
		t.Errorf("generation %v is in force", page["applied_generation"])
	}
	// 1.1 times the limit is 114 MiB, which is no room either: it is lifted.
	page = c.await("the breaker lifts the limit", func(page map[string]float64) bool { return page["breaker_state"] == 2 })
	c.until(map[string]float64{`knob{knob="gogc"}`: 100})
	// Collections are as far apart again as GOGC says.
	after := c.await("the end of the spiral", func(page map[string]float64) bool { return page["effective_gogc_percent"] > 90 })
	t.Logf("collections: %v before, %v until it was lifted, %v then", calm["gc_cycles_total"],
		page["gc_cycles_total"]-calm["gc_cycles_total"], after["gc_cycles_total"]-page["gc_cycles_total"])

	// Renewing the line does not undo it.
	c.mount(line("gen=1 memlimit=109051904 gogc=400"))
	c.mount(line("gen=1 memlimit=109051904 gogc=400 pressure=warning"))
	c.until(map[string]float64{"pressure": 1, "breaker_state": 2, "applied_generation": 1, `knob{knob="gogc"}`: 100})
	c.mount("")
	c.until(map[string]float64{"breaker_state": 0, "applied_generation": 0, `knob{knob="gogc"}`: 100})
}

// The write itself tells what it replaced: a knob that moved since the look is
// somebody else's, and gets his value again.
func TestAKnobThatMovesBetweenLookAndWrite(t *testing.T) {
	state := t.TempDir()
	a := newProcess(func(name string) string {
		return map[string]string{"FLYBALL_RUNTIME_DIR": state, "FLYBALL_STATE_DIR": state, "FLYBALL_LOG": "off"}[name]
	}, "/")
	must(t, os.WriteFile(filepath.Join(state, "runtime"), []byte(line("gen=1 pressure=high")), 0o644))
	a.look(false)
	if marked(a.stateFile) != 1 {
		t.Fatal("generation 1 is not on probation")
	}
	was := debug.SetGCPercent(110)
	defer debug.SetGCPercent(was)
	a.do([]contract.Action{{Kind: contract.SetGOGC, Value: 200}}, contract.Values{GOGC: 100})
	if _, current := a.probe.read(contract.None); current.GOGC != 110 {
		t.Errorf("GOGC is %d, want 110", current.GOGC)
	}
	if !a.state.Foreign() || a.state.Applied() != 0 || marked(a.stateFile) != 0 {
		t.Error("the agent goes on")
	}
}

func TestOffByTheEnvironment(t *testing.T) {
	off := func(name string) string { return map[string]string{"FLYBALL_AGENT": "off"}[name] }
	if newProcess(off, "/") != nil {
		t.Error("there is an agent")
	}
}
