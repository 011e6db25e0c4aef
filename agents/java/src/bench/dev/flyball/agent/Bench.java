package dev.flyball.agent;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** What the agent costs, and what acts with which collector. Prints; asserts nothing. */
final class Bench {
    private static final int STARTS = 15;
    private static final int IDLE_PAIRS = 2;
    private static final int IDLE_SECONDS = 40;

    public static void main(String[] args) throws Exception {
        System.out.println("JDK " + System.getProperty("java.version"));
        if (args.length > 0 && args[0].equals("collectors")) {
            collectors();
            Tests.removeFolders();
            return;
        }
        start();
        idle();
        calls();
        Tests.removeFolders();
    }

    private static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        int half = sorted.length / 2;
        return sorted.length % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
    }

    private static String summary(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return String.format("%.1f (%.1f to %.1f)", median(sorted), sorted[0], sorted[sorted.length - 1]);
    }

    private static final String[] NAMES = {"without", "with an empty agent", "with this agent"};

    /** Without an agent, with one that does nothing, with this one; the line has everything in it, so that every look does all its work. */
    private static Child.Setup setup(int which) throws IOException {
        Child.Setup setup = new Child.Setup("-XX:+UseG1GC", "-Xmx512m");
        setup.agent = which == 0 ? null : which == 1 ? Child.BUILD.resolve("empty-agent.jar").toString() : Child.AGENT;
        new Volume(setup.dir.resolve("volume")).line(1, 86_400, "g1-periodic-interval=3600000 min-heap-free=5 max-heap-free=20");
        return setup;
    }

    /** From the start of the process to its end, of a main that prints a word; and the same with an agent that does nothing, which is what Java itself takes. */
    private static void start() throws Exception {
        double[][] millis = new double[3][STARTS * 2];
        long[] ticks = new long[3];
        // ABCCBA
        for (int i = 0; i < STARTS * 2; i++) {
            for (int j = 0; j < 3; j++) {
                int which = i % 2 == 0 ? j : 2 - j;
                Child.Setup setup = setup(which);
                setup.main = "dev.flyball.agent.Bench$Hello";
                long ticksBefore = childrensTicks();
                long begin = System.nanoTime();
                try (Child child = setup.start()) {
                    child.exitCode();
                    ticks[which] += childrensTicks() - ticksBefore;
                    millis[which][i] = (System.nanoTime() - begin) / 1e6;
                }
            }
        }
        System.out.println("start to end of a main that prints a word, ms, median (least to most) of " + STARTS * 2 + "; mean CPU, ms");
        for (int which = 0; which < 3; which++) {
            System.out.println("  " + NAMES[which] + ": " + summary(millis[which]) + "; " + ticks[which] * 10 / (STARTS * 2));
        }
    }

    /** CPU time of ended children, in hundredths of a second: what a busy machine does not distort. */
    private static long childrensTicks() throws IOException {
        String stat = Files.readString(Path.of("/proc/self/stat"));
        String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
        return Long.parseLong(fields[13]) + Long.parseLong(fields[14]);
    }

    static final class Hello {
        public static void main(String[] args) {
            System.out.println("hello");
        }
    }

    /** A process that waits for its input, with a generation in force; its page is read every 10 s, as a Prometheus does. */
    private static void idle() throws Exception {
        int runs = IDLE_PAIRS * 2;
        double[][] cpu = new double[3][runs];
        double[][] rss = new double[3][runs];
        double[] own = new double[runs];
        double[] page = new double[runs];
        int[] order = {0, 1, 2, 2, 1, 0};
        int[] filled = new int[3];
        for (int i = 0; i < runs * 3; i++) {
            int which = order[i % order.length];
            try (Child child = setup(which).start()) {
                child.until("its start", () -> child.out().contains("ready") && (which < 2 || child.says("generation 1 applied")));
                Thread.sleep(5_000);
                long before = nanos(child.pid(), "");
                long ownBefore = nanos(child.pid(), "flyball-agent");
                long pageBefore = nanos(child.pid(), "flyball-metrics");
                for (int ten = 0; ten < IDLE_SECONDS / 10; ten++) {
                    Thread.sleep(10_000);
                    if (which == 2) {
                        child.page();
                    }
                }
                int at = filled[which]++;
                cpu[which][at] = (nanos(child.pid(), "") - before) / 1e9 / IDLE_SECONDS * 100;
                rss[which][at] = Long.parseLong(Files.readString(Path.of("/proc/" + child.pid() + "/statm")).split(" ")[1]) * 4096 / 1048576.0;
                if (which == 2) {
                    own[at] = (nanos(child.pid(), "flyball-agent") - ownBefore) / 1e9 / IDLE_SECONDS * 100;
                    page[at] = (nanos(child.pid(), "flyball-metrics") - pageBefore) / 1e6 / (IDLE_SECONDS / 10);
                }
            }
        }
        System.out.println("idle for " + IDLE_SECONDS + " s, ABCCBA, " + runs + " of each, median (least to most): CPU of the process in % of a core; resident MiB");
        for (int which = 0; which < 3; which++) {
            System.out.println("  " + NAMES[which] + ": " + thousandths(cpu[which]) + "; " + summary(rss[which]));
        }
        System.out.println("  the agent's thread alone, % of a core: " + thousandths(own));
        System.out.println("  a page, the first ones, ms of CPU: " + summary(page));
    }

    private static String thousandths(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return String.format("%.3f (%.3f to %.3f)", median(sorted), sorted[0], sorted[sorted.length - 1]);
    }

    /** CPU time of the threads with a name (15 letters of it), or of all. */
    private static long nanos(long pid, String name) throws IOException {
        long sum = 0;
        try (var tasks = Files.list(Path.of("/proc/" + pid + "/task"))) {
            for (Path task : tasks.toList()) {
                if (Files.readString(task.resolve("comm")).strip().startsWith(name)) {
                    sum += Long.parseLong(Files.readString(task.resolve("schedstat")).split(" ")[0]);
                }
            }
        }
        return sum;
    }

    /** A look and a page in this process, cold as they are in life (once a second is not enough for the compiler), and warm. */
    private static void calls() throws Exception {
        HotSpot hotSpot = new HotSpot(new StateFile(null));
        Decision decision = new Decision(new Settings(DecisionTest.env("FLYBALL_LOG", "off")), hotSpot);
        Log.on(false);
        String line = "v1 gen=1 ttl=3600 exp=4000000000 max-heap-free=60";
        decision.look(0, 0, line);
        ProcessMemory memory = new ProcessMemory();
        Cgroup cgroup = Cgroup.find("");
        report("a look: the line, four knobs read back, resident memory, the container's usage", () -> {
            decision.look(1, 1, line);
            decision.guard(1, memory.resident(), 1L << 50);
            return cgroup == null ? 0 : cgroup.usage();
        });
        report("what the virtual machine tells for a page", () -> {
            long[] last = hotSpot.lastCollection();
            return hotSpot.heapUsed() + hotSpot.allocated() + hotSpot.collectionTime() + hotSpot.collections() + (last == null ? 0 : last[0]);
        });
        report("a line read: parsed and refused", () -> {
            decision.look(1, 1, line);
            decision.look(1, 1, "v1 gen=2 ttl=3600 exp=4000000000 max-heap-free=60 gogc=100");
            return 0;
        });
        decision.look(2, 2, "");
    }

    private interface Call {
        long run() throws Exception;
    }

    private static long sink;

    private static void report(String what, Call call) throws Exception {
        int cold = 50;
        double[] first = new double[cold];
        for (int i = 0; i < cold; i++) {
            long begin = System.nanoTime();
            sink += call.run();
            first[i] = (System.nanoTime() - begin) / 1e3;
        }
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(3);
        while (System.nanoTime() < end) {
            sink += call.run();
        }
        double[] warm = new double[200];
        for (int i = 0; i < warm.length; i++) {
            long begin = System.nanoTime();
            for (int j = 0; j < 50; j++) {
                sink += call.run();
            }
            warm[i] = (System.nanoTime() - begin) / 1e3 / 50;
        }
        System.out.printf("%s, us: cold %.1f, warm %.1f%n", what, median(first), median(warm));
    }

    /** Each collector after a peak: 400 MB live at 300 MB/s, then 20 MB at 2 MB/s; resident memory before the line, and 20 s after it. */
    private static void collectors() throws Exception {
        System.out.println("collector; line: resident MiB before -> 20 s later");
        String ratios = "min-heap-free=5 max-heap-free=20";
        for (String[] row : new String[][] {
            {"-XX:+UseG1GC", "", "g1-periodic-interval=3000", ratios, ratios + " g1-periodic-interval=3000", "reclaim=1", ratios + " reclaim=1"},
            {"-XX:+UseZGC -XX:ZUncommitDelay=5", "", "soft-max-heap=209715200", "reclaim=1"},
            {"-XX:+UseShenandoahGC -XX:+UnlockExperimentalVMOptions -XX:ShenandoahUncommitDelay=5000", "", "soft-max-heap=209715200", "reclaim=1"},
            {"-XX:+UseShenandoahGC -XX:ShenandoahGCMode=generational -XX:+UnlockExperimentalVMOptions -XX:ShenandoahUncommitDelay=5000", "", "reclaim=1"},
            {"-XX:+UseParallelGC", "", ratios, ratios + " reclaim=1"},
            {"-XX:+UseParallelGC -XX:+UseAdaptiveSizePolicyWithSystemGC", "reclaim=1", ratios + " reclaim=1"},
            {"-XX:+UseSerialGC -Xms32m", "", ratios, "reclaim=1", ratios + " reclaim=1"},
        }) {
            for (int i = 1; i < row.length; i++) {
                collector(row[0], row[i]);
            }
        }
    }

    private static void collector(String options, String words) throws Exception {
        Child.Setup setup = new Child.Setup("-Xmx2g");
        setup.options.addAll(List.of(options.split(" ")));
        new Volume(setup.dir.resolve("volume")).line(1, 3600, "");
        List<String> said = new ArrayList<>();
        try (Child child = setup.start()) {
            child.untilMetric("flyball_agent_applied_generation", 1);
            child.ask("load 400 300");
            Thread.sleep(6_000);
            child.ask("load 20 2");
            Thread.sleep(2_000);
            double before = child.metric("flyball_agent_resident_bytes");
            child.volume.line(2, 3600, words);
            Thread.sleep(20_000);
            System.out.printf("%s; %s: %.0f -> %.0f%n", options, words.isEmpty() ? "nothing" : words, before / 1048576,
                    child.metric("flyball_agent_resident_bytes") / 1048576);
            said.addAll(child.err());
        } catch (AssertionError notHere) {
            System.out.println(options + ": not with this JDK");
            return;
        }
        said.stream().filter(line -> line.contains("refused")).forEach(System.out::println);
    }
}
