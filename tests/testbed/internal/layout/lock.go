package layout

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Lock makes whoever brings a bed up or down wait for the one before.
func (d Dir) Lock() (unlock func(), err error) { return lock(d.join("lock")) }

// LockPrometheus does the same for those who start Prometheus servers: each
// looks for a free port, and must have it before the next one looks.
func (d Dir) LockPrometheus() (unlock func(), err error) { return lock(d.join("prometheus.lock")) }

func lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the test bed: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock the test bed: %w", err)
	}
	return func() { file.Close() }, nil
}
