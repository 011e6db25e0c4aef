package dev.flyball.agent;

/** The agent's own view of pressure: the container's working set against its limit. All times are milliseconds on the monotonic clock. */
final class Watermarks {
    private static final int EMERGENCY = 3;
    private static final long RISE = 5_000;
    private static final long RISE_EMERGENCY = 2_000;
    private static final int LOOKS_EMERGENCY = 3;
    private static final long FALL = 10_000;
    private static final int HYSTERESIS = 3;
    private static final long NEVER = Long.MIN_VALUE;

    /** By level; the one of normal is not used. */
    private final int[] percents = new int[EMERGENCY + 1];
    private final boolean[] active = new boolean[EMERGENCY + 1];
    /** Since when every look was at or above, and how many they were. */
    private final long[] above = new long[EMERGENCY + 1];
    private final int[] looks = new int[EMERGENCY + 1];
    /** Since when every look was at least three points below. */
    private final long[] below = new long[EMERGENCY + 1];

    Watermarks(int[] percents) {
        for (int level = 1; level <= EMERGENCY; level++) {
            this.percents[level] = percents[level - 1];
            above[level] = NEVER;
            below[level] = NEVER;
        }
    }

    /** Below this percent a look needs no exact number. */
    int floor() {
        return percents[1] - HYSTERESIS;
    }

    /**
     * @param percent of the limit; NaN where it is not known: then no level begins and none ends
     * @return the level from 0 to 3
     */
    int look(long now, double percent) {
        int highest = 0;
        for (int level = 1; level <= EMERGENCY; level++) {
            look(level, now, percent);
            if (active[level]) {
                highest = level;
            }
        }
        return highest;
    }

    private void look(int level, long now, double percent) {
        if (percent >= percents[level]) {
            if (above[level] == NEVER) {
                above[level] = now;
                looks[level] = 0;
            }
            looks[level]++;
            long held = now - above[level];
            active[level] |= level == EMERGENCY ? looks[level] >= LOOKS_EMERGENCY && held >= RISE_EMERGENCY : held >= RISE;
        } else {
            above[level] = NEVER;
        }
        if (percent <= percents[level] - HYSTERESIS) {
            if (below[level] == NEVER) {
                below[level] = now;
            }
            active[level] &= now - below[level] < FALL;
        } else {
            below[level] = NEVER;
        }
    }
}
