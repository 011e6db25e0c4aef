package agent

import (
	"os"
	"strconv"
	"strings"
)

// resident is the memory of the process that is in RAM, in bytes; 0: unknown.
func resident() int64 {
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	// Pages: size, resident, and others.
	_, rest, _ := strings.Cut(string(raw), " ")
	pages, _, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseInt(pages, 10, 64)
	if err != nil {
		return 0
	}
	return n * int64(os.Getpagesize())
}
