package load

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func mustPlan(t *testing.T, text string) *schedule {
	t.Helper()
	stages, err := parsePlan(text)
	if err != nil {
		t.Fatal(err)
	}
	return planned(stages)
}

func TestPlanParsing(t *testing.T) {
	stages, err := parsePlan("20x30s, 0.5x2m,0x1s")
	if err != nil {
		t.Fatal(err)
	}
	want := []stage{{20, 30 * time.Second}, {0.5, 2 * time.Minute}, {0, time.Second}}
	for i := range want {
		if stages[i] != want[i] {
			t.Errorf("stage %d: %v, want %v", i, stages[i], want[i])
		}
	}
	for _, bad := range []string{"", "20", "20x", "x30s", "-1x30s", "20x-1s", "20x0s", "NaNx1s", "Infx1s", "1e9x1s", "20x30s,"} {
		if _, err := parsePlan(bad); err == nil {
			t.Errorf("plan %q is accepted", bad)
		}
	}
}

func TestRequestsAreDueByThePlanAlone(t *testing.T) {
	s := mustPlan(t, "20x30s,0x10s,60x120s")
	for number, want := range map[uint64]time.Duration{
		0:    0,
		1:    50 * time.Millisecond,
		599:  29950 * time.Millisecond,
		600:  40 * time.Second, // nothing is due in the pause
		660:  41 * time.Second,
		7799: 40*time.Second + seconds(7199.0/60),
	} {
		if got, known := s.due(number); !known || got != want {
			t.Errorf("request %d is due at %s (%v), want %s", number, got, known, want)
		}
	}
	if at, known := s.due(7800); known {
		t.Errorf("request 7800 is due at %s, after the end", at)
	}
	for at, want := range map[time.Duration]uint64{0: 0, time.Second: 20, 30 * time.Second: 600, 40 * time.Second: 600, 41 * time.Second: 660, time.Hour: 7800} {
		if got := s.count(at); got != want {
			t.Errorf("%d requests are due before %s, want %d", got, at, want)
		}
	}
}

func TestCountAndDueAgree(t *testing.T) {
	s := mustPlan(t, "7x3s,0.3x10s,13.7x5s")
	for number := range s.count(time.Hour) {
		at, known := s.due(number)
		if !known {
			t.Fatalf("request %d is counted and never due", number)
		}
		if before, after := s.count(at), s.count(at+time.Millisecond); before > number || after != number+1 {
			t.Errorf("request %d at %s: %d due before, %d just after", number, at, before, after)
		}
	}
}

func TestRateChangeLeavesThePastAlone(t *testing.T) {
	s := newSchedule()
	if _, known := s.due(0); known {
		t.Error("a request is due without a rate")
	}
	s.setRate(0, 10)
	s.setRate(2*time.Second, 100)
	for number, want := range map[uint64]time.Duration{19: 1900 * time.Millisecond, 20: 2 * time.Second, 120: 3 * time.Second} {
		if got, _ := s.due(number); got != want {
			t.Errorf("request %d is due at %s, want %s", number, got, want)
		}
	}
}

func TestPacerWaitsAndNeverSlowsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		p := &pacer{schedule: mustPlan(t, "10x2s"), ctx: context.Background(), started: func(time.Time) {}}
		pace := func(hits uint64) bool {
			wait, stop := p.Pace(time.Since(began), hits)
			if wait != 0 {
				t.Errorf("Vegeta is told to sleep %s, and would miss changes", wait)
			}
			return stop
		}
		pace(0)
		pace(1)
		if got := time.Since(began); got != 100*time.Millisecond {
			t.Errorf("the second request is sent at %s, want 100ms", got)
		}
		time.Sleep(5 * time.Second) // the senders hang past the plan's end
		for hits := uint64(2); hits < 20; hits++ {
			if pace(hits) {
				t.Fatalf("request %d is dropped because it is late", hits)
			}
		}
		if got := time.Since(began); got != 5100*time.Millisecond {
			t.Errorf("overdue requests were held back until %s", got)
		}
		if !pace(20) {
			t.Error("the plan does not end")
		}
	})
}

func TestPacerFollowsARateThatChangesWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		s := newSchedule()
		s.setRate(0, 0.001) // the second request is due in a quarter of an hour
		began := time.Now()
		go func() {
			time.Sleep(time.Second)
			s.setRate(time.Second, 10)
			time.Sleep(time.Second)
			cancel()
		}()
		p := &pacer{schedule: s, ctx: ctx, started: func(time.Time) {}}
		p.Pace(0, 0)
		p.Pace(0, 1)
		if got := time.Since(began).Round(time.Millisecond); got != 1100*time.Millisecond {
			t.Errorf("the second request is sent at %s, want 1.1s", got)
		}
		if _, stop := p.Pace(time.Since(began), 1000); !stop {
			t.Error("the pacer does not end with its context")
		}
		if got := time.Since(began); got != 2*time.Second {
			t.Errorf("the pacer ended at %s, want 2s", got)
		}
	})
}
