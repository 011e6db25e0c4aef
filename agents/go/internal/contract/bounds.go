package contract

import (
	"fmt"

	"flyball.dev/agent/internal/law"
)

// Config is what the process's own environment says.
type Config struct {
	Disabled bool  // FLYBALL_AGENT=off
	GOGC     Bound // FLYBALL_GOGC_MIN, FLYBALL_GOGC_MAX
	AllowOff bool  // FLYBALL_GOGC_OFF=allow
	MemLimit Bound // FLYBALL_MEMLIMIT_MIN, FLYBALL_MEMLIMIT_MAX; a Max of None is none
	// Marked is the generation that the file of probation named at the start; 0: none.
	Marked int64
	// State is whether there is a folder for probation.
	State bool
	// Watermarks are the agent's own, in percent of the container's limit; nil: none.
	Watermarks *[3]float64
}

// Bound is a local bound, which wins over the line.
type Bound struct{ Min, Max int64 }

// Where both bounds can't hold, the upper one does.
func (r Bound) clamp(n int64) int64 { return min(max(n, r.Min), r.Max) }

// Getenv is os.Getenv, or a test's.
type Getenv func(string) string

// Configure reads the local settings. A bound that can't be read as a number is
// as if it were not set; the notes say which.
func Configure(getenv Getenv) (Config, []string) {
	var notes []string
	bound := func(name string, unset, lowest, highest int64) int64 {
		text := getenv(name)
		if text == "" {
			return unset
		}
		number, tooBig, ok := whole(text)
		if !ok {
			notes = append(notes, fmt.Sprintf("%s=%.40q is no whole number: it is as if it were not set", name, text))
			return unset
		}
		if tooBig {
			return highest
		}
		return Bound{lowest, highest}.clamp(number)
	}
	config := Config{
		Disabled: getenv("FLYBALL_AGENT") == "off",
		GOGC:     Bound{bound("FLYBALL_GOGC_MIN", 50, 1, 1000), bound("FLYBALL_GOGC_MAX", 1000, 1, 1000)},
		AllowOff: getenv("FLYBALL_GOGC_OFF") == "allow",
		MemLimit: Bound{bound("FLYBALL_MEMLIMIT_MIN", 0, 0, maxBytes), bound("FLYBALL_MEMLIMIT_MAX", None, minBytes, None)},
		State:    getenv("FLYBALL_STATE_DIR") != "",
	}
	marks, note := watermarks(getenv("FLYBALL_WATERMARKS"))
	config.Watermarks = marks
	if note != "" {
		notes = append(notes, note)
	}
	return config, notes
}

const (
	// A limit or a set-point above these shares of the container's own limit
	// would let the kernel end the process first. 0.97 is where the breaker
	// trips, and a set-point moves by 2 %.
	limitShare = 0.97
	rssShare   = 0.95
	// The bounds of what a law may set, where the line names none.
	lawMin, lawMax = 50, 400
)

func part(share float64, container int64) int64 {
	if container == None {
		return None
	}
	return int64(share * float64(container))
}

// gogc is what a line's gogc is applied as.
func (c Config) gogc(n int64) int64 {
	if n == Off {
		return Off
	}
	return c.GOGC.clamp(n)
}

// memLimit is what a line's memlimit is applied as, in a container with that limit.
func (c Config) memLimit(n, container int64) int64 {
	limit := c.MemLimit.clamp(n)
	if n == None {
		return limit
	}
	return min(limit, part(limitShare, container))
}

func (c Config) rss(n, container int64) int64 {
	return min(n, c.MemLimit.Max, part(rssShare, container))
}

// bounds are those of a law: the line's, or the usual ones, within the local.
func (c Config) bounds(k Knobs) law.Bounds {
	low, high := k.GOGCMin, k.GOGCMax
	if low == 0 {
		low = lawMin
		if high != 0 {
			low = min(low, high)
		}
	}
	if high == 0 {
		high = max(lawMax, low)
	}
	low, high = c.GOGC.clamp(low), c.GOGC.clamp(high)
	return law.Bounds{Min: min(low, high), Max: high}
}

// refuses is the part of the refusal that the local settings decide.
func (c Config) refuses(k Knobs, container int64) Reason {
	switch {
	case k.RSS != 0 && container == None && c.MemLimit.Max == None:
		return Unsupported
	case k.GOGC == Off && !c.AllowOff:
		return OffRefused
	default:
		return ""
	}
}

// Clamped tells for each knob of the line whether a local bound is in force.
func (c Config) clamped(k Knobs, container int64) map[string]bool {
	out := map[string]bool{}
	set := func(key string, named bool, asked, applied int64) {
		if named {
			out[key] = asked != applied
		}
	}
	bounds := c.bounds(k)
	set("gogc", k.GOGC != 0, k.GOGC, c.gogc(k.GOGC))
	set("memlimit", k.MemLimit != 0, k.MemLimit, c.memLimit(k.MemLimit, container))
	set("rss", k.RSS != 0, k.RSS, c.rss(k.RSS, container))
	set("gogc-min", k.GOGCMin != 0, k.GOGCMin, bounds.Min)
	set("gogc-max", k.GOGCMax != 0, k.GOGCMax, bounds.Max)
	return out
}
