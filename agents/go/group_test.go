//go:build linux

package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// group makes a control group of this process's own kind, for a child; the
// test is skipped where that is not allowed.
func group(t *testing.T) (dir, limit string) {
	t.Helper()
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Skip("no control groups: ", err)
	}
	for _, line := range strings.Split(string(own), "\n") {
		fields := strings.SplitN(line, ":", 3)
		if len(fields) != 3 {
			continue
		}
		parent := ""
		switch {
		case fields[1] == "memory":
			parent, limit = "/sys/fs/cgroup/memory"+fields[2], "memory.limit_in_bytes"
		case fields[0] == "0":
			parent, limit = "/sys/fs/cgroup"+fields[2], "memory.max"
		default:
			continue
		}
		dir, err = os.MkdirTemp(parent, "flyball-test-")
		if err != nil {
			continue
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
		if os.WriteFile(filepath.Join(dir, limit), []byte("536870912"), 0o644) == nil {
			return dir, limit
		}
	}
	t.Skip("no control group can be made here")
	return "", ""
}

// A container that is resized in place: the limit of a real group moves while
// the process runs.
func TestALimitIsFollowed(t *testing.T) {
	dir, limit := group(t)
	c := newChild(t)
	c.mount(line("gen=1 memlimit=1073741824"))
	c.wrap = []string{"/bin/sh", "-c", fmt.Sprintf("echo $$ > %s/cgroup.procs && exec %s", dir, os.Args[0])}
	c.start("idle")
	t.Cleanup(func() { // the group can only go once it is empty
		c.kill()
		for range 100 {
			if err := os.Remove(dir); err == nil || os.IsNotExist(err) {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
	c.until(map[string]float64{"container_limit_bytes": 512 << 20, `knob{knob="memlimit"}`: 520764784, `knob_clamped{knob="memlimit"}`: 1})
	must(t, os.WriteFile(filepath.Join(dir, limit), []byte("2147483648"), 0o644))
	c.until(map[string]float64{"container_limit_bytes": 2 << 30, `knob{knob="memlimit"}`: 1 << 30, `knob_clamped{knob="memlimit"}`: 0})
	must(t, os.WriteFile(filepath.Join(dir, limit), []byte("268435456"), 0o644))
	c.until(map[string]float64{"container_limit_bytes": 256 << 20, `knob{knob="memlimit"}`: 260382392})
	if used := c.page()["working_set_bytes"]; used <= 0 || used > 256<<20 {
		t.Errorf("working set %v", used)
	}
}

// The end of a collection is heard of while that is wanted, and no longer.
func TestTheEndOfACollectionIsTold(t *testing.T) {
	a := newProcess(func(string) string { return "" }, "/")
	a.arm(true)
	for range 3 {
		runtime.GC()
		<-a.ended
	}
	a.arm(false)
	runtime.GC()
	runtime.GC()
	select {
	case <-a.ended: // that of the moment in which it ended
	default:
	}
	runtime.GC()
	runtime.GC()
	select {
	case <-a.ended:
		t.Error("collections are still told of")
	default:
	}
}
