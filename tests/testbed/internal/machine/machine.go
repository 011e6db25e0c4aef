// Package machine is what a test bed asks of the machine below it: control
// groups, a mount namespace, a bridge, a few kernel settings. Every change has
// its undoing in the same file.
package machine

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Unfit is the error of a machine that can't hold a test bed: not a failure of
// ours, so callers may skip instead of fail.
type Unfit struct{ Reason string }

func (u Unfit) Error() string { return u.Reason }

// CheckFit finds the first thing that this machine lacks.
func CheckFit() error {
	if os.Geteuid() != 0 {
		return Unfit{"the test bed runs a real node and needs root: run it with sudo"}
	}
	capabilities, err := effectiveCapabilities()
	if err != nil {
		return err
	}
	for name, bit := range map[string]uint{"CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN, "CAP_NET_ADMIN": unix.CAP_NET_ADMIN} {
		if capabilities&(1<<bit) == 0 {
			return Unfit{fmt.Sprintf("root has no %s here: use a machine, or a container started with --privileged", name)}
		}
	}
	cgroup, err := NewCgroup("flyball-probe")
	if err != nil {
		return err
	}
	err = cgroup.Create()
	if removal := cgroup.Remove(); err == nil {
		err = removal
	}
	if err != nil {
		return Unfit{fmt.Sprintf("control groups can't be used (%v): mount /sys/fs/cgroup writable", err)}
	}
	return nil
}

func effectiveCapabilities() (uint64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(string(status), "\n") {
		if value, ok := strings.CutPrefix(line, "CapEff:"); ok {
			return strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		}
	}
	return 0, fmt.Errorf("/proc/self/status names no capabilities")
}
