// Package contract is the agent's decision: what a line asks for, whether it is
// taken, and which knobs move. It knows no clock, no file and no runtime: time
// and what was read are arguments, so that every case runs without waiting.
package contract

import (
	"math"
	"strconv"
	"strings"
)

// Off is gogc=off, and None is no memory limit, as the runtime spells them.
const (
	Off  int64 = -1
	None int64 = math.MaxInt64
)

// maxLine is the longest line, in bytes.
const maxLine = 1024

// Level is what the application is told of memory.
type Level int

// The levels, in rising order.
const (
	Normal Level = iota
	Warning
	High
	Emergency
)

func (l Level) String() string {
	switch l {
	case Warning:
		return "warning"
	case High:
		return "high"
	case Emergency:
		return "emergency"
	default:
		return "normal"
	}
}

// Knobs are what a line asks of the collector, as it is written: 0 is a knob
// that the line does not name, because no knob may be 0.
type Knobs struct {
	GOGC     int64   // percent, or Off
	MemLimit int64   // bytes, or None
	RSS      int64   // bytes
	Lambda   float64 // cores per byte
	GOGCMin  int64   // percent
	GOGCMax  int64   // percent
}

// Line is a line that was understood.
type Line struct {
	Gen      int64
	TTL      int64 // seconds
	Exp      int64 // seconds since 1970
	Reclaim  int64
	Pressure Level
	Knobs    Knobs
}

// value is one key's value: up to three whole numbers, a decimal or a word.
type value struct {
	numbers [3]int64
	decimal float64
	word    string
	tooBig  bool // digits that no 64-bit number holds
}

// Parse reads a line whose end is trimmed. The reason is "" where it can be
// taken as far as the line alone tells.
func Parse(text string) (Line, Reason) {
	if len(text) > maxLine {
		return Line{}, TooLong
	}
	words, ok := split(text)
	if !ok {
		return Line{}, Syntax
	}
	if words[0] != "v1" {
		return Line{}, Version
	}
	raw := make(map[string]string, len(words))
	unknown := false
	for _, word := range words[1:] {
		key, text, _ := strings.Cut(word, "=")
		if _, twice := raw[key]; twice {
			return Line{}, Duplicate
		}
		raw[key] = text
		if _, known := table[key]; !known {
			unknown = true
		}
	}
	if unknown {
		return Line{}, Unknown
	}
	values := make(map[string]value, len(raw))
	for key, text := range raw {
		v, ok := table[key].read(text)
		if !ok {
			return Line{}, Syntax
		}
		values[key] = v
	}
	for _, needed := range []string{"gen", "ttl", "exp"} {
		if _, there := values[needed]; !there {
			return Line{}, Syntax
		}
	}
	for key, v := range values {
		if !table[key].holds(v) {
			return Line{}, Range
		}
	}
	if !together(values) {
		return Line{}, Range
	}
	for key := range values {
		if owner := table[key].runtime; owner != "" && owner != "go" {
			return Line{}, Unsupported
		}
	}
	return line(values), ""
}

func line(values map[string]value) Line {
	number := func(key string) int64 { return values[key].numbers[0] }
	l := Line{
		Gen: number("gen"), TTL: number("ttl"), Exp: number("exp"), Reclaim: number("reclaim"),
		Knobs: Knobs{
			GOGC: number("gogc"), MemLimit: number("memlimit"), RSS: number("rss"),
			Lambda: values["lambda"].decimal, GOGCMin: number("gogc-min"), GOGCMax: number("gogc-max"),
		},
	}
	if values["gogc"].word != "" {
		l.Knobs.GOGC = Off
	}
	if values["memlimit"].word != "" {
		l.Knobs.MemLimit = None
	}
	for _, level := range []Level{Warning, High, Emergency} {
		if values["pressure"].word == level.String() {
			l.Pressure = level
		}
	}
	return l
}

// split checks the form of a line: printable ASCII, two words or more with
// single spaces between, all but the first key=value.
func split(text string) ([]string, bool) {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return nil, false
		}
	}
	words := strings.Split(text, " ")
	if len(words) < 2 || words[0] == "" {
		return nil, false
	}
	for _, word := range words[1:] {
		key, value, found := strings.Cut(word, "=")
		if !found || key == "" || value == "" || strings.Contains(value, "=") {
			return nil, false
		}
	}
	return words, true
}

// together are the keys that need or exclude each other.
func together(values map[string]value) bool {
	has := func(key string) bool { _, there := values[key]; return there }
	ordered := func(low, high string) bool {
		return !has(low) || !has(high) || values[low].numbers[0] <= values[high].numbers[0]
	}
	rss, lambda := has("rss"), has("lambda")
	switch {
	case rss && (lambda || has("gogc") || has("memlimit")):
		return false
	case lambda && has("gogc"):
		return false
	case (has("gogc-min") || has("gogc-max")) && !rss && !lambda:
		return false
	}
	return ordered("gogc-min", "gogc-max") && ordered("min-heap-free", "max-heap-free")
}

// whole reads digits only, without sign and without leading zeros.
func whole(text string) (number int64, tooBig, ok bool) {
	if text == "" || len(text) > 1 && text[0] == '0' || strings.Trim(text, "0123456789") != "" {
		return 0, false, false
	}
	number, err := strconv.ParseInt(text, 10, 64)
	return number, err != nil, true
}

// decimal reads a whole number that may have a fraction and an exponent. What
// no float holds is no number.
func decimal(text string) (float64, bool) {
	mantissa, exponent, scaled := strings.Cut(strings.ToLower(text), "e")
	before, after, fraction := strings.Cut(mantissa, ".")
	if _, _, ok := whole(before); !ok || fraction && !digits(after) {
		return 0, false
	}
	if scaled {
		unsigned := exponent
		if exponent != "" && strings.IndexByte("+-", exponent[0]) >= 0 {
			unsigned = exponent[1:]
		}
		if !digits(unsigned) {
			return 0, false
		}
	}
	number, err := strconv.ParseFloat(text, 64)
	return number, err == nil && !math.IsInf(number, 0)
}

func digits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}
