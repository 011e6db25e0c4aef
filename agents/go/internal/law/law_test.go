package law

import (
	"math"
	"testing"
	"time"
)

const mb = 1_000_000

// plant is a Go process under a memory limit, as the runtime documents itself:
// the goal is 0.97 of the limit less what is not heap, or what GOGC makes of the
// live heap, whichever is less; a collection ends at some share of the way to
// it; what was reached is kept, down to 0.95 of the limit.
type plant struct {
	live, overhead, other float64
	early                 float64 // share of the headroom at which a collection ends
	rate                  float64 // bytes a second
	heap, managed         float64
	gogc                  float64
	limit                 float64
	cycles                uint64
}

func (p *plant) goal() float64 {
	return max(p.live, min(p.live*(1+p.gogc/100), 0.97*(p.limit-p.overhead)))
}

func (p *plant) second() {
	p.heap += p.rate
	for p.heap >= p.live+p.early*(p.goal()-p.live) && p.heap > p.live {
		p.managed = max(p.managed, min(p.heap, p.live+p.early*(p.goal()-p.live))+p.overhead)
		p.heap -= p.early * (p.goal() - p.live)
		p.heap = max(p.heap, p.live)
		p.cycles++
		if p.goal()-p.live < 1 {
			break
		}
	}
	p.managed = max(p.managed, p.heap+p.overhead)
	if p.managed > 0.95*p.limit { // 60 MB a second go back
		p.managed = max(0.95*p.limit, p.managed-60*mb, p.heap+p.overhead)
	}
}

func (p *plant) reading() Reading {
	return Reading{Cycles: p.cycles, Live: int64(p.live), Goal: int64(p.goal()), Objects: int64(p.heap),
		Free: int64(p.managed - p.heap - p.overhead), Managed: int64(p.managed), Resident: int64(p.managed + p.other), Container: None}
}

func newPlant(early float64) *plant {
	return &plant{live: 300 * mb, heap: 300 * mb, managed: 330 * mb, overhead: 30 * mb, other: 10 * mb, early: early,
		rate: 100 * mb, gogc: 100, limit: math.Inf(1)}
}

// holds runs the law over the plant, and checks that memory is within 2 % of
// the set-point in the last seconds.
func holds(t *testing.T, name string, s *Setpoint, p *plant, now *int, seconds int, live func(second int) float64) {
	t.Helper()
	const target = 1230 * mb
	for i := range seconds {
		*now++
		p.live = live(i)
		p.heap = max(p.heap, p.live)
		v := s.Step(time.Duration(*now)*time.Second, target, Bounds{50, 400}, p.reading())
		p.gogc, p.limit = float64(v.GOGC), float64(v.Limit)
		p.second()
		if off := (p.managed + p.other - target) / target; i > seconds-60 && math.Abs(off) > 0.02 {
			t.Errorf("%s: %.1f %% off at second %d (limit %.0f MB, state %d)", name, 100*off, i, p.limit/mb, s.State)
			return
		}
	}
	if s.State != Holding {
		t.Errorf("%s: state %d, want held", name, s.State)
	}
}

func TestASetpointHolds(t *testing.T) {
	still := func(bytes float64) func(int) float64 { return func(int) float64 { return bytes } }
	for _, early := range []float64{1, 0.95, 0.9} {
		s, p, now := &Setpoint{}, newPlant(early), 0
		holds(t, "live 300 MB", s, p, &now, 300, still(300*mb))
		holds(t, "live 700 MB", s, p, &now, 120, still(700*mb))
		holds(t, "live 300 MB again", s, p, &now, 120, still(300*mb))
		holds(t, "live between 300 and 700 MB", s, p, &now, 300, func(i int) float64 {
			return 500*mb + 200*mb*math.Sin(float64(i)/10)
		})
		p.other = 60 * mb // something that the runtime does not manage comes and stays
		holds(t, "50 MB beside the runtime", s, p, &now, 120, still(500*mb))
	}
}

func TestASetpointMovesDown(t *testing.T) {
	s, p := &Setpoint{}, newPlant(0.97)
	for i := range 400 {
		target := int64(2000 * mb)
		if i > 200 {
			target = 1000 * mb
		}
		v := s.Step(time.Duration(i)*time.Second, target, Bounds{50, 400}, p.reading())
		p.gogc, p.limit = float64(v.GOGC), float64(v.Limit)
		p.second()
	}
	if off := (p.managed + p.other - 1000*mb) / (1000 * mb); math.Abs(off) > 0.02 {
		t.Errorf("%.1f %% off the new set-point", 100*off)
	}
}

// A heap whose garbage has no room would be collected without end.
func TestASetpointIsGivenUpAndTakenAgain(t *testing.T) {
	s := &Setpoint{}
	now := time.Duration(0)
	r := Reading{Cycles: 1, Managed: 1220 * mb, Resident: 1230 * mb, Objects: 1100 * mb, Free: 100 * mb, Container: None}
	look := func(live int64, want Hold, gogc int64) {
		t.Helper()
		now += time.Second
		r.Cycles++
		r.Live = live * mb
		v := s.Step(now, 1230*mb, Bounds{50, 400}, r)
		if s.State != want || v.GOGC != gogc || (v.Limit == None) != (want == GivenUp) {
			t.Errorf("live %d MB: state %d, %+v; want state %d and GOGC %d", live, s.State, v, want, gogc)
		}
	}
	// The limit is (1230 - 10)/0.96 = 1271 MB, and 0.97 of it less 20 MB overhead
	// 1213 MB: 1.5 x 808 MB.
	look(500, Holding, 400)
	look(790, Holding, 400)
	look(830, Holding, 400) // may be what was allocated meanwhile
	look(830, Holding, 400)
	look(830, GivenUp, 100)
	look(830, GivenUp, 100)
	for range 10 { // 1.5 x 740 MB x 1.05 = 1165 MB fits, and is to do so for ten seconds
		look(740, GivenUp, 100)
	}
	look(740, Holding, 400)
	look(1100, GivenUp, 100) // not even half of it: 1.25 x 970 MB would
}

func TestWhatIsGivenUpFitsTheContainer(t *testing.T) {
	// 0.85 of 1500 MB less 800 live, 20 overhead and 10 unmanaged: 445 MB, 55 % of 800.
	r := Reading{Cycles: 9, Live: 800 * mb, Managed: 900 * mb, Objects: 880 * mb, Resident: 910 * mb, Container: 1500 * mb}
	if got := gaveUp(Bounds{50, 400}, r); got != 56 {
		t.Errorf("GOGC %d, want 56", got)
	}
	r.Container = 3000 * mb
	if got := gaveUp(Bounds{50, 400}, r); got != 100 {
		t.Errorf("GOGC %d, want 100", got)
	}
}

func TestASmallHeapIsBelow(t *testing.T) {
	s := &Setpoint{}
	r := Reading{Cycles: 5, Live: 100 * mb, Managed: 500 * mb, Resident: 510 * mb, Objects: 480 * mb, Container: None}
	first := s.Step(0, 1230*mb, Bounds{50, 400}, r)
	for i := range 100 {
		r.Cycles++
		s.Step(time.Duration(i+1)*time.Second, 1230*mb, Bounds{50, 400}, r)
	}
	if s.State != Below || s.values != first {
		t.Errorf("state %d, %+v after %+v: what GOGC holds down winds the integrator up", s.State, s.values, first)
	}
}

func TestTheLimitStaysInTheContainer(t *testing.T) {
	s := &Setpoint{}
	r := Reading{Cycles: 5, Live: 500 * mb, Managed: 900 * mb, Resident: 910 * mb, Objects: 880 * mb, Container: 1260 * mb}
	if v := s.Step(0, 1230*mb, Bounds{50, 400}, r); v.Limit != 1222200000 { // 0.97 of it
		t.Errorf("limit %d", v.Limit)
	}
}

// priced is a process of 100 MB live that allocates 100 MB/s, and whose
// collections take 50 ms: at a price of 2e-9 cores per byte the best headroom
// is sqrt(1e8 x 0.05 / 2e-9) = 50 MB, GOGC 50; at 5e-10 it is 100 MB, GOGC 100.
func priced(p *Price, lambda float64, bounds Bounds, gogc int64, looks int, container int64) []int64 {
	r := Reading{Live: 100 * mb, Container: container, Managed: 100 * mb, Objects: 100 * mb, Resident: 100 * mb}
	var out []int64
	for i := range looks {
		v := p.Step(time.Duration(i)*time.Second, lambda, bounds, gogc, r)
		if len(out) == 0 || out[len(out)-1] != v.GOGC {
			out = append(out, v.GOGC)
		}
		r.Cycles += 2
		r.Allocated += 100 * mb
		r.GCCPU += 0.1
		r.CPU += 0.5
	}
	return out
}

func TestPrice(t *testing.T) {
	check := func(name string, got []int64, want ...int64) {
		t.Helper()
		if len(got) != len(want) {
			t.Errorf("%s: %v, want %v", name, got, want)
			return
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%s: %v, want %v", name, got, want)
				return
			}
		}
	}
	usual := Bounds{50, 400}
	check("at its best it stays", priced(&Price{}, 5e-10, usual, 100, 30, None), 100)
	check("up by 1.5 at most", priced(&Price{}, 5e-10/9, usual, 100, 30, None), 100, 150, 225, 300)
	check("down by 1.5 at most", priced(&Price{}, 2e-9, usual, 200, 30, None), 200, 133, 89, 59, 50)
	check("not above the bound", priced(&Price{}, 1e-12, usual, 300, 30, None), 300, 400)
	check("not below the bound", priced(&Price{}, 1e-3, Bounds{80, 400}, 100, 30, None), 100, 80)
	check("the dead band", priced(&Price{}, 5e-10, usual, 105, 30, None), 105)
	check("from off", priced(&Price{}, 5e-10/9, usual, -1, 30, None), 400, 300)
	// Two collections a second: the third look has four since the first.
	check("three collections between", priced(&Price{}, 5e-10/9, usual, 100, 2, None), 100)
	check("three collections between", priced(&Price{}, 5e-10/9, usual, 100, 3, None), 100, 150)
	// 0.85 of 300 MB less 100 live: 155 MB.
	check("the peak fits the container", priced(&Price{}, 5e-10/9, usual, 120, 30, 300*mb), 120, 155)
	check("and at once", priced(&Price{}, 5e-10/9, usual, 400, 1, 300*mb), 155)
}

func TestAPeakThatNoLongerFitsComesDownAtOnce(t *testing.T) {
	p := &Price{}
	r := Reading{Live: 100 * mb, Container: None, Managed: 100 * mb, Objects: 100 * mb, Resident: 100 * mb}
	p.Step(0, 1e-9, Bounds{50, 400}, 400, r)
	r.Container = 300 * mb // resized in place, with no collection since
	if v := p.Step(time.Second, 1e-9, Bounds{50, 400}, 400, r); v.GOGC != 155 {
		t.Errorf("GOGC %d, want 155", v.GOGC)
	}
}

// The runtime's account of the collector can exceed what the process had.
func TestACollectionCostsNoMoreThanTheProcessHad(t *testing.T) {
	p := &Price{}
	r := Reading{Live: 100 * mb, Container: None}
	p.Step(0, 5e-10, Bounds{50, 400}, 100, r)
	// 20 collections in 10 s: 1 s of the process, said to be 9 s: 0.05 s each, as above.
	r.Cycles, r.Allocated, r.GCCPU, r.CPU = 20, 1000*mb, 9, 1
	if v := p.Step(10*time.Second, 5e-10, Bounds{50, 400}, 100, r); v.GOGC != 100 {
		t.Errorf("GOGC %d, want 100", v.GOGC)
	}
}

func TestEffective(t *testing.T) {
	if got := (Reading{Cycles: 1, Live: 100, Roots: 20, Goal: 130}).Effective(); got != 25 {
		t.Errorf("%v, want 25", got)
	}
	if got := (Reading{}).Effective(); !math.IsInf(got, 1) {
		t.Errorf("%v before the first collection", got)
	}
}

// Collections that are told to have cost ten times the others move little.
func TestOneDearCollectionMovesLittle(t *testing.T) {
	p := &Price{}
	r := Reading{Live: 100 * mb, Container: None}
	p.Step(0, 5e-10, Bounds{50, 400}, 100, r)
	var got int64
	for i := range 11 {
		r.Cycles += 3
		r.Allocated += 300 * mb
		r.GCCPU += 3 * 0.05
		if i == 10 {
			r.GCCPU += 3 * 0.45
		}
		got = p.Step(time.Duration(i+1)*3*time.Second, 5e-10, Bounds{50, 400}, 100, r).GOGC
		if i < 10 && got != 100 {
			t.Fatalf("GOGC %d at look %d", got, i)
		}
	}
	// 1 - exp(-0.1) = 0.0952: t = 0.05 + 0.0952 x 0.45 = 0.0928, and sqrt(0.0928/0.05) = 1.362.
	if got != 136 {
		t.Errorf("GOGC %d, want 136", got)
	}
}

// What is allocated is a count, so a load that changes is followed at once: four
// times as much is twice the headroom, within the dead band after 15 s.
func TestTheLoadIsFollowed(t *testing.T) {
	p := &Price{}
	r := Reading{Live: 100 * mb, Container: None}
	gogc, rate := int64(100), 100.0*mb
	look := func(second int) {
		r.Allocated += rate
		collections := rate / (100 * mb * float64(gogc) / 100)
		r.Cycles += uint64(math.Round(collections))
		r.GCCPU += 0.05 * math.Round(collections)
		gogc = p.Step(time.Duration(second)*time.Second, 5e-10, Bounds{50, 400}, gogc, r).GOGC
	}
	for second := range 60 {
		look(second)
	}
	if gogc < 90 || gogc > 110 {
		t.Fatalf("at 100 MB/s GOGC is %d, want 100", gogc)
	}
	rate = 400 * mb
	for second := range 15 {
		look(60 + second)
	}
	if gogc < 180 || gogc > 220 {
		t.Errorf("15 s after the load rose to 400 MB/s GOGC is %d, want 200", gogc)
	}
}
