package dev.flyball.agent;

/** The state of a {@link Decision} at one moment, for whoever reads it from another thread. */
final class Snapshot {
    final boolean readable;
    final long seen;
    final long applied;
    final long leaseMillis;
    final long leasesEnded;
    final long reclaims;
    final long breakerTrips;
    final int breaker;
    final long foreignWrites;
    final boolean foreign;
    /** The line's and the agent's own together, from 0 to 3. */
    final int pressure;
    /** By {@link Reason}. */
    final long[] rejected;
    /** By {@link Knob}. */
    final boolean[] clamped;

    Snapshot(Decision decision, long now, long wall, int pressure) {
        readable = decision.readable();
        seen = decision.seen();
        applied = decision.applied();
        leaseMillis = decision.leaseLeft(now, wall);
        leasesEnded = decision.leasesEnded();
        reclaims = decision.reclaims();
        breakerTrips = decision.breakerTrips();
        breaker = decision.breaker();
        foreignWrites = decision.foreignWrites();
        foreign = decision.foreign();
        this.pressure = pressure;
        Reason[] reasons = Reason.values();
        rejected = new long[reasons.length];
        for (Reason reason : reasons) {
            rejected[reason.ordinal()] = decision.rejected(reason);
        }
        clamped = new boolean[Knob.COUNT];
        for (int knob = 0; knob < Knob.COUNT; knob++) {
            clamped[knob] = decision.clamped(knob);
        }
    }
}
