// Package heap is a service whose memory behaves as it is told.
package heap

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// Settings are what an administrator can turn. Sizes are bytes.
type Settings struct {
	Live    int64   `setting:"live"`     // the live heap, cache and leak not counted
	Request int64   `setting:"request"`  // garbage that one request makes
	Churn   int64   `setting:"churn"`    // garbage that is made each second, whoever asks
	Leak    int64   `setting:"leak"`     // what each second adds for good; 0 lets go of all of it
	Cache   int64   `setting:"cache"`    // the largest size of the cache, which requests fill
	Entry   int64   `setting:"entry"`    // what one request adds to it
	HighRPS float64 `setting:"high-rps"` // requests a second that are served at pressure high; 0: all
}

// FromEnvironment reads HEAP_LIVE and so on.
func FromEnvironment(getenv func(string) string) (Settings, error) {
	s := Settings{Entry: 64 << 10}
	err := s.Set(func(name string) string {
		return getenv("HEAP_" + strings.ReplaceAll(strings.ToUpper(name), "-", "_"))
	})
	return s, err
}

// Set takes all that get names, or nothing.
func (s *Settings) Set(get func(name string) string) error {
	next := *s
	fields := reflect.ValueOf(&next).Elem()
	for i := range fields.NumField() {
		name := fields.Type().Field(i).Tag.Get("setting")
		text := get(name)
		if text == "" {
			continue
		}
		n, err := size(text)
		if err != nil {
			return fmt.Errorf("%s=%q: give a number that is not negative, such as 500, 64Ki or 1.5Gi", name, text)
		}
		if field := fields.Field(i); field.CanInt() {
			field.SetInt(int64(n))
		} else {
			field.SetFloat(n)
		}
	}
	*s = next
	return nil
}

func size(text string) (float64, error) {
	unit := 1.0
	for suffix, factor := range map[string]float64{"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30} {
		if rest, found := strings.CutSuffix(text, suffix); found {
			text, unit = rest, factor
			break
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0) || math.IsInf(n, 0) || n*unit > 1<<50 {
		return 0, fmt.Errorf("no size: %q", text)
	}
	return n * unit, nil
}
