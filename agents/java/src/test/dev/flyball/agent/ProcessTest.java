package dev.flyball.agent;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** The agent in real JVMs of this JDK, adopted by the environment, with its line in a volume that is really swapped. */
final class ProcessTest {
    /** A collector: how it is chosen, what it acts on with values to set, and a knob that it ignores. */
    private record Collector(String name, List<String> options, List<String[]> knobs, String ignored) {}

    private static final String[] MIN = {"min-heap-free", "MinHeapFreeRatio", "5", "75"};
    private static final String[] MAX = {"max-heap-free", "MaxHeapFreeRatio", "20", "90"};
    private static final String[] INTERVAL = {"g1-periodic-interval", "G1PeriodicGCInterval", "3600000", "7200000"};
    private static final String[] SOFT = {"soft-max-heap", "SoftMaxHeapSize", "134217728", "67108864"};

    private static final List<Collector> COLLECTORS = List.of(
            new Collector("G1", List.of("-XX:+UseG1GC"), List.of(MIN, MAX, INTERVAL), "soft-max-heap=134217728"),
            new Collector("ZGC", List.of("-XX:+UseZGC"), List.<String[]>of(SOFT), "min-heap-free=5"),
            new Collector("Shenandoah", List.of("-XX:+UseShenandoahGC"), List.<String[]>of(SOFT), "g1-periodic-interval=3000"),
            new Collector("Shenandoah-generational", List.of("-XX:+UseShenandoahGC", "-XX:ShenandoahGCMode=generational"), List.of(), "soft-max-heap=134217728"),
            new Collector("Parallel", List.of("-XX:+UseParallelGC"), List.of(MIN, MAX), "soft-max-heap=134217728"),
            new Collector("Serial", List.of("-XX:+UseSerialGC"), List.of(MIN, MAX), "g1-periodic-interval=3000"));

    private ProcessTest() {}

    static void addTo(Tests tests) {
        for (Collector collector : COLLECTORS) {
            tests.test("process: the way of a line with " + collector.name, () -> wayOfALine(collector));
        }
        tests.test("process: somebody else's jcmd", ProcessTest::foreign);
        tests.test("process: what is killed within a minute is on probation", ProcessTest::probation);
        tests.test("process: reclaim", ProcessTest::reclaim);
        tests.test("process: reclaim gives memory back with Serial, too", ProcessTest::reclaimSerial);
        tests.test("process: reclaim with -XX:+DisableExplicitGC", ProcessTest::reclaimDisabled);
        tests.test("process: a trough is reclaimed", ProcessTest::trough);
        tests.test("process: Epsilon acts on nothing", ProcessTest::epsilon);
    }

    private static Child.Setup setup(Collector collector) throws Exception {
        Child.Setup setup = new Child.Setup("-Xmx256m");
        setup.options.addAll(collector.options);
        List<String> command = new ArrayList<>(List.of(Child.java("java")));
        command.addAll(collector.options);
        command.add("-version");
        Process probe = new ProcessBuilder(command).redirectErrorStream(true).start();
        String said = new String(probe.getInputStream().readAllBytes());
        if (probe.waitFor() != 0) {
            throw new Tests.Skipped(said.lines().findFirst().orElse("") + " (" + collector.name + ")");
        }
        return setup;
    }

    private static void wayOfALine(Collector collector) throws Exception {
        Child.Setup setup = setup(collector);
        new Volume(setup.dir.resolve("volume")).write("");
        try (Child child = setup.start()) {
            long[] boot = values(child, collector);
            child.untilMetric("flyball_agent_source_readable", 1);

            child.volume.line(1, 3600, words(collector, 2));
            child.untilMetric("flyball_agent_applied_generation", 1);
            same(set(collector, 2), values(child, collector), "generation 1");
            for (String[] knob : collector.knobs) {
                Tests.equal(Double.parseDouble(knob[2]), child.metric("flyball_agent_knob{knob=\"" + knob[0] + "\"}"), knob[0] + " on the page");
            }
            Tests.that(child.page().contains("collector=\"" + collector.name + "\""), "the collector on the page");

            child.volume.write("v1 gen=2 ttl=\u0000\u0007garbage");
            child.untilMetric("flyball_agent_rejected_total{reason=\"syntax\"}", 1);
            child.volume.line(2, 3600, collector.ignored);
            child.untilMetric("flyball_agent_rejected_total{reason=\"unsupported\"}", 1);
            child.until("a word on it", () -> child.says("the collector " + collector.name + " ignores " + collector.ignored.split("=")[0]));
            same(set(collector, 2), values(child, collector), "after what was refused");

            child.volume.line(3, 3600, words(collector, 3));
            child.untilMetric("flyball_agent_applied_generation", 3);
            same(set(collector, 3), values(child, collector), "generation 3");
            child.volume.line(3, 2, words(collector, 3));
            child.untilMetric("flyball_agent_leases_ended_total", 1);
            same(boot, values(child, collector), "after the lease");
            Tests.equal(0.0, child.metric("flyball_agent_applied_generation"), "applied");

            child.volume.line(4, 3600, words(collector, 2));
            child.untilMetric("flyball_agent_applied_generation", 4);
            child.volume.write("");
            child.untilMetric("flyball_agent_applied_generation", 0);
            same(boot, values(child, collector), "after an empty file");
            Tests.equal(1.0, child.metric("flyball_agent_leases_ended_total"), "leases ended");
            Tests.equal(0.0, child.metric("flyball_agent_foreign_writes_total"), "foreign writes");
        }
    }

    private static String words(Collector collector, int column) {
        StringBuilder words = new StringBuilder();
        for (String[] knob : collector.knobs) {
            words.append(words.isEmpty() ? "" : " ").append(knob[0]).append('=').append(knob[column]);
        }
        return words.toString();
    }

    private static long[] set(Collector collector, int column) {
        return collector.knobs.stream().mapToLong(knob -> Long.parseLong(knob[column])).toArray();
    }

    /** Read by the application itself, not by the agent. */
    private static long[] values(Child child, Collector collector) throws Exception {
        long[] values = new long[collector.knobs.size()];
        for (int i = 0; i < values.length; i++) {
            values[i] = child.flag(collector.knobs.get(i)[1]);
        }
        return values;
    }

    private static void same(long[] expected, long[] actual, String what) {
        Tests.equal(java.util.Arrays.toString(expected), java.util.Arrays.toString(actual), what);
    }

    private static Child g1(String text, String... options) throws Exception {
        Child.Setup setup = new Child.Setup("-XX:+UseG1GC");
        setup.options.addAll(List.of(options));
        new Volume(setup.dir.resolve("volume")).write(text);
        return setup.start();
    }

    private static void foreign() throws Exception {
        try (Child child = g1("")) {
            child.volume.line(1, 3600, "min-heap-free=5 max-heap-free=20");
            child.untilMetric("flyball_agent_applied_generation", 1);
            Process jcmd = new ProcessBuilder(Child.java("jcmd"), String.valueOf(child.pid()), "VM.set_flag", "MaxHeapFreeRatio", "55").inheritIO().start();
            Tests.equal(0, jcmd.waitFor(), "jcmd");
            child.untilMetric("flyball_agent_foreign_writes_total", 1);
            Tests.equal(1.0, child.metric("flyball_agent_foreign"), "foreign");
            Tests.equal(0.0, child.metric("flyball_agent_applied_generation"), "applied");
            child.volume.line(1, 3601, "min-heap-free=5 max-heap-free=20");
            child.untilMetric("flyball_agent_rejected_total{reason=\"foreign\"}", 1);
            Tests.equal(55L, child.flag("MaxHeapFreeRatio"), "theirs");
            Tests.equal(5L, child.flag("MinHeapFreeRatio"), "left as it was");
            child.volume.line(2, 3600, "min-heap-free=5 max-heap-free=30");
            child.untilMetric("flyball_agent_applied_generation", 2);
            Tests.equal(30L, child.flag("MaxHeapFreeRatio"), "a higher generation");
            Tests.equal(0.0, child.metric("flyball_agent_foreign"), "foreign");
        }
    }

    private static void probation() throws Exception {
        Child.Setup setup = new Child.Setup("-XX:+UseG1GC");
        setup.env("FLYBALL_STATE_DIR", setup.dir.resolve("state").toString());
        Volume volume = new Volume(setup.dir.resolve("volume"));
        volume.line(7, 3600, "min-heap-free=5 max-heap-free=20");
        Path mark = setup.dir.resolve("state").resolve("probation");
        try (Child first = setup.start()) {
            first.untilMetric("flyball_agent_applied_generation", 7);
            Tests.equal("7 " + first.pid(), Files.readString(mark).replaceAll(" [0-9]+\n$", ""), "mark");
            // A probe or a tool in the same container: it has no part in the mark.
            Child.Setup other = new Child.Setup("-XX:+UseG1GC");
            other.dir = setup.dir;
            other.env.putAll(setup.env);
            Child second = other.start();
            second.untilMetric("flyball_agent_applied_generation", 7);
            second.kill();
            first.volume.line(8, 3600, "min-heap-free=6 max-heap-free=20");
            first.untilMetric("flyball_agent_applied_generation", 8);
            Tests.equal("8 " + first.pid(), Files.readString(mark).replaceAll(" [0-9]+\n$", ""), "mark");
            first.kill();
            try (Child next = setup.start()) {
                next.untilMetric("flyball_agent_rejected_total{reason=\"probation\"}", 1);
                Tests.equal(0.0, next.metric("flyball_agent_applied_generation"), "applied");
                next.volume.line(9, 3600, "min-heap-free=5 max-heap-free=20");
                next.untilMetric("flyball_agent_applied_generation", 9);
                next.volume.write("");
                next.until("no mark", () -> !Files.exists(mark));
            }
        }
    }

    private static void reclaim() throws Exception {
        try (Child child = g1("v1 gen=1 ttl=3600 exp=4000000000 reclaim=5")) {
            child.untilMetric("flyball_agent_applied_generation", 1);
            child.ask("load 100 0");
            child.ask("load 1 0");
            Tests.that(child.metric("flyball_agent_heap_alloc_bytes") > 100e6, "the garbage is there");
            double before = child.metric("flyball_agent_gc_cycles_total");
            child.volume.line(1, 3600, "reclaim=6");
            child.untilMetric("flyball_agent_reclaims_total", 1);
            Tests.that(child.metric("flyball_agent_gc_cycles_total") > before, "a collection");
            Tests.that(child.metric("flyball_agent_heap_live_bytes") < 50e6, "it was a full one");
            Tests.that(child.metric("flyball_agent_last_gc_time_seconds") > 1.7e9, "when");
        }
    }

    private static void reclaimSerial() throws Exception {
        Child.Setup setup = new Child.Setup("-XX:+UseSerialGC", "-Xms16m", "-Xmx1g");
        new Volume(setup.dir.resolve("volume")).line(1, 3600, "");
        try (Child child = setup.start()) {
            child.untilMetric("flyball_agent_applied_generation", 1);
            child.ask("load 400 0");
            double peak = child.metric("flyball_agent_resident_bytes");
            Tests.that(peak > 400e6, "a peak: " + peak);
            child.ask("load 1 0");
            child.volume.line(1, 3600, "reclaim=1");
            child.untilMetric("flyball_agent_reclaims_total", 1);
            child.until("resident memory at half of " + peak, () -> child.metric("flyball_agent_resident_bytes") < peak / 2);
        }
    }

    private static void reclaimDisabled() throws Exception {
        try (Child child = g1("v1 gen=1 ttl=3600 exp=4000000000", "-XX:+DisableExplicitGC")) {
            child.untilMetric("flyball_agent_applied_generation", 1);
            child.volume.line(1, 3600, "reclaim=1");
            child.until("a word on it", () -> child.says("reclaim: -XX:+DisableExplicitGC makes it nothing"));
            Tests.equal(0.0, child.metric("flyball_agent_reclaims_total"), "reclaims");
        }
    }

    /** The whole purpose: memory that a peak left behind goes back. Without the agent it stays (a row of bench-java), so this can fail. */
    private static void trough() throws Exception {
        try (Child child = g1("", "-Xmx1g")) {
            child.ask("load 400 200");
            child.until("a peak", () -> child.metric("flyball_agent_resident_bytes") > 600e6);
            child.ask("load 20 2");
            double peak = child.metric("flyball_agent_resident_bytes");
            child.volume.line(1, 3600, "g1-periodic-interval=3000 min-heap-free=5 max-heap-free=20");
            child.until("resident memory at half of " + peak, () -> child.metric("flyball_agent_resident_bytes") < peak / 2);
            Tests.equal(1.0, child.metric("flyball_agent_applied_generation"), "applied");
        }
    }

    private static void epsilon() throws Exception {
        Child.Setup setup = new Child.Setup("-XX:+UnlockExperimentalVMOptions", "-XX:+UseEpsilonGC", "-Xmx256m");
        new Volume(setup.dir.resolve("volume")).line(1, 3600, "max-heap-free=50");
        try (Child child = setup.start()) {
            child.untilMetric("flyball_agent_rejected_total{reason=\"unsupported\"}", 1);
            child.volume.line(1, 3600, "pressure=high");
            child.untilMetric("flyball_agent_pressure", 2);
        }
    }
}
