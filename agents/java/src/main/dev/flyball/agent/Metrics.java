package dev.flyball.agent;

/** The page of metrics, in Prometheus' text form. What this runtime can't tell is left out. */
final class Metrics {
    private static final String[] KINDS = {"gauge", "counter"};
    private static final int GAUGE = 0;
    private static final int COUNTER = 1;

    private final Agent agent;

    Metrics(Agent agent) {
        this.agent = agent;
    }

    Agent agent() {
        return agent;
    }

    /** The release, from the jar's manifest. */
    static String version() {
        Package agent = Metrics.class.getPackage();
        String version = agent == null ? null : agent.getImplementationVersion();
        return version == null ? "unknown" : version;
    }

    synchronized String page() {
        StringBuilder page = new StringBuilder(4096);
        HotSpot hotSpot = agent.hotSpot();
        Snapshot now = agent.snapshot();
        type(page, "flyball_agent_info", GAUGE);
        page.append("flyball_agent_info{runtime=\"java\",version=\"").append(System.getProperty("java.version")).append("\",collector=\"")
                .append(hotSpot.collector()).append("\",agent=\"").append(version()).append("\"} 1\n");
        value(page, "flyball_agent_source_readable", GAUGE, now.readable ? 1 : 0);
        value(page, "flyball_agent_seen_generation", GAUGE, now.seen);
        value(page, "flyball_agent_applied_generation", GAUGE, now.applied);
        type(page, "flyball_agent_rejected_total", COUNTER);
        for (Reason reason : Reason.values()) {
            labelled(page, "flyball_agent_rejected_total", "reason", reason.label, now.rejected[reason.ordinal()]);
        }
        seconds(page, "flyball_agent_lease_seconds", GAUGE, now.leaseMillis);
        value(page, "flyball_agent_leases_ended_total", COUNTER, now.leasesEnded);
        value(page, "flyball_agent_reclaims_total", COUNTER, now.reclaims);
        value(page, "flyball_agent_breaker_trips_total", COUNTER, now.breakerTrips);
        value(page, "flyball_agent_foreign_writes_total", COUNTER, now.foreignWrites);
        value(page, "flyball_agent_foreign", GAUGE, now.foreign ? 1 : 0);
        value(page, "flyball_agent_breaker_state", GAUGE, now.breaker);
        value(page, "flyball_agent_pressure", GAUGE, now.pressure);
        knobs(page, hotSpot, now);
        type(page, "flyball_agent_container_limit_bytes", GAUGE);
        page.append("flyball_agent_container_limit_bytes ");
        if (agent.limit() == Long.MAX_VALUE) {
            page.append("+Inf\n");
        } else {
            page.append(agent.limit()).append('\n');
        }
        known(page, "flyball_agent_resident_bytes", GAUGE, agent.resident());
        known(page, "flyball_agent_working_set_bytes", GAUGE, agent.workingSet());
        long[] last = hotSpot.lastCollection();
        known(page, "flyball_agent_heap_live_bytes", GAUGE, last == null ? -1 : last[0]);
        value(page, "flyball_agent_heap_alloc_bytes", GAUGE, hotSpot.heapUsed());
        known(page, "flyball_agent_alloc_bytes_total", COUNTER, hotSpot.allocated());
        seconds(page, "flyball_agent_gc_cpu_seconds_total", COUNTER, hotSpot.collectionTime());
        value(page, "flyball_agent_gc_cycles_total", COUNTER, hotSpot.collections());
        seconds(page, "flyball_agent_last_gc_time_seconds", GAUGE, last == null ? 0 : last[1]);
        return page.toString();
    }

    private static void knobs(StringBuilder page, HotSpot hotSpot, Snapshot now) {
        type(page, "flyball_agent_knob", GAUGE);
        for (int knob = 0; knob < Knob.COUNT; knob++) {
            if (hotSpot.supports(knob)) {
                labelled(page, "flyball_agent_knob", "knob", Knob.key(knob), hotSpot.read(knob));
            }
        }
        type(page, "flyball_agent_knob_clamped", GAUGE);
        for (int knob = 0; knob < Knob.COUNT; knob++) {
            if (hotSpot.supports(knob)) {
                labelled(page, "flyball_agent_knob_clamped", "knob", Knob.key(knob), now.clamped[knob] ? 1 : 0);
            }
        }
    }

    private static void type(StringBuilder page, String name, int kind) {
        page.append("# TYPE ").append(name).append(' ').append(KINDS[kind]).append('\n');
    }

    private static void value(StringBuilder page, String name, int kind, long value) {
        type(page, name, kind);
        page.append(name).append(' ').append(value).append('\n');
    }

    private static void known(StringBuilder page, String name, int kind, long value) {
        if (value >= 0) {
            value(page, name, kind, value);
        }
    }

    /** Milliseconds as seconds. */
    private static void seconds(StringBuilder page, String name, int kind, long millis) {
        type(page, name, kind);
        page.append(name).append(' ').append(millis / 1000).append('.');
        long rest = millis % 1000;
        page.append(rest < 100 ? "0" : "").append(rest < 10 ? "0" : "").append(rest).append('\n');
    }

    private static void labelled(StringBuilder page, String name, String label, String text, long value) {
        page.append(name).append('{').append(label).append("=\"").append(text).append("\"} ").append(value).append('\n');
    }
}
