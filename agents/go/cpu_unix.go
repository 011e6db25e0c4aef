//go:build unix

package agent

import (
	"syscall"
	"time"
)

// cpu is the time that the process has had, in seconds; 0: unknown.
func cpu() float64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
}
