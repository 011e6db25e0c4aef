package dev.flyball.agent;

import java.util.ArrayList;
import java.util.List;

/** A HotSpot with G1 as far as its knobs go: it refuses a Max below Min at every moment, as the real one does (ProcessTest holds it against that). */
final class FakeWorld implements World {
    final long[] values = {4L << 30, 0, 40, 70};
    final boolean[] supports = {false, true, true, true};
    final long[] ceilings = {4L << 30, Long.MAX_VALUE, 100, 100};
    final List<String> log = new ArrayList<>();
    /** Every write, in order: {@code key=value}. */
    final List<String> writes = new ArrayList<>();
    /** A knob that refuses everything, or -1. */
    int broken = -1;
    /** The state folder, which outlives a process; null where there is none. */
    final long[] state;

    FakeWorld(long[] state) {
        this.state = state;
    }

    @Override
    public String collector() {
        return "G1";
    }

    @Override
    public boolean supports(int knob) {
        return supports[knob];
    }

    @Override
    public long ceiling(int knob) {
        return ceilings[knob];
    }

    @Override
    public long read(int knob) {
        return values[knob];
    }

    @Override
    public void write(int knob, long value) {
        long before = values[knob];
        values[knob] = value;
        if (knob == broken || values[Knob.MIN_HEAP_FREE] > values[Knob.MAX_HEAP_FREE] || value < 0 || value > ceilings[knob]) {
            values[knob] = before;
            throw new IllegalArgumentException("value violates its flag's constraint");
        }
        writes.add(Knob.key(knob) + "=" + value);
    }

    @Override
    public long probation() {
        return state == null ? 0 : state[0];
    }

    @Override
    public void probation(long generation) {
        if (state != null) {
            state[0] = generation;
        }
    }

    @Override
    public void log(String text) {
        log.add(text);
    }
}
