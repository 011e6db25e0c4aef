package dev.flyball.api;

/** How short of memory the container is. The order of the constants is the order of severity. */
public enum Level {
    /** Nothing to do. */
    NORMAL,
    /** Caches should stop growing. */
    WARNING,
    /** Caches should be dropped. */
    HIGH,
    /** Load should be shed: the container is about to be killed. */
    EMERGENCY
}
