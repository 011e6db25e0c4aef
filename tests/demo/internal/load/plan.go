package load

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// stage is a part of a plan.
type stage struct {
	rate     float64
	duration time.Duration
}

// parsePlan reads a plan such as "20x30s,60x2m": requests a second, and how long.
func parsePlan(text string) ([]stage, error) {
	var stages []stage
	for _, part := range strings.Split(text, ",") {
		rateText, durationText, ok := strings.Cut(strings.TrimSpace(part), "x")
		if !ok {
			return nil, fmt.Errorf("plan: %q is not RATExDURATION, such as 20x30s", part)
		}
		rate, err := parseRate(rateText)
		if err != nil {
			return nil, fmt.Errorf("plan: %q: %w", part, err)
		}
		duration, err := time.ParseDuration(durationText)
		if err != nil || duration <= 0 {
			return nil, fmt.Errorf("plan: %q: the duration must be positive, such as 30s", part)
		}
		stages = append(stages, stage{rate, duration})
	}
	return stages, nil
}

// parseRate reads requests a second. The bound keeps a slip of the finger from
// becoming a flood.
func parseRate(text string) (float64, error) {
	const most = 100_000
	rate, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || !(rate >= 0 && rate <= most) {
		return 0, fmt.Errorf("rate %q: give requests a second from 0 to %d", text, most)
	}
	return rate, nil
}

// planned makes a plan into a schedule.
func planned(stages []stage) *schedule {
	s := newSchedule()
	var at time.Duration
	for _, stage := range stages {
		s.setRate(at, stage.rate)
		at += stage.duration
	}
	s.finish(at)
	return s
}
