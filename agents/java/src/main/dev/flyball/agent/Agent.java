package dev.flyball.agent;

import java.io.FileInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;

/**
 * The agent's thread: once a second it looks at the file, at the knobs and at memory. Each second and not on an event of the file system: the breaker and
 * the watermarks need that second anyway, and with it a watch would gain less than a second, for a thread more.
 */
public final class Agent {
    /** Before it does anything: a process that lives no longer is left alone, and the application's start has the processor to itself. */
    private static final long DELAY = 1_000;
    private static final long TICK = 1_000;
    private static final long REREAD = 5_000;
    /** How often a file is tried that was never there, and one that was. */
    private static final long MISSING = 60_000;
    private static final long VANISHED = 5_000;
    private static final int LARGEST_FILE = 8_192;
    private static final int STACK = 256 * 1024;

    private static boolean started;

    private final Settings settings;
    private final String path;
    private final byte[] buffer = new byte[LARGEST_FILE];
    private final ProcessMemory process = new ProcessMemory();
    private final HotSpot hotSpot;
    private final Cgroup cgroup;
    private final Decision decision;
    private final Watermarks watermarks;

    private boolean everReadable;
    private long nextRead = Long.MIN_VALUE;
    private long nextReread = Long.MIN_VALUE;
    private volatile long limit = Long.MAX_VALUE;
    private int ownLevel;
    private int level;
    private boolean registered;
    private boolean complained;

    /** Begins the thread, once. Whatever can wait is left to the thread: the application is starting. */
    public static synchronized void start() {
        if (started || "off".equals(System.getenv("FLYBALL_AGENT"))) {
            return;
        }
        started = true;
        Hub.running(true);
        Thread thread = new Thread(null, new Later(), "flyball-agent", STACK);
        thread.setDaemon(true);
        thread.start();
    }

    private static final class Later implements Runnable {
        @Override
        public void run() {
            sleep(DELAY);
            try {
                Settings settings = new Settings(System.getenv());
                Log.on(settings.log);
                for (String complaint : settings.complaints) {
                    Log.say(complaint);
                }
                new Agent(settings).run();
            } catch (Throwable error) {
                Hub.running(false);
                String why = error instanceof UnsupportedOperationException ? error.getMessage() : error.toString();
                Log.say("does nothing: " + why + (error instanceof LinkageError ? " (it needs the module jdk.management)" : ""));
            }
        }
    }

    /** @throws UnsupportedOperationException where this is no HotSpot that it knows */
    private Agent(Settings settings) {
        this.settings = settings;
        path = settings.runtimeDir + "/runtime";
        hotSpot = new HotSpot(new StateFile(settings.stateDir));
        decision = new Decision(settings, hotSpot);
        cgroup = Cgroup.find("");
        watermarks = settings.watermarks == null ? null : new Watermarks(settings.watermarks);
    }

    private void run() {
        if (settings.metricsAddress != null) {
            Evidence evidence = settings.evidence ? new Evidence(settings.stateDir) : null;
            MetricsServer.start(settings.metricsAddress, new Metrics(this), evidence);
        }
        while (true) {
            long pause = TICK;
            try {
                pause = tick(now(), System.currentTimeMillis());
            } catch (Throwable error) {
                // The application's, such as an OutOfMemoryError that every thread gets; the next look may be better.
                if (!complained) {
                    complained = true;
                    Log.say("a look failed: " + error);
                }
            }
            sleep(pause);
        }
    }

    /** @return milliseconds to the next one */
    private long tick(long now, long wall) {
        String text = null;
        if (now >= nextRead) {
            text = read();
            everReadable |= text != null;
            nextRead = text != null ? now : now + (everReadable ? VANISHED : MISSING);
        }
        if (now >= nextReread) {
            nextReread = now + REREAD;
            if (cgroup != null) {
                cgroup.readLimit();
                limit = cgroup.limit();
            }
            if (!registered) {
                registered = AgentBean.register(new Metrics(this));
            }
        }
        boolean reclaim;
        synchronized (this) {
            decision.look(now, wall, text);
            if (decision.applied() != 0 && limit != Long.MAX_VALUE) {
                decision.guard(now, resident(), limit);
            }
            ownLevel = watermarks == null ? 0 : watermarks.look(now, percent());
            level = Math.max(ownLevel, decision.pressure());
            reclaim = decision.takeReclaim();
        }
        Hub.level(level);
        if (reclaim) {
            reclaim();
        }
        boolean idle = !everReadable && (watermarks == null || limit == Long.MAX_VALUE);
        return idle ? REREAD : TICK;
    }

    /** Not under the lock: a collection may take seconds, and metrics are still read. */
    private void reclaim() {
        if (hotSpot.collect()) {
            synchronized (this) {
                decision.reclaimed();
            }
        } else {
            Log.say("reclaim: -XX:+DisableExplicitGC makes it nothing");
        }
    }

    private double percent() {
        if (limit == Long.MAX_VALUE || limit == 0) {
            return Double.NaN;
        }
        long usage = cgroup.usage();
        if (usage >= 0 && usage * 100.0 / limit >= watermarks.floor()) {
            usage = cgroup.workingSet();
        }
        return usage < 0 ? Double.NaN : usage * 100.0 / limit;
    }

    /** One char for each byte; null where it can't be read. */
    private String read() {
        try (FileInputStream file = new FileInputStream(path)) {
            int length = file.readNBytes(buffer, 0, buffer.length);
            return new String(buffer, 0, length, StandardCharsets.ISO_8859_1);
        } catch (IOException none) {
            return null;
        }
    }

    private static long now() {
        return System.nanoTime() / 1_000_000;
    }

    private static void sleep(long millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException whoever) {
            // Nobody ends this thread; it is a daemon.
        }
    }

    /** What a page of metrics says of the decision, at one moment. */
    synchronized Snapshot snapshot() {
        return new Snapshot(decision, now(), System.currentTimeMillis(), level);
    }

    HotSpot hotSpot() {
        return hotSpot;
    }

    /**
     * Bytes of this process, or -1. ZGC without generations, as in Java 17, maps its heap three times, and the kernel counts it as often: no process has more
     * than its container is charged for.
     */
    long resident() {
        long resident = process.resident();
        if (hotSpot.collector().equals("ZGC")) {
            long workingSet = workingSet();
            return workingSet < 0 ? resident : Math.min(resident, workingSet);
        }
        return resident;
    }

    /** Bytes, or {@link Long#MAX_VALUE}. */
    long limit() {
        return limit;
    }

    /** Bytes, or -1. */
    long workingSet() {
        return cgroup == null ? -1 : cgroup.workingSet();
    }
}
