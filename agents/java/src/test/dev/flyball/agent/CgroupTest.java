package dev.flyball.agent;

import java.nio.file.Files;
import java.nio.file.Path;

/** Control groups as the kernel and the container runtimes lay them out. */
final class CgroupTest {
    private static final String V2_MOUNT = "35 30 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n";

    private final Path root;

    private CgroupTest() throws Exception {
        root = Tests.folder();
    }

    static void addTo(Tests tests) {
        tests.test("cgroup v2: a container with a namespace of its own", () -> {
            CgroupTest test = new CgroupTest();
            test.file("proc/self/cgroup", "0::/\n").file("proc/self/mountinfo", V2_MOUNT);
            test.v2("", "536870912", "400000000", "100000000");
            test.is(536870912L, 300000000L);
        });
        tests.test("cgroup v2: without a limit", () -> {
            CgroupTest test = new CgroupTest();
            test.file("proc/self/cgroup", "0::/\n").file("proc/self/mountinfo", V2_MOUNT);
            test.v2("", "max", "400", "500");
            test.is(Long.MAX_VALUE, 0L);
        });
        tests.test("cgroup v2: the smallest limit up the tree, and the usage of that group", () -> {
            CgroupTest test = new CgroupTest();
            test.file("proc/self/cgroup", "0::/pod/app\n").file("proc/self/mountinfo", V2_MOUNT);
            test.v2("/pod/app", "900", "100", "10").v2("/pod", "800", "700", "50").v2("", "max", "5000", "1");
            test.is(800L, 650L);
        });
        tests.test("cgroup v2: a limit that changes in place", () -> {
            CgroupTest test = new CgroupTest();
            test.file("proc/self/cgroup", "0::/\n").file("proc/self/mountinfo", V2_MOUNT).v2("", "1000", "1", "0");
            Cgroup cgroup = Cgroup.find(test.root.toString());
            Files.writeString(test.root.resolve("sys/fs/cgroup/memory.max"), "20000\n");
            Tests.equal(1000L, cgroup.limit(), "limit");
            cgroup.readLimit();
            Tests.equal(20000L, cgroup.limit(), "limit");
        });
        tests.test("cgroup v1: a container's own folder is the mount's root", () -> {
            CgroupTest test = new CgroupTest();
            test.file("proc/self/cgroup", "5:cpu,cpuacct:/kubepods/pod1/c1\n4:memory:/kubepods/pod1/c1\n");
            test.file("proc/self/mountinfo", "34 31 0:31 /kubepods/pod1/c1 /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct\n"
                    + "35 31 0:32 /kubepods/pod1/c1 /sys/fs/cgroup/memory ro master:9 - cgroup cgroup rw,memory\n");
            test.v1("", "536870912", "536870912", "300", "100");
            test.is(536870912L, 200L);
        });
        tests.test("cgroup v1: none is a number near 2^63, and a group out of sight may be smaller", () -> {
            CgroupTest test = new CgroupTest();
            test.file("proc/self/cgroup", "4:memory:/a\n").file("proc/self/mountinfo", "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
            test.v1("/a", "9223372036854771712", "9223372036854771712", "300", "100").v1("", "9223372036854771712", "9223372036854771712", "900", "1");
            test.is(Long.MAX_VALUE, 200L);
            test.v1("/a", "9223372036854771712", "5000", "300", "100");
            test.is(5000L, 200L);
        });
        tests.test("cgroup: both versions, memory is in version 1", () -> {
            CgroupTest test = new CgroupTest();
            test.file("proc/self/cgroup", "4:memory:/a\n1:name=systemd:/a\n0::/a\n");
            test.file("proc/self/mountinfo", "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
                    + "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
            test.v1("/a", "700", "700", "300", "100").v1("", "9223372036854771712", "9223372036854771712", "900", "1");
            test.is(700L, 200L);
        });
        tests.test("cgroup: both versions, memory is in version 2", () -> {
            CgroupTest test = new CgroupTest();
            test.file("proc/self/cgroup", "1:name=systemd:/\n0::/\n");
            test.file("proc/self/mountinfo", "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n" + V2_MOUNT);
            test.v2("", "700", "300", "100");
            test.is(700L, 200L);
        });
        tests.test("cgroup: a path of another namespace", () -> {
            CgroupTest test = new CgroupTest();
            test.file("proc/self/cgroup", "0::/../../elsewhere\n").file("proc/self/mountinfo", V2_MOUNT);
            test.v2("", "700", "300", "100");
            test.is(700L, 200L);
        });
        tests.test("cgroup: none at all", () -> {
            CgroupTest test = new CgroupTest();
            Tests.equal(null, Cgroup.find(test.root.toString()), "no proc");
            test.file("proc/self/cgroup", "0::/\n").file("proc/self/mountinfo", "22 21 0:3 / / rw - ext4 /dev/sda rw\n");
            Tests.equal(null, Cgroup.find(test.root.toString()), "no mount");
        });
        tests.test("cgroup: the root of version 2 tells nothing, and that is no zero", () -> {
            CgroupTest test = new CgroupTest();
            test.file("proc/self/cgroup", "0::/\n").file("proc/self/mountinfo", V2_MOUNT).file("sys/fs/cgroup/memory.stat", "anon 1\ninactive_file 5\n");
            test.is(Long.MAX_VALUE, -1L);
        });
    }

    private void is(long limit, long workingSet) {
        Cgroup cgroup = Cgroup.find(root.toString());
        Tests.equal(limit, cgroup.limit(), "limit");
        Tests.equal(workingSet, cgroup.workingSet(), "working set");
    }

    private CgroupTest file(String path, String text) throws Exception {
        Path file = root.resolve(path);
        Files.createDirectories(file.getParent());
        Files.writeString(file, text);
        return this;
    }

    private CgroupTest v2(String dir, String limit, String usage, String inactive) throws Exception {
        file("sys/fs/cgroup" + dir + "/memory.max", limit + "\n");
        file("sys/fs/cgroup" + dir + "/memory.current", usage + "\n");
        return file("sys/fs/cgroup" + dir + "/memory.stat", "anon 7\nfile 9\nkernel 3\ninactive_anon 2\ninactive_file " + inactive + "\nactive_file 4\n");
    }

    private CgroupTest v1(String dir, String limit, String hierarchical, String usage, String inactive) throws Exception {
        file("sys/fs/cgroup/memory" + dir + "/memory.limit_in_bytes", limit + "\n");
        file("sys/fs/cgroup/memory" + dir + "/memory.usage_in_bytes", usage + "\n");
        return file("sys/fs/cgroup/memory" + dir + "/memory.stat",
                "cache 7\ninactive_file 2\nhierarchical_memory_limit " + hierarchical + "\ntotal_inactive_file " + inactive + "\n");
    }
}
