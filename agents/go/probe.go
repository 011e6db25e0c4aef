package agent

import (
	"io"
	"math"
	"os"
	"runtime/metrics"

	"flyball.dev/agent/internal/contract"
	"flyball.dev/agent/internal/law"
)

// What the runtime is asked, in this order.
var names = [...]string{
	"/gc/gogc:percent",
	"/gc/gomemlimit:bytes",
	"/gc/cycles/total:gc-cycles",
	"/gc/limiter/last-enabled:gc-cycle",
	"/gc/heap/live:bytes",
	"/gc/scan/stack:bytes",
	"/gc/scan/globals:bytes",
	"/gc/heap/goal:bytes",
	"/memory/classes/heap/objects:bytes",
	"/memory/classes/heap/free:bytes",
	"/memory/classes/total:bytes",
	"/memory/classes/heap/released:bytes",
	"/gc/heap/allocs:bytes",
	"/cpu/classes/gc/total:cpu-seconds",
	"/cpu/classes/gc/mark/idle:cpu-seconds",
}

// probe asks the runtime; it may be used by one at a time.
type probe struct {
	samples [len(names)]metrics.Sample
}

func newProbe() probe {
	var p probe
	for i, name := range names {
		p.samples[i].Name = name
	}
	return p
}

// read stops nothing: all of it is kept by the runtime anyway.
func (p *probe) read(container int64) (law.Reading, contract.Values) {
	metrics.Read(p.samples[:])
	whole := func(i int) int64 {
		if p.samples[i].Value.Kind() != metrics.KindUint64 {
			return 0
		}
		return int64(min(p.samples[i].Value.Uint64(), math.MaxInt64))
	}
	decimal := func(i int) float64 {
		if p.samples[i].Value.Kind() != metrics.KindFloat64 {
			return 0
		}
		return p.samples[i].Value.Float64()
	}
	current := contract.Values{GOGC: whole(0), Limit: whole(1)}
	if current.GOGC > math.MaxInt32 { // off is -1, and without sign a very high number
		current.GOGC = contract.Off
	}
	return law.Reading{
		Cycles: uint64(whole(2)), LimiterCycle: uint64(whole(3)),
		Live: whole(4), Roots: whole(5) + whole(6), Goal: whole(7), Objects: whole(8), Free: whole(9),
		Managed:  whole(10) - whole(11),
		Resident: resident(), Container: container,
		Allocated: float64(whole(12)), GCCPU: decimal(13) - decimal(14), CPU: cpu(),
	}, current
}

// readFile reads the line. What is longer than any annotation is cut, and too long anyway.
func readFile(path string) (string, bool) {
	file, err := os.Open(path)
	if err != nil {
		return "", false
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxFile))
	if err != nil {
		return "", false
	}
	return string(raw), true
}
