package law

import (
	"math"
	"time"
)

const (
	slew     = 1.5 // a step is at most this factor, up or down
	deadBand = 0.1 // changes below this share are not made
	cycles   = 3   // collections between two steps
	// What a collection costs is told in wall time, so on a machine with other
	// work one says ten times what the next does: it is smoothed for long. What is
	// allocated is a count, and follows the load.
	costMemory = 30 * time.Second
	rateMemory = 5 * time.Second
)

// Price sets GOGC by what memory costs: a collection costs the same CPU
// whenever it comes, so E bytes of garbage allowed cost g t/E cores, and E
// bytes at the price lambda cost lambda E. The sum is least at
// E = sqrt(g t/lambda). The zero value is ready.
type Price struct {
	begun bool
	last  time.Duration
	from  Reading       // at the last step
	began time.Duration // when that was
	gogc  int64

	rate, cost float64 // g and t, smoothed
}

// Step is the law: GOGC = 100 E/(L+R), within the bounds, and with a predicted
// peak L+E+O+N under 0.85 of the container's limit. GOGC starts at what it is.
func (p *Price) Step(now time.Duration, lambda float64, bounds Bounds, gogc int64, r Reading) Values {
	if !p.begun {
		if gogc < 0 { // collections are off: the highest is the nearest to it
			gogc = bounds.Max
		}
		*p = Price{begun: true, last: now, began: now, from: r, gogc: bounds.clamp(float64(gogc))}
		p.gogc = min(p.gogc, p.ceiling(bounds, r))
		return Values{GOGC: p.gogc}
	}
	if now-p.last < pace {
		return Values{GOGC: p.gogc}
	}
	p.last = now
	p.gogc = bounds.clamp(float64(p.gogc)) // they may have moved with a new line
	// A peak that does not fit is no matter of price: no pause, no slew.
	if ceiling := p.ceiling(bounds, r); ceiling < p.gogc {
		p.step(now, ceiling, r)
		return Values{GOGC: p.gogc}
	}
	if r.Cycles < p.from.Cycles+cycles || now <= p.began {
		return Values{GOGC: p.gogc}
	}
	wanted := p.ideal(now, lambda, bounds, r)
	if math.Abs(wanted-float64(p.gogc)) < deadBand*float64(p.gogc) {
		p.from, p.began = r, now
		return Values{GOGC: p.gogc}
	}
	current := float64(p.gogc)
	p.step(now, bounds.clamp(min(max(wanted, current/slew), current*slew)), r)
	return Values{GOGC: p.gogc}
}

func (p *Price) step(now time.Duration, gogc int64, r Reading) {
	p.gogc, p.from, p.began = gogc, r, now
}

// ideal is the GOGC of the best E, within the bounds and the peak, over the
// collections since the last step.
func (p *Price) ideal(now time.Duration, lambda float64, bounds Bounds, r Reading) float64 {
	rate := (r.Allocated - p.from.Allocated) / (now - p.began).Seconds()
	cost := r.GCCPU - p.from.GCCPU
	// The runtime counts wall time on all its processors: on a machine that is
	// contended that can be more than the process had at all.
	if r.CPU > p.from.CPU {
		cost = min(cost, r.CPU-p.from.CPU)
	}
	cost /= float64(r.Cycles - p.from.Cycles)
	if !(rate > 0 && cost > 0) || r.Live+r.Roots <= 0 {
		return float64(p.gogc)
	}
	if p.rate == 0 {
		p.rate, p.cost = rate, cost
	} else {
		weight := func(memory time.Duration) float64 { return 1 - math.Exp(-float64(now-p.began)/float64(memory)) }
		p.rate += weight(rateMemory) * (rate - p.rate)
		p.cost += weight(costMemory) * (cost - p.cost)
	}
	best := math.Sqrt(p.rate * p.cost / lambda)
	gogc := float64(bounds.clamp(100 * best / float64(r.Live+r.Roots)))
	return min(gogc, float64(p.ceiling(bounds, r)))
}

// ceiling is the highest GOGC whose peak fits the container, not below the
// lower bound: under it more collections cost more than the memory is worth,
// and it is the breaker that acts.
func (p *Price) ceiling(bounds Bounds, r Reading) int64 {
	if r.Container == None || r.Live+r.Roots <= 0 {
		return bounds.Max
	}
	room := safePeak*float64(r.Container) - float64(r.Live+r.Overhead()+max(0, r.Unmanaged()))
	gogc := math.Floor(100 * room / float64(r.Live+r.Roots))
	return bounds.clamp(gogc)
}
