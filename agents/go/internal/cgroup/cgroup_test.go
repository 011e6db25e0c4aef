package cgroup

import (
	"os"
	"path/filepath"
	"testing"
)

// tree writes files below a root of its own.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const (
	mountV2     = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
	mountV1     = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
	mountCPU    = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
	mountHybrid = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
	ownV1       = "5:cpu,cpuacct:/a\n4:memory:/pods/app\n0::/\n"
)

func TestRead(t *testing.T) {
	check := func(name string, files map[string]string, want Memory) {
		t.Helper()
		if got := Find(tree(t, files)).Read(); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	check("no groups at all", nil, Memory{None, -1})
	check("version 2 in a namespace of its own", map[string]string{
		"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": mountV2,
		"sys/fs/cgroup/memory.max": "1073741824\n", "sys/fs/cgroup/memory.high": "max\n",
		"sys/fs/cgroup/memory.current": "500\n", "sys/fs/cgroup/memory.stat": "anon 300\ninactive_file 120\nactive_file 80\n",
	}, Memory{1073741824, 380})
	check("version 2, the pod's limit is smaller", map[string]string{
		"proc/self/cgroup": "0::/pods/app\n", "proc/self/mountinfo": mountV2,
		"sys/fs/cgroup/pods/app/memory.max": "2000\n", "sys/fs/cgroup/pods/memory.max": "1500\n",
		"sys/fs/cgroup/pods/app/memory.current": "500\n",
	}, Memory{1500, 500})
	check("version 2, memory.high", map[string]string{
		"proc/self/cgroup": "0::/app\n", "proc/self/mountinfo": mountV2,
		"sys/fs/cgroup/app/memory.max": "2000\n", "sys/fs/cgroup/app/memory.high": "1200\n", "sys/fs/cgroup/app/memory.current": "1\n",
	}, Memory{1200, 1})
	check("version 2, no limit", map[string]string{
		"proc/self/cgroup": "0::/app\n", "proc/self/mountinfo": mountV2,
		"sys/fs/cgroup/app/memory.max": "max\n", "sys/fs/cgroup/app/memory.current": "7\n",
	}, Memory{None, 7})
	check("version 1", map[string]string{
		"proc/self/cgroup": ownV1, "proc/self/mountinfo": mountCPU + mountV1,
		"sys/fs/cgroup/memory/pods/app/memory.stat":           "hierarchical_memory_limit 4096\ninactive_file 1\ntotal_inactive_file 30\n",
		"sys/fs/cgroup/memory/pods/app/memory.usage_in_bytes": "100\n",
	}, Memory{4096, 70})
	check("version 1, no limit", map[string]string{
		"proc/self/cgroup": ownV1, "proc/self/mountinfo": mountV1,
		"sys/fs/cgroup/memory/pods/app/memory.stat":           "hierarchical_memory_limit 9223372036854771712\n",
		"sys/fs/cgroup/memory/pods/app/memory.usage_in_bytes": "100\n",
	}, Memory{None, 100})
	check("version 1 of another namespace: the mount shows the container's own", map[string]string{
		"proc/self/cgroup":                           "4:memory:/kubepods/pod1/app\n",
		"proc/self/mountinfo":                        "35 31 0:32 /kubepods/pod1/app /sys/fs/cgroup/memory ro,relatime - cgroup cgroup rw,memory\n",
		"sys/fs/cgroup/memory/memory.stat":           "hierarchical_memory_limit 4096\n",
		"sys/fs/cgroup/memory/memory.usage_in_bytes": "100\n",
	}, Memory{4096, 100})
	check("hybrid, memory in version 1", map[string]string{
		"proc/self/cgroup": ownV1, "proc/self/mountinfo": mountHybrid + mountV1,
		"sys/fs/cgroup/unified/memory.max":                    "1\n",
		"sys/fs/cgroup/memory/pods/app/memory.stat":           "hierarchical_memory_limit 4096\n",
		"sys/fs/cgroup/memory/pods/app/memory.usage_in_bytes": "100\n",
	}, Memory{4096, 100})
	check("hybrid, memory in version 2", map[string]string{
		"proc/self/cgroup": "5:cpu:/a\n0::/app\n", "proc/self/mountinfo": mountCPU + mountHybrid,
		"sys/fs/cgroup/unified/app/memory.max": "9\n", "sys/fs/cgroup/unified/app/memory.current": "5\n",
	}, Memory{9, 5})
	check("a folder with a space", map[string]string{
		"proc/self/cgroup": "0::/my app\n", "proc/self/mountinfo": mountV2,
		"sys/fs/cgroup/my app/memory.max": "9\n",
	}, Memory{9, -1})
	check("what can't be read", map[string]string{
		"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": mountV2,
		"sys/fs/cgroup/memory.max": "soon\n", "sys/fs/cgroup/memory.current": "-5\n",
	}, Memory{None, -1})
}

func TestALimitThatMoves(t *testing.T) {
	root := tree(t, map[string]string{"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": mountV2, "sys/fs/cgroup/memory.max": "1000\n"})
	g := Find(root)
	if got := g.Read().Limit; got != 1000 {
		t.Fatalf("limit %d", got)
	}
	if err := os.WriteFile(filepath.Join(root, "sys/fs/cgroup/memory.max"), []byte("2000\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := g.Read().Limit; got != 2000 {
		t.Errorf("limit %d after it was resized", got)
	}
}

func TestTheRealOne(t *testing.T) {
	if _, err := os.Stat("/proc/self/cgroup"); err != nil {
		t.Skip("no control groups here")
	}
	if g := Find("/"); g != nil && g.Read().Limit <= 0 {
		t.Errorf("%+v", g.Read())
	}
}
