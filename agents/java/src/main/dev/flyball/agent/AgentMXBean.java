package dev.flyball.agent;

import java.util.Map;

/** The agent in JMX, as {@code dev.flyball:type=Agent}. The attributes are those of the metrics' names. */
public interface AgentMXBean {
    /** Whether the file is there. */
    boolean isSourceReadable();

    /** The highest generation that was taken. */
    long getSeenGeneration();

    /** The generation in force, or 0. */
    long getAppliedGeneration();

    /** What is left of the lease, in seconds; 0 for none. */
    double getLeaseSeconds();

    /** Lines refused, by reason. */
    Map<String, Long> getRejected();

    /** The values now of the knobs that this collector acts on, by the keys of the line. */
    Map<String, Long> getKnobs();

    /** 1 where somebody else moved a knob. */
    boolean isForeign();

    /** 0 for closed, 2 for boot values. */
    int getBreakerState();

    /** normal, warning, high or emergency. */
    String getPressure();

    /** Collections made because the line asked. */
    long getReclaims();

    /** The page of metrics. */
    String getMetrics();
}
