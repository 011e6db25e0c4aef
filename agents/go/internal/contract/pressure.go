package contract

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	warnAfter      = 5 * time.Second
	emergencyAfter = 2 * time.Second // three looks, a second apart
	emergencyLooks = 3
	below          = 3.0 // points under a watermark, at which its level ends
	endsAfter      = 10 * time.Second
)

func watermarks(text string) (*[3]float64, string) {
	usual := &[3]float64{80, 90, 95}
	switch text {
	case "":
		return usual, ""
	case "off":
		return nil, ""
	}
	parts := strings.Split(text, ",")
	var marks [3]float64
	good := len(parts) == len(marks)
	for i := 0; good && i < len(marks); i++ {
		var err error
		marks[i], err = strconv.ParseFloat(parts[i], 64)
		good = err == nil && marks[i] > 0 && !math.IsInf(marks[i], 0) && (i == 0 || marks[i] >= marks[i-1])
	}
	if !good {
		return usual, fmt.Sprintf("FLYBALL_WATERMARKS=%.40q are not three rising numbers or off: it is 80,90,95", text)
	}
	return &marks, ""
}

// mark is one watermark with its level's history.
type mark struct {
	percent float64
	active  bool
	above   run // looks at or above it
	below   run // looks 3 points below it
}

// run is an unbroken row of looks.
type run struct {
	looks int
	since time.Duration
}

func (r *run) look(now time.Duration, holds bool) time.Duration {
	if !holds {
		r.looks = 0
		return 0
	}
	if r.looks == 0 {
		r.since = now
	}
	r.looks++
	return now - r.since
}

// levels are the agent's own watermarks.
type levels [3]mark

func newLevels(marks *[3]float64) *levels {
	if marks == nil {
		return nil
	}
	var l levels
	for i := range l {
		l[i].percent = marks[i]
	}
	return &l
}

// look takes how full the container is, in percent, and returns the highest
// level that counts.
func (l *levels) look(now time.Duration, percent float64) Level {
	if l == nil {
		return Normal
	}
	level := Normal
	for i := range l {
		m := &l[i]
		above := m.above.look(now, percent >= m.percent)
		ended := m.below.look(now, percent <= m.percent-below)
		switch {
		case m.active:
			m.active = !(m.below.looks > 0 && ended >= endsAfter)
		case Level(i+1) == Emergency:
			m.active = m.above.looks >= emergencyLooks && above >= emergencyAfter
		default:
			m.active = m.above.looks >= 2 && above >= warnAfter
		}
		if m.active {
			level = Level(i + 1)
		}
	}
	return level
}
