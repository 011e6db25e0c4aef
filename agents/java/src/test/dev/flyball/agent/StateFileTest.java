package dev.flyball.agent;

import java.nio.file.Files;
import java.nio.file.Path;

/** The mark of probation as agents of other runtimes write it, too. */
final class StateFileTest {
    private StateFileTest() {}

    static void addTo(Tests tests) {
        tests.test("probation file: an earlier process' generation", () -> {
            read("7 1 1\n", 7);
            read("7\n", 7);
            read("9223372036854775807 99999999 5", Long.MAX_VALUE);
        });
        tests.test("probation file: while its process lives it says nothing", () -> read("7 " + self() + "\n", 0));
        tests.test("probation file: garbage is none", () -> {
            read("", 0);
            read("x", 0);
            read("-7 1 1", 0);
            read("07 1 1", 0);
            read("99999999999999999999 1 1", 0);
        });
        tests.test("probation file: its own goes, a living other's stays", () -> {
            Path dir = Tests.folder();
            StateFile state = new StateFile(dir.toString());
            state.write(3);
            Tests.equal("3 " + self() + "\n", Files.readString(dir.resolve("probation")), "mark");
            state.write(0);
            Tests.that(!Files.exists(dir.resolve("probation")), "removed");
            Process other = new ProcessBuilder("sleep", "600").start();
            try {
                String mark = "4 " + other.pid() + " " + startTime(other.pid()) + "\n";
                Files.writeString(dir.resolve("probation"), mark);
                state.write(4);
                Tests.equal(mark, Files.readString(dir.resolve("probation")), "the same generation");
                state.write(0);
                Tests.equal(mark, Files.readString(dir.resolve("probation")), "not its own");
                state.write(5);
                Tests.equal("5 " + self() + "\n", Files.readString(dir.resolve("probation")), "another generation");
            } finally {
                other.destroyForcibly();
            }
            Files.writeString(dir.resolve("probation"), "6 1 1\n");
            state.write(0);
            Tests.equal("6 1 1\n", Files.readString(dir.resolve("probation")), "an ended other's is not its own either");
        });
        tests.test("probation file: without a folder, and with one that is not there", () -> {
            new StateFile(null).write(3);
            Tests.equal(0L, new StateFile(null).read(), "none");
            new StateFile("/proc/nowhere").write(3);
            Tests.equal(0L, new StateFile("/proc/nowhere").read(), "none");
        });
    }

    private static void read(String mark, long generation) throws Exception {
        Path dir = Tests.folder();
        Files.writeString(dir.resolve("probation"), mark);
        Tests.equal(generation, new StateFile(dir.toString()).read(), "generation of " + mark);
    }

    private static String self() throws Exception {
        long pid = ProcessHandle.current().pid();
        return pid + " " + startTime(pid);
    }

    /** Field 22; the name of these processes, field 2, has no space. */
    private static String startTime(long pid) throws Exception {
        return Files.readString(Path.of("/proc/" + pid + "/stat")).split(" ")[21];
    }
}
