// Package cgroup reads the memory limit and the use of the process's own
// control group, of version 1, version 2 and both at once.
package cgroup

import (
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// None is no limit.
const None int64 = math.MaxInt64

// unlimited is where version 1 begins to mean none: it writes the highest
// multiple of a page, whatever the page's size.
const unlimited = 1 << 62

// Group is the process's own control group, with those above it.
type Group struct {
	dirs []string // its own first, up to the mount
	v1   bool
}

// Memory is what a group tells.
type Memory struct {
	Limit      int64 // the smallest of the group and of those above that can be seen, or None
	WorkingSet int64 // usage less inactive file pages; -1: unknown
}

// Find looks for the group of this process below root, which is "/" but in
// tests. It is nil where there is none.
func Find(root string) *Group {
	paths, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return nil
	}
	mounts, err := os.ReadFile(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return nil
	}
	// On a hybrid system both are there, and memory is in one of them.
	for _, v1 := range []bool{true, false} {
		own, there := member(string(paths), v1)
		if !there {
			continue
		}
		for _, m := range parse(string(mounts)) {
			if m.v1 != v1 {
				continue
			}
			g := &Group{dirs: m.dirs(root, own), v1: v1}
			if g.Read().WorkingSet >= 0 || g.Read().Limit != None {
				return g
			}
		}
	}
	return nil
}

// member is the group's path in /proc/self/cgroup.
func member(text string, v1 bool) (string, bool) {
	for _, line := range strings.Split(text, "\n") {
		fields := strings.SplitN(line, ":", 3)
		if len(fields) != 3 {
			continue
		}
		if v1 && slices.Contains(strings.Split(fields[1], ","), "memory") || !v1 && fields[0] == "0" && fields[1] == "" {
			return fields[2], true
		}
	}
	return "", false
}

type mount struct {
	root, point string
	v1          bool
}

// parse keeps the mounts that can hold the memory of groups.
func parse(text string) []mount {
	var out []mount
	for _, line := range strings.Split(text, "\n") {
		before, after, found := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if !found || len(fields) < 5 || len(kind) < 3 {
			continue
		}
		m := mount{root: plain(fields[3]), point: plain(fields[4])}
		switch {
		case kind[0] == "cgroup2":
			out = append(out, m)
		case kind[0] == "cgroup" && slices.Contains(strings.Split(kind[2], ","), "memory"):
			m.v1 = true
			out = append(out, m)
		}
	}
	return out
}

// plain undoes the escapes of mountinfo.
func plain(text string) string { return escapes.Replace(text) }

var escapes = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// dirs are the folders from the group's own up to the mount. A path that is
// not below the mount's root is that of another namespace: then the mount shows
// the container's own group.
func (m mount) dirs(root, own string) []string {
	rest, below := strings.CutPrefix(path.Clean(own), strings.TrimSuffix(m.root, "/"))
	if !below || rest != "" && rest[0] != '/' || strings.HasPrefix(rest, "/..") {
		rest = ""
	}
	if _, err := os.Stat(filepath.Join(root, m.point, rest)); err != nil {
		rest = ""
	}
	var out []string
	for {
		out = append(out, filepath.Join(root, m.point, rest))
		if rest == "" || rest == "/" {
			return out
		}
		rest = strings.TrimSuffix(path.Dir(rest), "/")
	}
}

// Read reads it anew. A limit may be changed while the process runs.
func (g *Group) Read() Memory {
	if g == nil {
		return Memory{Limit: None, WorkingSet: -1}
	}
	if g.v1 {
		return g.one()
	}
	out := Memory{Limit: None, WorkingSet: -1}
	for _, dir := range g.dirs {
		for _, file := range []string{"memory.max", "memory.high"} {
			if limit, ok := number(dir, file); ok {
				out.Limit = min(out.Limit, limit)
			}
		}
	}
	if used, ok := number(g.dirs[0], "memory.current"); ok {
		idle := stat(g.dirs[0], "inactive_file")
		out.WorkingSet = max(0, used-max(0, idle[0]))
	}
	return out
}

func (g *Group) one() Memory {
	out := Memory{Limit: None, WorkingSet: -1}
	values := stat(g.dirs[0], "hierarchical_memory_limit", "total_inactive_file")
	if values[0] >= 0 && values[0] < unlimited {
		out.Limit = values[0]
	}
	if used, ok := number(g.dirs[0], "memory.usage_in_bytes"); ok {
		out.WorkingSet = max(0, used-max(0, values[1]))
	}
	return out
}

// number is false for a file that is not there, and for max.
func number(dir, file string) (int64, bool) {
	raw, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
	return n, err == nil && n >= 0
}

// stat reads rows of memory.stat; -1: it is not there.
func stat(dir string, names ...string) []int64 {
	out := make([]int64, len(names))
	for i := range out {
		out[i] = -1
	}
	raw, err := os.ReadFile(filepath.Join(dir, "memory.stat"))
	if err != nil {
		return out
	}
	for line := range strings.SplitSeq(string(raw), "\n") {
		name, text, _ := strings.Cut(line, " ")
		if i := slices.Index(names, name); i >= 0 {
			if n, err := strconv.ParseInt(text, 10, 64); err == nil {
				out[i] = n
			}
		}
	}
	return out
}
