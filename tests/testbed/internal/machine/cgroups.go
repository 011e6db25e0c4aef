package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Cgroup is the part of every control group hierarchy that belongs to a bed.
// All that the bed runs is inside: our own processes in its leaf "system", the
// pods below it where the kubelet puts them. So nothing the bed started can be
// lost, whatever became of its pid file.
type Cgroup struct {
	Name   string // of the folder below each hierarchy's root
	mounts string // the text of /proc/self/mounts
}

// NewCgroup names the bed's group after its bridge, which is unique here.
func NewCgroup(bridge string) (Cgroup, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	return Cgroup{Name: bridge, mounts: string(mounts)}, err
}

// hierarchies are the mounted control group trees: one with version 2, one per
// controller with version 1, both on a hybrid system.
func (c Cgroup) hierarchies() []hierarchy {
	var found []hierarchy
	for _, line := range strings.Split(c.mounts, "\n") {
		fields := strings.Fields(line)
		if len(fields) >= 4 && (fields[2] == "cgroup" || fields[2] == "cgroup2") && strings.HasPrefix(fields[1], "/sys/fs/cgroup") {
			found = append(found, hierarchy{root: fields[1], v2: fields[2] == "cgroup2", options: strings.Split(fields[3], ",")})
		}
	}
	return found
}

type hierarchy struct {
	root    string
	v2      bool
	options []string // of the mount: the controllers, with version 1
}

// Create makes the group in every hierarchy.
func (c Cgroup) Create() error {
	hierarchies := c.hierarchies()
	if len(hierarchies) == 0 {
		return errors.New("no control groups are mounted below /sys/fs/cgroup")
	}
	for _, h := range hierarchies {
		group := filepath.Join(h.root, c.Name)
		for _, folder := range []string{group, filepath.Join(group, "system")} {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				return fmt.Errorf("make a control group: %w", err)
			}
			if err := h.inheritCpuset(folder); err != nil {
				return fmt.Errorf("make a control group: %w", err)
			}
		}
		if h.v2 {
			for _, folder := range []string{h.root, group} {
				if err := delegate(folder); err != nil {
					return fmt.Errorf("enable controllers: %w", err)
				}
			}
		}
	}
	return nil
}

// inheritCpuset copies the parent's processors and memory nodes: a new cpuset
// group of version 1 has none, and takes no process until it has.
func (h hierarchy) inheritCpuset(folder string) error {
	if h.v2 || !slices.Contains(h.options, "cpuset") {
		return nil
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(filepath.Dir(folder), file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, file), value, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// delegate passes all controllers of a version 2 group on to its children.
func delegate(folder string) error {
	available, err := os.ReadFile(filepath.Join(folder, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, controller := range strings.Fields(string(available)) {
		if err := os.WriteFile(filepath.Join(folder, "cgroup.subtree_control"), []byte("+"+controller), 0o644); err != nil {
			return fmt.Errorf("%s: %w", controller, err)
		}
	}
	return nil
}

// Join moves the calling process into the leaf for the bed's own programs.
func (c Cgroup) Join() error {
	for _, h := range c.hierarchies() {
		procs := filepath.Join(h.root, c.Name, "system", "cgroup.procs")
		if err := os.WriteFile(procs, []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
			return fmt.Errorf("join the test bed's control group: %w", err)
		}
	}
	return nil
}

// Kill ends everything in the group and returns when all of it is gone.
func (c Cgroup) Kill(limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for {
		pids := c.pids()
		if len(pids) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v of the test bed do not end", pids)
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone by now
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Empty tells whether nothing in the group runs, or the group is gone.
func (c Cgroup) Empty() bool { return len(c.pids()) == 0 }

func (c Cgroup) pids() []int {
	seen := map[int]bool{}
	c.walk(func(group string) {
		data, _ := os.ReadFile(filepath.Join(group, "cgroup.procs"))
		for _, field := range strings.Fields(string(data)) {
			if pid, err := strconv.Atoi(field); err == nil && pid != 0 && pid != os.Getpid() {
				seen[pid] = true
			}
		}
	})
	var pids []int
	for pid := range seen {
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	return pids
}

// Remove removes the group from every hierarchy, leaves first.
func (c Cgroup) Remove() error {
	var groups []string
	c.walk(func(group string) { groups = append(groups, group) })
	slices.Reverse(groups)
	for _, group := range groups {
		if err := removeGroup(group); err != nil {
			return fmt.Errorf("remove a control group: %w", err)
		}
	}
	return nil
}

// removeGroup waits a moment where the kernel still lets a dead process leave.
func removeGroup(group string) error {
	var err error
	for range 100 {
		if err = os.Remove(group); err == nil || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

// walk visits the bed's groups in every hierarchy, parents first. A group that
// vanishes on the way is what we are after, so errors only end a branch.
func (c Cgroup) walk(visit func(group string)) {
	for _, h := range c.hierarchies() {
		_ = filepath.WalkDir(filepath.Join(h.root, c.Name), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				visit(path)
			}
			return nil
		})
	}
}
