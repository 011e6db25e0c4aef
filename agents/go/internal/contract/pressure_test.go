package contract

import "testing"

// Of 100 MiB that live, 100 MiB/s and 0.1 s a collection, E = sqrt(g t/lambda) is
// 200 MiB at this price, GOGC 200. Eight times the price is 1/sqrt(8) of that:
// 71. A step is at most 1.5 times.
func TestUnderPressureMemoryIsDearer(t *testing.T) {
	const lambda = "lambda=2.384185791015625e-10 gogc-min=50 gogc-max=400"
	b := newBench(t, nil, Values{100, None})
	step := func(words string, expect ...int64) {
		t.Helper()
		for _, gogc := range expect {
			b.line("gen=1 " + lambda + words)
			b.gc.Allocated += 1000 << 20
			b.gc.GCCPU += 1
			b.after(10, 10)
			b.knobsAre(gogc, None)
		}
	}
	step("", 100, 150, 200, 200)
	step(" pressure=warning", 200)
	step(" pressure=high", 133, 89, 71, 71)
	// In an emergency it stays: neither tighter nor looser.
	step(" pressure=emergency", 71, 71)
	step("", 107, 161, 200)
}
