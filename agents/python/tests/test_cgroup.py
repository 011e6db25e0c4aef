import unittest

from flyball_agent._cgroup import Container

MIB = 1048576
INFINITY = float("inf")


def container(files):
    """The container of a machine that has these files and no others."""

    def read(path):
        if path not in files:
            raise FileNotFoundError(path)
        return files[path]

    return Container(read)


class Groups(unittest.TestCase):
    def test_version_2_in_a_namespace_of_its_own(self):
        files = {
            "/proc/self/cgroup": "0::/\n",
            "/proc/self/mountinfo": "29 23 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate\n30 23 0:27 / /proc rw - proc proc rw\n",
            "/sys/fs/cgroup/memory.max": f"{512 * MIB}\n",
            "/sys/fs/cgroup/memory.current": f"{300 * MIB}\n",
            "/sys/fs/cgroup/memory.stat": f"anon {200 * MIB}\ninactive_file {80 * MIB}\nactive_file {20 * MIB}\n",
        }
        found = container(files)
        limit, group = found.limit()
        self.assertEqual(limit, 512 * MIB)
        self.assertEqual(found.working_set(group), 220 * MIB)
        files["/sys/fs/cgroup/memory.max"] = f"{1024 * MIB}\n"  # resized in place
        self.assertEqual(found.limit()[0], 1024 * MIB)

    def test_version_2_the_smallest_limit_with_its_own_fill(self):
        found = container({
            "/proc/self/cgroup": "0::/kubepods/pod1/app\n",
            "/proc/self/mountinfo": "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n",
            "/sys/fs/cgroup/kubepods/pod1/app/memory.max": "max\n",
            "/sys/fs/cgroup/kubepods/pod1/memory.max": f"{256 * MIB}\n",
            "/sys/fs/cgroup/kubepods/memory.max": f"{4096 * MIB}\n",
            "/sys/fs/cgroup/kubepods/pod1/memory.current": f"{100 * MIB}\n",
            "/sys/fs/cgroup/kubepods/pod1/memory.stat": "inactive_file 0\n",
        })  # fmt: skip
        limit, group = found.limit()
        self.assertEqual((limit, group), (256 * MIB, "/sys/fs/cgroup/kubepods/pod1"))
        self.assertEqual(found.working_set(group), 100 * MIB)

    def test_version_1_mounted_from_its_own_group(self):
        found = container({
            "/proc/self/cgroup": "9:cpu,cpuacct:/kubepods/pod1/app\n4:memory:/kubepods/pod1/app\n",
            "/proc/self/mountinfo": "35 31 0:32 /kubepods/pod1/app /sys/fs/cgroup/memory ro master:9 - cgroup cgroup rw,memory\n"
            "36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes": f"{64 * MIB}\n",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes": f"{60 * MIB}\n",
            "/sys/fs/cgroup/memory/memory.stat": f"inactive_file 1\ntotal_inactive_file {10 * MIB}\n",
        })  # fmt: skip
        limit, group = found.limit()
        self.assertEqual(limit, 64 * MIB)
        self.assertEqual(found.working_set(group), 50 * MIB)

    def test_hybrid_memory_belongs_to_version_1(self):
        found = container({
            "/proc/self/cgroup": "4:memory:/app\n0::/\n",
            "/proc/self/mountinfo": "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
            "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
            "/sys/fs/cgroup/memory/app/memory.limit_in_bytes": f"{64 * MIB}\n",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        })  # fmt: skip
        self.assertEqual(found.limit()[0], 64 * MIB)

    def test_a_group_outside_of_what_is_mounted_is_read_at_the_mount(self):
        found = container({
            "/proc/self/cgroup": "0::/../../other\n",
            "/proc/self/mountinfo": "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n",
            "/sys/fs/cgroup/memory.max": f"{64 * MIB}\n",
        })  # fmt: skip
        self.assertEqual(found.limit()[0], 64 * MIB)

    def test_no_limit_no_control_groups_nonsense(self):
        none = container({})
        limit, group = none.limit()
        self.assertEqual(limit, INFINITY)
        self.assertIsNone(none.working_set(group))
        unlimited = container({
            "/proc/self/cgroup": "4:memory:/\n",
            "/proc/self/mountinfo": "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        })  # fmt: skip
        self.assertEqual(unlimited.limit()[0], INFINITY)
        nonsense = container({
            "/proc/self/cgroup": "0::/\n",
            "/proc/self/mountinfo": "what\n29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n",
            "/sys/fs/cgroup/memory.max": "a lot\n",
        })  # fmt: skip
        self.assertEqual(nonsense.limit()[0], INFINITY)


if __name__ == "__main__":
    unittest.main()
