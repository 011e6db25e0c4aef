package dev.flyball.agent;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** The process's own environment. What is set here wins over the line. */
final class Settings {
    final boolean enabled;
    final boolean log;
    /** The folder in which the file {@code runtime} is. */
    final String runtimeDir;
    /** The folder for the mark of probation, or null. */
    final String stateDir;
    /** Host and port, such as {@code :9465}, or null. */
    final String metricsAddress;
    /** Whether thread dumps and recordings are made for whoever asks there. */
    final boolean evidence;
    /** Percent of the container's limit for warning, high and emergency, or null for none. */
    final int[] watermarks;
    /** What could not be read, for the log. */
    final List<String> complaints = new ArrayList<>();

    /** The smallest value by {@link Knob}. */
    private final long[] min = new long[Knob.COUNT];

    Settings(Map<String, String> env) {
        enabled = !"off".equals(env.get("FLYBALL_AGENT"));
        log = !"off".equals(env.get("FLYBALL_LOG"));
        String dir = env.get("FLYBALL_RUNTIME_DIR");
        runtimeDir = dir == null || dir.isEmpty() ? "/etc/flyball" : dir;
        stateDir = unlessEmpty(env.get("FLYBALL_STATE_DIR"));
        metricsAddress = unlessEmpty(env.get("FLYBALL_METRICS_ADDRESS"));
        evidence = "on".equals(env.get("FLYBALL_EVIDENCE"));
        watermarks = watermarks(env.get("FLYBALL_WATERMARKS"));
        min[Knob.G1_PERIODIC_INTERVAL] = bound(env, "FLYBALL_G1_PERIODIC_INTERVAL_MIN", Knob.G1_PERIODIC_INTERVAL, 1000);
        min[Knob.MIN_HEAP_FREE] = bound(env, "FLYBALL_MIN_HEAP_FREE_MIN", Knob.MIN_HEAP_FREE, 0);
        min[Knob.MAX_HEAP_FREE] = bound(env, "FLYBALL_MAX_HEAP_FREE_MIN", Knob.MAX_HEAP_FREE, 0);
    }

    private static String unlessEmpty(String value) {
        return value == null || value.isEmpty() ? null : value;
    }

    /** A knob's value within the local bounds. */
    long clamp(int knob, long value) {
        if (knob == Knob.G1_PERIODIC_INTERVAL && value == 0) {
            return 0;
        }
        return Math.max(value, min[knob]);
    }

    private long bound(Map<String, String> env, String name, int knob, long otherwise) {
        String value = unlessEmpty(env.get(name));
        if (value == null) {
            return otherwise;
        }
        long number = Line.whole(value);
        if (number < 0 || number > Line.maxOf(knob)) {
            complaints.add(name + "=" + value + " is no number from 0 to " + Line.maxOf(knob) + ": as if it were not set");
            return otherwise;
        }
        return number;
    }

    private int[] watermarks(String value) {
        int[] standard = {80, 90, 95};
        if (value == null || value.isEmpty()) {
            return standard;
        }
        if (value.equals("off")) {
            return null;
        }
        String[] parts = value.split(",", -1);
        int[] percents = new int[3];
        long last = 0;
        for (int i = 0; i < 3; i++) {
            long number = parts.length == 3 ? Line.whole(parts[i]) : -1;
            if (number <= last || number > 100) {
                complaints.add("FLYBALL_WATERMARKS=" + value + " is not three rising percents such as 80,90,95, and not off: as if it were not set");
                return standard;
            }
            last = number;
            percents[i] = (int) number;
        }
        return percents;
    }
}
