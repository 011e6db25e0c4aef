package contract

import "strings"

// Reason is why a line was refused; "" is not at all.
type Reason string

// The reasons, in the order in which they are tried.
const (
	TooLong     Reason = "too-long"
	Syntax      Reason = "syntax"
	Version     Reason = "version"
	Duplicate   Reason = "duplicate"
	Unknown     Reason = "unknown"
	Range       Reason = "range"
	Unsupported Reason = "unsupported"
	OffRefused  Reason = "off"
	Old         Reason = "old"
	Changed     Reason = "changed"
	Expired     Reason = "expired"
	Probation   Reason = "probation"
	Foreign     Reason = "foreign"
)

// Reasons are all of them, for the counter that starts at 0 for each.
var Reasons = []Reason{
	TooLong, Syntax, Version, Duplicate, Unknown, Range, Unsupported, OffRefused, Old, Changed, Expired, Probation, Foreign,
}

type kind int

const (
	wholeNumber kind = iota
	decimalNumber
	threeNumbers
	oneWord
)

// form is a row of the contract's table: how a value is written, and its range.
type form struct {
	runtime  string // whose key it is; "" is everybody's
	kind     kind
	min, max int64
	word     string // a word that stands instead of a number
}

const (
	maxWhole = 1<<63 - 1
	maxBytes = 1 << 50
	minBytes = 4 << 20
)

// The keys of all runtimes: a value of another's key can be wrong as well, and
// that counts before whose key it is.
var table = map[string]form{
	"gen":                  {min: 1, max: maxWhole},
	"ttl":                  {min: 1, max: 604800},
	"exp":                  {max: maxWhole},
	"reclaim":              {max: maxWhole},
	"pressure":             {kind: oneWord},
	"gogc":                 {runtime: "go", min: 1, max: 1000, word: "off"},
	"memlimit":             {runtime: "go", min: minBytes, max: maxBytes, word: "none"},
	"rss":                  {runtime: "go", min: minBytes, max: maxBytes},
	"lambda":               {runtime: "go", kind: decimalNumber},
	"gogc-min":             {runtime: "go", min: 1, max: 1000},
	"gogc-max":             {runtime: "go", min: 1, max: 1000},
	"soft-max-heap":        {runtime: "java", max: maxBytes},
	"g1-periodic-interval": {runtime: "java", max: 86400000},
	"min-heap-free":        {runtime: "java", max: 100},
	"max-heap-free":        {runtime: "java", max: 100},
	"heap-growing-percent": {runtime: "node", min: 1, max: 400},
	"gc-thresholds":        {runtime: "python", kind: threeNumbers, max: 1000000000},
	"freeze":               {runtime: "python", max: maxWhole},
}

// read is false where the text is not of the key's form.
func (f form) read(text string) (value, bool) {
	switch f.kind {
	case decimalNumber:
		number, ok := decimal(text)
		return value{decimal: number}, ok
	case oneWord:
		for level := Normal; level <= Emergency; level++ {
			if text == level.String() {
				return value{word: text}, true
			}
		}
		return value{}, false
	case threeNumbers:
		parts := strings.Split(text, ",")
		if len(parts) != 3 {
			return value{}, false
		}
		var v value
		for i, part := range parts {
			number, tooBig, ok := whole(part)
			if !ok {
				return value{}, false
			}
			v.numbers[i], v.tooBig = number, v.tooBig || tooBig
		}
		return v, true
	default:
		if f.word != "" && text == f.word {
			return value{word: text}, true
		}
		number, tooBig, ok := whole(text)
		return value{numbers: [3]int64{number}, tooBig: tooBig}, ok
	}
}

// holds is whether a value of the right form is in its range.
func (f form) holds(v value) bool {
	switch {
	case v.tooBig:
		return false
	case v.word != "":
		return true
	case f.kind == decimalNumber:
		return v.decimal > 0 && v.decimal <= 1
	case f.kind == threeNumbers:
		for _, number := range v.numbers {
			if number > f.max {
				return false
			}
		}
		return true
	default:
		return v.numbers[0] >= f.min && v.numbers[0] <= f.max
	}
}
