package dev.flyball.agent;

/**
 * What to do about a line: leases, generations, probation, foreign writers and the breaker. It knows no clock and no file; everything it is told it is told
 * by its arguments. All times are milliseconds: {@code now} on the monotonic clock, {@code wall} since 1970. Not thread-safe.
 */
final class Decision {
    private static final long PROBATION = 60_000;
    private static final long LATCH = 600_000;
    private static final double BREAKER = 0.97;

    private final Settings settings;
    private final World world;

    /** The application's own values: what it sets while nothing of the agent's is in force is one, because its code runs only after the agent's start. */
    private final long[] boot = new long[Knob.COUNT];
    /** What the generation in force sets, local bounds included. */
    private final long[] target = new long[Knob.COUNT];
    /** What the knobs were set to last. */
    private final long[] set = new long[Knob.COUNT];
    /** Which knobs any line has named. The others are not touched, and nobody's writing to them matters. */
    private final boolean[] named = new boolean[Knob.COUNT];
    private final boolean[] clamped = new boolean[Knob.COUNT];

    private boolean readable;
    /** The line of the last look, and the one that was taken last; null where there is none. */
    private String lastText;
    private String takenText;
    private Line taken;

    private long seen;
    private long applied;
    private long leaseEnd;
    private long leasesEnded;

    /** The largest reclaim so far; -1 before the first line. */
    private long reclaim = -1;
    private boolean reclaimDue;
    private long reclaims;
    private int pressure;

    /** The generation that an earlier process ended with, or 0. */
    private final long refusedByProbation;
    /** What the mark of probation says now, and when it goes; 0 where it is not this process' own. */
    private long mark;
    private long probationEnd;

    private boolean foreign;
    private long foreignGeneration;
    private long foreignWrites;

    private int breaker;
    private long breakerEnd;
    private boolean breakerTriedAgain;
    private long breakerTrips;

    private final long[] rejected = new long[Reason.values().length];

    Decision(Settings settings, World world) {
        this.settings = settings;
        this.world = world;
        readBoot();
        refusedByProbation = settings.enabled ? world.probation() : 0;
        mark = refusedByProbation;
    }

    /**
     * One look at the file.
     *
     * @param text one char for each byte, or null where the file can't be read
     */
    void look(long now, long wall, String text) {
        if (!settings.enabled) {
            return;
        }
        noticeForeign();
        readable = text != null;
        if (text != null) {
            String line = Line.strip(text);
            if (line.isEmpty()) {
                release();
                takenText = null;
            } else if (!line.equals(lastText) && !line.equals(takenText)) {
                try {
                    take(Line.parse(line), line, now, wall);
                } catch (Refused refused) {
                    rejected[refused.reason.ordinal()]++;
                    world.log("line refused, " + refused.reason.label + " (" + refused.getMessage() + "): " + excerpt(line));
                }
            }
            lastText = line;
        }
        if (applied != 0 && (now >= leaseEnd || wall >= millis(taken.exp))) {
            world.log("the lease of generation " + applied + " has ended: boot values");
            leasesEnded++;
            release();
        }
        if (probationEnd != 0 && now >= probationEnd) {
            endProbation();
        }
        if (breaker != 0 && now >= breakerEnd) {
            breaker = 0;
            breakerTriedAgain = true;
            move(target, "generation " + applied + " again, after the breaker");
        }
    }

    /**
     * The breaker, to be called once a second.
     *
     * @param resident bytes of this process
     * @param limit bytes of the container, or {@link Long#MAX_VALUE}
     */
    void guard(long now, long resident, long limit) {
        if (applied == 0 || !anyKnob(taken) || breaker != 0 || limit == Long.MAX_VALUE || resident <= BREAKER * limit) {
            return;
        }
        noticeForeign();
        if (applied == 0) {
            return;
        }
        breaker = 2;
        breakerTrips++;
        // Once only: what trips it again stays out until the controller says something new.
        breakerEnd = breakerTriedAgain ? Long.MAX_VALUE : now + LATCH;
        world.log("breaker: " + resident + " bytes are resident, of a limit of " + limit + ": boot values");
        move(boot, "the breaker");
    }

    /** Whether a collection was asked for; asking takes the command off. */
    boolean takeReclaim() {
        boolean due = reclaimDue;
        reclaimDue = false;
        return due;
    }

    /** The collection was made. */
    void reclaimed() {
        reclaims++;
    }

    private void take(Line line, String text, long now, long wall) throws Refused {
        readBoot();
        long[] wanted = wanted(line);
        if (line.gen < seen) {
            throw new Refused(Reason.OLD, "generation " + seen + " was taken");
        }
        if (line.gen == seen && !sameKnobs(line, taken)) {
            throw new Refused(Reason.CHANGED, "other knobs than before under the same generation");
        }
        if (millis(line.exp) <= wall) {
            throw new Refused(Reason.EXPIRED, "by this machine's clock it is " + wall / 1000);
        }
        if (line.gen == refusedByProbation) {
            throw new Refused(Reason.PROBATION, "an earlier process ended within a minute of it");
        }
        if (line.gen == foreignGeneration) {
            throw new Refused(Reason.FOREIGN, "somebody else moved a knob under it");
        }
        if (line.gen != applied) {
            apply(line, wanted, now);
        }
        taken = line;
        takenText = text;
        leaseEnd = now + line.ttl * 1000;
        pressure = line.pressure;
        reclaimDue |= reclaim >= 0 && line.reclaim > reclaim;
        reclaim = Math.max(reclaim, line.reclaim);
    }

    private void apply(Line line, long[] wanted, long now) throws Refused {
        long before = mark;
        mark(line.gen);
        boolean[] namedBefore = named.clone();
        for (int knob = 0; knob < Knob.COUNT; knob++) {
            named[knob] |= line.knobs[knob] != Line.ABSENT;
        }
        String refusal = write(wanted);
        if (refusal != null) {
            mark(before);
            System.arraycopy(namedBefore, 0, named, 0, Knob.COUNT);
            throw new Refused(Reason.UNSUPPORTED, refusal);
        }
        probationEnd = now + PROBATION;
        seen = line.gen;
        applied = line.gen;
        foreign = false;
        resetBreaker();
        StringBuilder log = new StringBuilder("generation ").append(line.gen).append(" applied:");
        for (int knob = 0; knob < Knob.COUNT; knob++) {
            target[knob] = wanted[knob];
            clamped[knob] = line.knobs[knob] != Line.ABSENT && line.knobs[knob] != wanted[knob];
            if (line.knobs[knob] != Line.ABSENT) {
                log.append(' ').append(Knob.key(knob)).append('=').append(wanted[knob]).append(clamped[knob] ? " (clamped)" : "");
            }
        }
        world.log(log.toString());
    }

    /** A line's values within the local bounds, boot values where it names none. */
    private long[] wanted(Line line) throws Refused {
        if (line.keyOfAnother != null) {
            throw new Refused(Reason.UNSUPPORTED, line.keyOfAnother + " is no key of Java");
        }
        long[] wanted = boot.clone();
        for (int knob = 0; knob < Knob.COUNT; knob++) {
            if (line.knobs[knob] == Line.ABSENT) {
                continue;
            }
            if (!world.supports(knob)) {
                throw new Refused(Reason.UNSUPPORTED, "the collector " + world.collector() + " ignores " + Knob.key(knob));
            }
            wanted[knob] = Math.min(settings.clamp(knob, line.knobs[knob]), world.ceiling(knob));
        }
        if (wanted[Knob.MIN_HEAP_FREE] > wanted[Knob.MAX_HEAP_FREE]) {
            if (line.knobs[Knob.MIN_HEAP_FREE] == Line.ABSENT || line.knobs[Knob.MAX_HEAP_FREE] == Line.ABSENT) {
                throw new Refused(Reason.UNSUPPORTED, "with the boot value of the other, min-heap-free=" + wanted[Knob.MIN_HEAP_FREE]
                        + " is over max-heap-free=" + wanted[Knob.MAX_HEAP_FREE] + ": name both");
            }
            // Only a local bound of the first can do this, and local bounds win.
            wanted[Knob.MAX_HEAP_FREE] = wanted[Knob.MIN_HEAP_FREE];
        }
        return wanted;
    }

    private static boolean anyKnob(Line line) {
        for (long value : line.knobs) {
            if (value != Line.ABSENT) {
                return true;
            }
        }
        return false;
    }

    private static boolean sameKnobs(Line line, Line other) {
        for (int knob = 0; knob < Knob.COUNT; knob++) {
            if (line.knobs[knob] != other.knobs[knob]) {
                return false;
            }
        }
        return true;
    }

    /** Boot values, and nothing in force. Where somebody else holds the knobs there is nothing in force already. */
    private void release() {
        if (applied != 0) {
            move(boot, "the end of generation " + applied);
            letGo();
        }
    }

    private void letGo() {
        applied = 0;
        pressure = 0;
        resetBreaker();
        endProbation();
        for (int knob = 0; knob < Knob.COUNT; knob++) {
            clamped[knob] = false;
        }
    }

    private void resetBreaker() {
        breaker = 0;
        breakerTriedAgain = false;
    }

    private void endProbation() {
        if (probationEnd != 0) {
            probationEnd = 0;
            mark(0);
        }
    }

    private void mark(long generation) {
        if (mark != generation) {
            mark = generation;
            world.probation(generation);
        }
    }

    private void noticeForeign() {
        if (applied == 0) {
            return;
        }
        for (int knob = 0; knob < Knob.COUNT; knob++) {
            if (named[knob] && world.read(knob) != set[knob]) {
                world.log("somebody else set " + Knob.key(knob) + " to " + world.read(knob) + ", it was " + set[knob] + ": hands off generation " + applied);
                foreign = true;
                foreignGeneration = applied;
                foreignWrites++;
                takenText = null;
                letGo();
                return;
            }
        }
    }

    /** Whoever fought the agent over a knob has it for as long as nobody asks for another generation; its boot value stays what it was. */
    private void readBoot() {
        for (int knob = 0; knob < Knob.COUNT; knob++) {
            if (world.supports(knob) && (!named[knob] || applied == 0 && !foreign)) {
                boot[knob] = world.read(knob);
            }
        }
    }

    /** Writes values that were there before, so that a refusal is nothing that one could act on. */
    private void move(long[] values, String why) {
        String refusal = write(values);
        if (refusal != null) {
            world.log(why + ": " + refusal);
        }
    }

    /**
     * Writes what differs. HotSpot refuses a Max below Min, at every moment: where Min falls it goes first, else Max does, and then neither order of the values
     * before and after can stand in the way.
     *
     * @return why it was refused, with everything as before; null where it was done
     */
    private String write(long[] values) {
        long[] before = now(values);
        int failed = write(before, values);
        if (failed < 0) {
            return null;
        }
        write(now(values), before);
        return "HotSpot refuses " + Knob.key(failed) + "=" + values[failed];
    }

    /** The values now; where a knob is none of the agent's, the one that is asked for, so that nothing is written. */
    private long[] now(long[] values) {
        long[] now = values.clone();
        for (int knob = 0; knob < Knob.COUNT; knob++) {
            if (named[knob]) {
                now[knob] = world.read(knob);
            }
        }
        return now;
    }

    /** @return the knob that was refused, or -1 */
    private int write(long[] from, long[] to) {
        boolean minFirst = to[Knob.MIN_HEAP_FREE] < from[Knob.MIN_HEAP_FREE];
        int[] order = {Knob.SOFT_MAX_HEAP, Knob.G1_PERIODIC_INTERVAL, minFirst ? Knob.MIN_HEAP_FREE : Knob.MAX_HEAP_FREE,
            minFirst ? Knob.MAX_HEAP_FREE : Knob.MIN_HEAP_FREE};
        for (int knob : order) {
            if (from[knob] != to[knob]) {
                try {
                    world.write(knob, to[knob]);
                } catch (Exception refused) {
                    return knob;
                }
            }
            set[knob] = to[knob];
        }
        return -1;
    }

    /** Seconds to milliseconds, without overflow. */
    private static long millis(long seconds) {
        return seconds > Long.MAX_VALUE / 1000 ? Long.MAX_VALUE : seconds * 1000;
    }

    private static String excerpt(String line) {
        StringBuilder shown = new StringBuilder();
        for (int i = 0; i < line.length() && i < 200; i++) {
            char c = line.charAt(i);
            shown.append(c < ' ' || c > '~' ? '?' : c);
        }
        return shown.toString();
    }

    boolean readable() {
        return readable;
    }

    long seen() {
        return seen;
    }

    long applied() {
        return applied;
    }

    /** Milliseconds that are left of the lease, by whichever clock ends it first; 0 where there is none. */
    long leaseLeft(long now, long wall) {
        return applied == 0 ? 0 : Math.max(0, Math.min(leaseEnd - now, millis(taken.exp) - wall));
    }

    long leasesEnded() {
        return leasesEnded;
    }

    long reclaims() {
        return reclaims;
    }

    /** What the line says, from 0 to 3. */
    int pressure() {
        return pressure;
    }

    boolean foreign() {
        return foreign;
    }

    long foreignWrites() {
        return foreignWrites;
    }

    int breaker() {
        return breaker;
    }

    long breakerTrips() {
        return breakerTrips;
    }

    boolean clamped(int knob) {
        return clamped[knob];
    }

    long rejected(Reason reason) {
        return rejected[reason.ordinal()];
    }
}
