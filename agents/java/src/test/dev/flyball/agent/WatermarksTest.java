package dev.flyball.agent;

/** Levels by hand, from the contract's paragraph on pressure: 80, 90 and 95 percent. */
final class WatermarksTest {
    private final Watermarks watermarks = new Watermarks(new int[] {80, 90, 95});
    private long now;
    private int level;

    static void addTo(Tests tests) {
        tests.test("watermarks: a peak of 2 s tells nobody anything", () -> {
            WatermarksTest test = new WatermarksTest();
            test.hold(99, 1).is(0).hold(50, 1).is(0).hold(94, 4).is(0).hold(50, 1).hold(94, 4).is(0);
        });
        tests.test("watermarks: two looks 5 s apart, and all in between", () -> {
            new WatermarksTest().hold(80, 4).is(0).hold(80, 1).is(1);
            new WatermarksTest().hold(85, 4).hold(79, 1).hold(85, 4).is(0).hold(85, 1).is(1);
            new WatermarksTest().hold(92, 5).is(2);
        });
        tests.test("watermarks: emergency after three looks a second apart", () -> new WatermarksTest().hold(95, 1).is(0).hold(95, 1).is(3));
        tests.test("watermarks: two looks far apart are no emergency yet", () -> {
            Watermarks watermarks = new Watermarks(new int[] {80, 90, 95});
            Tests.equal(0, watermarks.look(0, 96), "the first");
            Tests.equal(0, watermarks.look(4_000, 96), "the second");
            Tests.equal(3, watermarks.look(5_000, 96), "the third");
        });
        tests.test("watermarks: a level ends 3 points below it, held for 10 s", () -> {
            WatermarksTest test = new WatermarksTest();
            test.hold(85, 6).is(1).hold(78, 30).is(1).hold(77, 9).is(1).hold(78, 1).is(1).hold(77, 9).is(1).hold(77, 1).is(0);
        });
        tests.test("watermarks: it ends level by level", () -> {
            WatermarksTest test = new WatermarksTest();
            test.hold(99, 6).is(3).hold(88, 10).is(2).hold(87, 10).is(1).hold(50, 10).is(0);
        });
        tests.test("watermarks: what is not known begins nothing and ends nothing", () -> {
            WatermarksTest test = new WatermarksTest();
            test.hold(85, 4).hold(Double.NaN, 1).hold(85, 4).is(0).hold(85, 2).is(1).hold(Double.NaN, 60).is(1);
        });
    }

    /** Looks at the seconds from now to the seconds later, both included. */
    private WatermarksTest hold(double percent, int seconds) {
        for (int i = 0; i <= seconds; i++) {
            level = watermarks.look(now + i * 1000L, percent);
        }
        now += seconds * 1000L;
        return this;
    }

    private WatermarksTest is(int expected) {
        Tests.equal(expected, level, "level at " + now / 1000 + " s");
        return this;
    }
}
