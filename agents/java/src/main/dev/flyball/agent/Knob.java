package dev.flyball.agent;

/** The knobs of the Java runtime. Arrays of values are indexed by these numbers. */
final class Knob {
    static final int SOFT_MAX_HEAP = 0;
    static final int G1_PERIODIC_INTERVAL = 1;
    static final int MIN_HEAP_FREE = 2;
    static final int MAX_HEAP_FREE = 3;
    static final int COUNT = 4;

    /** The keys of the line, and the label {@code knob} of the metrics. */
    private static final String[] KEYS = {"soft-max-heap", "g1-periodic-interval", "min-heap-free", "max-heap-free"};

    private Knob() {}

    static String key(int knob) {
        return KEYS[knob];
    }
}
