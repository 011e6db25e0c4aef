package dev.flyball.agent;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** What the vectors don't hold: the order of writes, refusals by HotSpot, the breaker, and the mark of probation in between. */
final class DecisionTest {
    private static final long WALL = 1_795_000_000_000L;
    private static final long MIB = 1L << 20;

    private final long[] state = new long[1];
    private final FakeWorld world = new FakeWorld(state);
    private final Decision decision;
    private long now;

    private DecisionTest(String... env) {
        decision = new Decision(new Settings(env(env)), world);
    }

    static Map<String, String> env(String... pairs) {
        Map<String, String> env = new HashMap<>();
        for (int i = 0; i < pairs.length; i += 2) {
            env.put(pairs[i], pairs[i + 1]);
        }
        return env;
    }

    static void addTo(Tests tests) {
        tests.test("order: both fall, Min first", () -> order(40, 70, 5, 20, "min-heap-free=5", "max-heap-free=20"));
        tests.test("order: both rise, Max first", () -> order(40, 70, 75, 90, "max-heap-free=90", "min-heap-free=75"));
        tests.test("order: Min falls and Max rises", () -> order(40, 70, 5, 90, "min-heap-free=5", "max-heap-free=90"));
        tests.test("order: Min rises and Max falls", () -> order(40, 70, 50, 60, "max-heap-free=60", "min-heap-free=50"));
        tests.test("order: Min stays and Max falls to it", () -> order(40, 70, 40, 40, "max-heap-free=40"));
        tests.test("order: both fall past each other's old values", () -> order(60, 60, 0, 0, "min-heap-free=0", "max-heap-free=0"));
        tests.test("order: any pair to any pair, and back when the lease ends", DecisionTest::everyPair);
        tests.test("order: a refused write is taken back", DecisionTest::takenBack);
        tests.test("boot values: what the application sets while nothing is in force", DecisionTest::bootWithoutGeneration);
        tests.test("boot values: not what somebody fought over", DecisionTest::bootNotForeign);
        tests.test("a knob that no line has named is not the agent's", DecisionTest::notNamed);
        tests.test("one ratio alone must go with the other's boot value", DecisionTest::oneRatio);
        tests.test("local bounds: Min's lifts Max", DecisionTest::minLiftsMax);
        tests.test("local bounds: an interval's own", DecisionTest::interval);
        tests.test("a soft maximum over the hard one is clamped to it", DecisionTest::softMax);
        tests.test("a knob that the collector ignores is refused, with its name", DecisionTest::ignored);
        tests.test("a line that is refused is logged once, without what would break the log", DecisionTest::loggedOnce);
        tests.test("the mark of probation goes with the generation", DecisionTest::markGoes);
        tests.test("the mark of probation is as before after a refused write", DecisionTest::markAfterRefusal);
        tests.test("breaker: boot values, ten minutes, once again", DecisionTest::breaker);
        tests.test("breaker: neither the same line nor a renewal undoes it", DecisionTest::breakerRenewal);
        tests.test("breaker: a higher generation undoes it", DecisionTest::breakerHigher);
        tests.test("breaker: the end of the lease and an empty file undo it", DecisionTest::breakerEnds);
        tests.test("breaker: only over 0.97 of the limit, and only with a generation", DecisionTest::breakerWhen);
        tests.test("breaker: somebody else's knobs are left alone", DecisionTest::breakerForeign);
        tests.test("what somebody else moves while nothing is in force is theirs to move", DecisionTest::foreignWithoutGeneration);
        tests.test("foreign: the line's pressure ends too", DecisionTest::foreignPressure);
        tests.test("foreign: its line is refused when it comes again", DecisionTest::foreignAgain);
        tests.test("syntax comes before what is unknown", DecisionTest::syntaxFirst);
        tests.test("lease: what is left, by whichever clock ends it first", DecisionTest::leaseLeft);
        tests.test("lease: an end beyond all time is none", DecisionTest::farEnd);
        tests.test("1,024 bytes are a line, spaces at the end not counted", DecisionTest::longest);
        tests.test("settings: bounds and watermarks that can't be read are said", DecisionTest::settings);
    }

    private void look(String text) {
        decision.look(now, WALL + now, text);
    }

    private static String line(long gen, String rest) {
        return "v1 gen=" + gen + " ttl=3600 exp=1795086400" + (rest.isEmpty() ? "" : " ") + rest;
    }

    private void free(long min, long max) {
        Tests.equal(List.of(min, max), List.of(world.values[Knob.MIN_HEAP_FREE], world.values[Knob.MAX_HEAP_FREE]), "min and max free");
    }

    private static void order(long min0, long max0, long min1, long max1, String... writes) {
        DecisionTest test = new DecisionTest();
        test.world.values[Knob.MIN_HEAP_FREE] = min0;
        test.world.values[Knob.MAX_HEAP_FREE] = max0;
        test.look(line(1, "min-heap-free=" + min1 + " max-heap-free=" + max1));
        Tests.equal(1L, test.decision.applied(), "applied");
        Tests.equal(List.of(writes), test.world.writes, "writes");
    }

    /** HotSpot refuses a Max below Min at every moment, and so does the fake. */
    private static void everyPair() {
        int[] percents = {0, 5, 20, 40, 70, 100};
        for (int min0 : percents) {
            for (int max0 : percents) {
                for (int min1 : percents) {
                    for (int max1 : percents) {
                        if (min0 > max0 || min1 > max1) {
                            continue;
                        }
                        DecisionTest test = new DecisionTest();
                        test.world.values[Knob.MIN_HEAP_FREE] = min0;
                        test.world.values[Knob.MAX_HEAP_FREE] = max0;
                        test.look(line(1, "min-heap-free=" + min1 + " max-heap-free=" + max1));
                        test.free(min1, max1);
                        test.now = 3_600_000;
                        test.look(null);
                        Tests.equal(1L, test.decision.leasesEnded(), "leases ended");
                        test.free(min0, max0);
                    }
                }
            }
        }
    }

    private static void takenBack() {
        DecisionTest test = new DecisionTest();
        test.look(line(1, "min-heap-free=5 max-heap-free=20 g1-periodic-interval=3000"));
        test.world.broken = Knob.MAX_HEAP_FREE;
        test.look(line(2, "min-heap-free=2 max-heap-free=10 g1-periodic-interval=9000"));
        Tests.equal(1L, test.decision.applied(), "applied");
        Tests.equal(1L, test.decision.seen(), "seen");
        Tests.equal(1L, test.decision.rejected(Reason.UNSUPPORTED), "unsupported");
        test.free(5, 20);
        Tests.equal(3000L, test.world.values[Knob.G1_PERIODIC_INTERVAL], "interval");
        test.look(line(2, "min-heap-free=2 max-heap-free=10 g1-periodic-interval=9000"));
        Tests.equal(0L, test.decision.foreignWrites(), "its own way back is nobody else's");
    }

    private static void bootWithoutGeneration() {
        DecisionTest test = new DecisionTest();
        test.look(null);
        // The application's main sets it, after the agent's start.
        test.world.values[Knob.MAX_HEAP_FREE] = 60;
        test.look(line(1, "min-heap-free=5 max-heap-free=20"));
        test.look("");
        test.free(40, 60);
        test.world.values[Knob.MAX_HEAP_FREE] = 65;
        test.look(line(2, "min-heap-free=5 max-heap-free=20"));
        test.look("");
        test.free(40, 65);
    }

    private static void bootNotForeign() {
        DecisionTest test = new DecisionTest();
        test.look(line(1, "min-heap-free=5 max-heap-free=20"));
        test.world.values[Knob.MAX_HEAP_FREE] = 60;
        test.look(line(2, "min-heap-free=6 max-heap-free=20"));
        Tests.equal(2L, test.decision.applied(), "applied");
        test.look("");
        test.free(40, 70);
    }

    private static void notNamed() {
        DecisionTest test = new DecisionTest();
        test.look(line(1, "max-heap-free=60"));
        // Neither watched nor taken back.
        test.world.values[Knob.G1_PERIODIC_INTERVAL] = 9000;
        test.world.values[Knob.MIN_HEAP_FREE] = 30;
        test.look(line(2, "max-heap-free=50"));
        Tests.equal(0L, test.decision.foreignWrites(), "foreign writes");
        Tests.equal(2L, test.decision.applied(), "applied");
        test.look(line(3, "max-heap-free=50 g1-periodic-interval=5000"));
        test.look("");
        test.free(30, 70);
        Tests.equal(9000L, test.world.values[Knob.G1_PERIODIC_INTERVAL], "the application's own");
        // From then on it is named.
        test.look(line(4, "max-heap-free=50"));
        test.world.values[Knob.G1_PERIODIC_INTERVAL] = 1;
        test.look(line(4, "max-heap-free=50"));
        Tests.equal(1L, test.decision.foreignWrites(), "foreign writes");
    }

    private static void oneRatio() {
        DecisionTest test = new DecisionTest();
        test.look(line(1, "min-heap-free=71"));
        Tests.equal(1L, test.decision.rejected(Reason.UNSUPPORTED), "unsupported");
        test.look(line(2, "max-heap-free=39"));
        Tests.equal(2L, test.decision.rejected(Reason.UNSUPPORTED), "unsupported");
        Tests.equal(0L, test.decision.seen(), "seen");
        test.look(line(3, "max-heap-free=40"));
        test.free(40, 40);
    }

    private static void minLiftsMax() {
        DecisionTest test = new DecisionTest("FLYBALL_MIN_HEAP_FREE_MIN", "30");
        test.look(line(1, "min-heap-free=5 max-heap-free=20"));
        test.free(30, 30);
        Tests.that(test.decision.clamped(Knob.MIN_HEAP_FREE) && test.decision.clamped(Knob.MAX_HEAP_FREE), "both clamped");
        test.look("");
        Tests.that(!test.decision.clamped(Knob.MIN_HEAP_FREE), "nothing in force, nothing clamped");
    }

    private static void interval() {
        DecisionTest test = new DecisionTest("FLYBALL_G1_PERIODIC_INTERVAL_MIN", "60000", "FLYBALL_MAX_HEAP_FREE_MIN", "30");
        test.look(line(1, "g1-periodic-interval=5000 max-heap-free=40"));
        Tests.equal(60_000L, test.world.values[Knob.G1_PERIODIC_INTERVAL], "interval");
        Tests.that(test.decision.clamped(Knob.G1_PERIODIC_INTERVAL), "clamped");
        Tests.that(!test.decision.clamped(Knob.MAX_HEAP_FREE), "not clamped");
        test.look(line(2, "g1-periodic-interval=0"));
        Tests.equal(0L, test.world.values[Knob.G1_PERIODIC_INTERVAL], "0 is always allowed");
    }

    private static void softMax() {
        DecisionTest test = new DecisionTest();
        test.world.supports[Knob.SOFT_MAX_HEAP] = true;
        test.look(line(1, "soft-max-heap=" + (8L << 30)));
        Tests.equal(4L << 30, test.world.values[Knob.SOFT_MAX_HEAP], "soft maximum");
        Tests.that(test.decision.clamped(Knob.SOFT_MAX_HEAP), "clamped");
    }

    private static void ignored() {
        DecisionTest test = new DecisionTest();
        test.look(line(1, "min-heap-free=5 max-heap-free=20 soft-max-heap=1000000"));
        Tests.equal(1L, test.decision.rejected(Reason.UNSUPPORTED), "unsupported");
        test.free(40, 70);
        Tests.that(test.world.log.get(0).contains("the collector G1 ignores soft-max-heap"), test.world.log.toString());
    }

    private static void loggedOnce() {
        DecisionTest test = new DecisionTest();
        for (int i = 0; i < 5; i++) {
            test.look("v1 a\nb\u001b[31m\u00e4");
        }
        Tests.equal(1, test.world.log.size(), "lines in the log");
        Tests.that(test.world.log.get(0).endsWith(": v1 a?b?[31m?"), test.world.log.get(0));
    }

    private static void markGoes() {
        DecisionTest test = new DecisionTest();
        test.look(line(1, ""));
        Tests.equal(1L, test.state[0], "mark");
        test.now = 59_999;
        test.look(line(1, ""));
        Tests.equal(1L, test.state[0], "mark");
        test.now = 60_000;
        test.look(line(1, ""));
        Tests.equal(0L, test.state[0], "mark after a minute");
        test.look(line(2, ""));
        Tests.equal(2L, test.state[0], "mark");
        test.look("");
        Tests.equal(0L, test.state[0], "mark of a generation that was taken back");
    }

    private static void markAfterRefusal() {
        long[] state = {7};
        FakeWorld world = new FakeWorld(state);
        Decision decision = new Decision(new Settings(Map.of()), world);
        world.broken = Knob.MAX_HEAP_FREE;
        decision.look(0, WALL, line(8, "max-heap-free=50"));
        Tests.equal(1L, decision.rejected(Reason.UNSUPPORTED), "unsupported");
        Tests.equal(7L, state[0], "the mark of the process before");
        decision.look(0, WALL, line(7, "min-heap-free=30"));
        Tests.equal(1L, decision.rejected(Reason.PROBATION), "probation");
    }

    private void trip() {
        decision.guard(now, 980 * MIB, 1000 * MIB);
    }

    private static DecisionTest tripped() {
        DecisionTest test = new DecisionTest();
        test.look(line(1, "min-heap-free=5 max-heap-free=20"));
        test.trip();
        Tests.equal(2, test.decision.breaker(), "breaker");
        Tests.equal(1L, test.decision.applied(), "applied stays");
        test.free(40, 70);
        return test;
    }

    private static void breaker() {
        DecisionTest test = tripped();
        test.trip();
        Tests.equal(1L, test.decision.breakerTrips(), "trips");
        test.now = 599_999;
        test.look(line(1, "min-heap-free=5 max-heap-free=20"));
        test.free(40, 70);
        test.now = 600_000;
        test.look(line(1, "min-heap-free=5 max-heap-free=20"));
        test.free(5, 20);
        Tests.equal(0, test.decision.breaker(), "breaker");
        test.trip();
        Tests.equal(2L, test.decision.breakerTrips(), "trips");
        test.now = 3_599_999;
        test.look(line(1, "min-heap-free=5 max-heap-free=20"));
        test.free(40, 70);
        Tests.equal(2, test.decision.breaker(), "breaker, until there is something new");
    }

    private static void breakerRenewal() {
        DecisionTest test = tripped();
        test.look(line(1, "min-heap-free=5 max-heap-free=20 reclaim=1"));
        Tests.that(test.decision.takeReclaim(), "a renewal's command is heard");
        Tests.equal(2, test.decision.breaker(), "breaker");
        test.free(40, 70);
        Tests.equal(0L, test.decision.foreignWrites(), "foreign writes");
    }

    private static void breakerHigher() {
        DecisionTest test = tripped();
        test.look(line(2, "min-heap-free=6 max-heap-free=25"));
        Tests.equal(0, test.decision.breaker(), "breaker");
        test.free(6, 25);
        test.trip();
        test.now = 600_000;
        test.look(line(2, "min-heap-free=6 max-heap-free=25"));
        test.free(6, 25);
    }

    private static void breakerEnds() {
        DecisionTest test = tripped();
        test.look("");
        Tests.equal(0, test.decision.breaker(), "breaker");
        test.look(line(1, "min-heap-free=5 max-heap-free=20"));
        test.free(5, 20);
        test.trip();
        test.now = 3_600_000;
        test.look(null);
        Tests.equal(0, test.decision.breaker(), "breaker");
        Tests.equal(0L, test.decision.applied(), "applied");
    }

    private static void breakerWhen() {
        DecisionTest test = new DecisionTest();
        test.trip();
        Tests.equal(0, test.decision.breaker(), "nothing is applied");
        DecisionTest without = new DecisionTest();
        without.look(line(1, "pressure=high"));
        without.trip();
        Tests.equal(0, without.decision.breaker(), "a generation without knobs");
        test.look(line(1, "min-heap-free=5 max-heap-free=20"));
        test.decision.guard(0, 970 * MIB, 1000 * MIB);
        test.decision.guard(0, 980 * MIB, Long.MAX_VALUE);
        Tests.equal(0, test.decision.breaker(), "at 0.97, and without a limit");
        test.decision.guard(0, 970 * MIB + 1, 1000 * MIB);
        Tests.equal(2, test.decision.breaker(), "over 0.97");
    }

    private static void breakerForeign() {
        DecisionTest test = new DecisionTest();
        test.look(line(1, "min-heap-free=5 max-heap-free=20"));
        test.world.values[Knob.MAX_HEAP_FREE] = 50;
        test.trip();
        Tests.equal(0L, test.decision.breakerTrips(), "trips");
        Tests.equal(1L, test.decision.foreignWrites(), "foreign writes");
        test.free(5, 50);
        DecisionTest moved = tripped();
        moved.world.values[Knob.MAX_HEAP_FREE] = 50;
        moved.now = 600_000;
        moved.look(line(1, "min-heap-free=5 max-heap-free=20"));
        Tests.equal(1L, moved.decision.foreignWrites(), "foreign writes");
        moved.free(40, 50);
    }

    private static void foreignWithoutGeneration() {
        DecisionTest test = new DecisionTest();
        test.look(line(1, "min-heap-free=5 max-heap-free=20"));
        test.look("");
        test.world.values[Knob.MAX_HEAP_FREE] = 50;
        test.look("");
        Tests.equal(0L, test.decision.foreignWrites(), "foreign writes");
        test.free(40, 50);
    }

    private static void foreignPressure() {
        DecisionTest test = new DecisionTest();
        test.look(line(1, "min-heap-free=5 max-heap-free=20 pressure=high"));
        Tests.equal(2, test.decision.pressure(), "pressure");
        test.world.values[Knob.MAX_HEAP_FREE] = 50;
        test.look(line(1, "min-heap-free=5 max-heap-free=20 pressure=high"));
        Tests.equal(0, test.decision.pressure(), "pressure");
        Tests.that(test.decision.foreign(), "foreign");
        test.look(line(2, "min-heap-free=5 max-heap-free=20"));
        Tests.that(!test.decision.foreign(), "a higher generation is no longer foreign");
    }

    private static void foreignAgain() {
        DecisionTest test = new DecisionTest();
        String line = line(1, "min-heap-free=5 max-heap-free=20");
        test.look(line);
        test.world.values[Knob.MAX_HEAP_FREE] = 50;
        test.look(line);
        test.look("hello");
        test.look(line);
        Tests.equal(1L, test.decision.rejected(Reason.FOREIGN), "foreign");
    }

    private static void syntaxFirst() {
        DecisionTest test = new DecisionTest();
        test.look(line(1, "nonsense=4=5"));
        Tests.equal(1L, test.decision.rejected(Reason.SYNTAX), "syntax");
        test.look(line(1, "nonsense=4"));
        Tests.equal(1L, test.decision.rejected(Reason.UNKNOWN), "unknown");
    }

    private static void leaseLeft() {
        DecisionTest test = new DecisionTest();
        Tests.equal(0L, test.decision.leaseLeft(0, WALL), "none");
        test.look("v1 gen=1 ttl=60 exp=1795000050");
        Tests.equal(50_000L, test.decision.leaseLeft(0, WALL), "by the wall clock");
        Tests.equal(10_000L, test.decision.leaseLeft(50_000, WALL), "by the monotonic clock");
    }

    private static void farEnd() {
        DecisionTest test = new DecisionTest();
        test.look("v1 gen=9223372036854775807 ttl=604800 exp=9223372036854775807");
        Tests.equal(Long.MAX_VALUE, test.decision.applied(), "applied");
        test.now = 604_799_999;
        test.look(null);
        Tests.equal(Long.MAX_VALUE, test.decision.applied(), "applied");
        test.now = 604_800_000;
        test.look(null);
        Tests.equal(0L, test.decision.applied(), "applied");
    }

    private static void longest() {
        DecisionTest test = new DecisionTest();
        String longest = line(1, "x=" + "1".repeat(Line.MAX_BYTES - line(1, "x=").length()));
        Tests.equal(1024, longest.length(), "length");
        test.look(longest + "   \r\n\n");
        Tests.equal(1L, test.decision.rejected(Reason.UNKNOWN), "read to its end");
        test.look(longest + "1");
        Tests.equal(1L, test.decision.rejected(Reason.TOO_LONG), "too long");
    }

    private static void settings() {
        Settings settings = new Settings(env("FLYBALL_MIN_HEAP_FREE_MIN", "101", "FLYBALL_WATERMARKS", "90,80,95", "FLYBALL_G1_PERIODIC_INTERVAL_MIN", "-5"));
        Tests.equal(3, settings.complaints.size(), "complaints");
        Tests.equal(80, settings.watermarks[0], "the usual watermark");
        Tests.equal(0L, settings.clamp(Knob.MIN_HEAP_FREE, 0), "the usual bound");
        Tests.equal(1000L, settings.clamp(Knob.G1_PERIODIC_INTERVAL, 1), "the usual bound");
        Tests.equal(null, new Settings(env("FLYBALL_WATERMARKS", "off")).watermarks, "off");
        Tests.equal(99, new Settings(env("FLYBALL_WATERMARKS", "1,50,99")).watermarks[2], "emergency");
        Tests.equal("/etc/flyball", new Settings(Map.of()).runtimeDir, "folder");
    }
}
