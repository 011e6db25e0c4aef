package dev.flyball.agent;

/**
 * A line that is well formed and within the contract's table. Whether this process can do what it says, and whether it is its turn, is decided
 * in {@link Decision}.
 */
final class Line {
    static final int MAX_BYTES = 1024;

    /** A knob that the line does not name. */
    static final long ABSENT = -1;

    /** The words for pressure. Not those of {@link dev.flyball.api.Level}, which may come from an application's own jar, of another release than this one. */
    static final String[] LEVELS = {"normal", "warning", "high", "emergency"};

    private static final long NO_NUMBER = -1;
    private static final long OVERFLOW = -2;
    private static final long TWO_TO_50 = 1L << 50;

    /** The form of a value. */
    private enum Form {
        WHOLE,
        WHOLE_OR_OFF,
        WHOLE_OR_NONE,
        DECIMAL,
        LEVEL,
        TRIPLE
    }

    /**
     * All keys of all runtimes: a value of another runtime's key is checked too, so that every agent refuses a line for the same reason. The numbers are
     * the smallest and largest value that the table of the contract allows.
     */
    private enum Key {
        GEN("gen", Form.WHOLE, 1, Long.MAX_VALUE),
        TTL("ttl", Form.WHOLE, 1, 604_800),
        EXP("exp", Form.WHOLE, 0, Long.MAX_VALUE),
        RECLAIM("reclaim", Form.WHOLE, 0, Long.MAX_VALUE),
        PRESSURE("pressure", Form.LEVEL, 0, 3),
        // The knobs of this runtime, in the order of Knob.
        SOFT_MAX_HEAP("soft-max-heap", Form.WHOLE, 0, TWO_TO_50),
        G1_PERIODIC_INTERVAL("g1-periodic-interval", Form.WHOLE, 0, 86_400_000),
        MIN_HEAP_FREE("min-heap-free", Form.WHOLE, 0, 100),
        MAX_HEAP_FREE("max-heap-free", Form.WHOLE, 0, 100),
        // Those of others.
        GOGC("gogc", Form.WHOLE_OR_OFF, 1, 1000),
        MEMLIMIT("memlimit", Form.WHOLE_OR_NONE, 4_194_304, TWO_TO_50),
        RSS("rss", Form.WHOLE, 4_194_304, TWO_TO_50),
        LAMBDA("lambda", Form.DECIMAL, 0, 0),
        GOGC_MIN("gogc-min", Form.WHOLE, 1, 1000),
        GOGC_MAX("gogc-max", Form.WHOLE, 1, 1000),
        HEAP_GROWING_PERCENT("heap-growing-percent", Form.WHOLE, 1, 400),
        GC_THRESHOLDS("gc-thresholds", Form.TRIPLE, 0, 1_000_000_000),
        FREEZE("freeze", Form.WHOLE, 0, Long.MAX_VALUE);

        static final Key[] ALL = values();
        static final int FIRST_KNOB = SOFT_MAX_HEAP.ordinal();
        static final int FIRST_OF_OTHERS = GOGC.ordinal();

        final String text;
        final Form form;
        final long min;
        final long max;

        Key(String text, Form form, long min, long max) {
            this.text = text;
            this.form = form;
            this.min = min;
            this.max = max;
        }

        static Key of(String text) {
            for (Key key : ALL) {
                if (key.text.equals(text)) {
                    return key;
                }
            }
            return null;
        }
    }

    /** The largest value that the table allows for a knob. */
    static long maxOf(int knob) {
        return Key.ALL[Key.FIRST_KNOB + knob].max;
    }

    final long gen;
    /** Seconds, from when this process first saw the line. */
    final long ttl;
    /** Seconds since 1970. */
    final long exp;
    /** 0 where the line has none. */
    final long reclaim;
    /** 0 normal to 3 emergency. */
    final int pressure;
    /** By {@link Knob}; {@link #ABSENT} where the line does not name one. */
    final long[] knobs;
    /** The first key that is another runtime's, or null. */
    final String keyOfAnother;

    private Line(String[] values, long[] numbers) {
        gen = numbers[Key.GEN.ordinal()];
        ttl = numbers[Key.TTL.ordinal()];
        exp = numbers[Key.EXP.ordinal()];
        reclaim = values[Key.RECLAIM.ordinal()] == null ? 0 : numbers[Key.RECLAIM.ordinal()];
        pressure = values[Key.PRESSURE.ordinal()] == null ? 0 : (int) numbers[Key.PRESSURE.ordinal()];
        knobs = new long[Knob.COUNT];
        for (int knob = 0; knob < Knob.COUNT; knob++) {
            int key = Key.FIRST_KNOB + knob;
            knobs[knob] = values[key] == null ? ABSENT : numbers[key];
        }
        String another = null;
        for (int key = Key.FIRST_OF_OTHERS; key < values.length && another == null; key++) {
            if (values[key] != null) {
                another = Key.ALL[key].text;
            }
        }
        keyOfAnother = another;
    }

    /** Takes off what does not count at a file's end: line ends and spaces. */
    static String strip(String text) {
        int end = text.length();
        while (end > 0 && (text.charAt(end - 1) == ' ' || text.charAt(end - 1) == '\n' || text.charAt(end - 1) == '\r')) {
            end--;
        }
        return text.substring(0, end);
    }

    /**
     * @param text one char for each byte of the file (ISO 8859-1), stripped and not empty
     */
    static Line parse(String text) throws Refused {
        if (text.length() > MAX_BYTES) {
            throw new Refused(Reason.TOO_LONG, "over " + MAX_BYTES + " bytes");
        }
        String[] words = words(text);
        if (!words[0].equals("v1")) {
            throw new Refused(Reason.VERSION, "this agent reads v1");
        }
        String[] keys = new String[words.length];
        for (int i = 1; i < words.length; i++) {
            keys[i] = words[i].substring(0, words[i].indexOf('='));
            for (int before = 1; before < i; before++) {
                if (keys[before].equals(keys[i])) {
                    throw new Refused(Reason.DUPLICATE, keys[i]);
                }
            }
        }
        String[] values = new String[Key.ALL.length];
        for (int i = 1; i < words.length; i++) {
            Key key = Key.of(keys[i]);
            if (key == null) {
                throw new Refused(Reason.UNKNOWN, keys[i]);
            }
            values[key.ordinal()] = words[i].substring(keys[i].length() + 1);
        }
        long[] numbers = forms(values);
        ranges(values, numbers);
        return new Line(values, numbers);
    }

    private static String[] words(String text) throws Refused {
        int count = 1;
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c < ' ' || c > '~') {
                throw new Refused(Reason.SYNTAX, "a byte that is not printable ASCII");
            }
            if (c == ' ') {
                count++;
            }
        }
        if (count < 2) {
            throw new Refused(Reason.SYNTAX, "one word alone");
        }
        String[] words = new String[count];
        int start = 0;
        for (int i = 0; i < count; i++) {
            int end = text.indexOf(' ', start);
            words[i] = end < 0 ? text.substring(start) : text.substring(start, end);
            start = end + 1;
            if (words[i].isEmpty()) {
                throw new Refused(Reason.SYNTAX, "words are parted by single spaces");
            }
            int equals = words[i].indexOf('=');
            if (i > 0 && (equals < 1 || equals != words[i].lastIndexOf('=') || equals == words[i].length() - 1)) {
                throw new Refused(Reason.SYNTAX, words[i] + ": not key=value");
            }
        }
        return words;
    }

    private static long[] forms(String[] values) throws Refused {
        long[] numbers = new long[values.length];
        for (Key key : Key.ALL) {
            String value = values[key.ordinal()];
            if (value == null) {
                continue;
            }
            long number = switch (key.form) {
                case WHOLE -> whole(value);
                case WHOLE_OR_OFF -> value.equals("off") ? key.min : whole(value);
                case WHOLE_OR_NONE -> value.equals("none") ? key.min : whole(value);
                case DECIMAL -> decimal(value);
                case LEVEL -> level(value);
                case TRIPLE -> triple(value);
            };
            if (number == NO_NUMBER) {
                throw new Refused(Reason.SYNTAX, key.text + "=" + value);
            }
            numbers[key.ordinal()] = number;
        }
        for (int key = Key.GEN.ordinal(); key <= Key.EXP.ordinal(); key++) {
            if (values[key] == null) {
                throw new Refused(Reason.SYNTAX, "no " + Key.ALL[key].text);
            }
        }
        return numbers;
    }

    private static void ranges(String[] values, long[] numbers) throws Refused {
        for (Key key : Key.ALL) {
            String value = values[key.ordinal()];
            long number = numbers[key.ordinal()];
            if (value != null && (number < key.min || number > key.max)) {
                throw new Refused(Reason.RANGE, key.text + "=" + value);
            }
        }
        boolean rss = values[Key.RSS.ordinal()] != null;
        boolean lambda = values[Key.LAMBDA.ordinal()] != null;
        boolean gogc = values[Key.GOGC.ordinal()] != null;
        if (rss && (gogc || lambda || values[Key.MEMLIMIT.ordinal()] != null) || lambda && gogc) {
            throw new Refused(Reason.RANGE, "keys that do not go together");
        }
        boolean bound = values[Key.GOGC_MIN.ordinal()] != null || values[Key.GOGC_MAX.ordinal()] != null;
        if (bound && !rss && !lambda) {
            throw new Refused(Reason.RANGE, "gogc-min and gogc-max go with rss or lambda");
        }
        ordered(values, numbers, Key.GOGC_MIN, Key.GOGC_MAX);
        ordered(values, numbers, Key.MIN_HEAP_FREE, Key.MAX_HEAP_FREE);
    }

    private static void ordered(String[] values, long[] numbers, Key min, Key max) throws Refused {
        if (values[min.ordinal()] != null && values[max.ordinal()] != null && numbers[min.ordinal()] > numbers[max.ordinal()]) {
            throw new Refused(Reason.RANGE, min.text + " over " + max.text);
        }
    }

    /** Digits alone, no leading zeros: the number, {@link #OVERFLOW} where 63 bits don't hold it, or {@link #NO_NUMBER}. */
    static long whole(String value) {
        int length = value.length();
        if (length == 0 || length > 1 && value.charAt(0) == '0') {
            return NO_NUMBER;
        }
        long number = 0;
        for (int i = 0; i < length; i++) {
            int digit = value.charAt(i) - '0';
            if (digit < 0 || digit > 9) {
                return NO_NUMBER;
            }
            if (number != OVERFLOW) {
                number = number > (Long.MAX_VALUE - digit) / 10 ? OVERFLOW : number * 10 + digit;
            }
        }
        return number;
    }

    /** Above 0 and at most 1 is 0, else {@link #OVERFLOW}; the number itself is another runtime's. */
    private static long decimal(String value) {
        int length = value.length();
        int at = digits(value, 0);
        if (at == 0 || at > 1 && value.charAt(0) == '0') {
            return NO_NUMBER;
        }
        if (at < length && value.charAt(at) == '.') {
            int end = digits(value, at + 1);
            if (end == at + 1) {
                return NO_NUMBER;
            }
            at = end;
        }
        if (at < length && (value.charAt(at) == 'e' || value.charAt(at) == 'E')) {
            at++;
            if (at < length && (value.charAt(at) == '-' || value.charAt(at) == '+')) {
                at++;
            }
            int end = digits(value, at);
            if (end == at) {
                return NO_NUMBER;
            }
            at = end;
        }
        if (at < length) {
            return NO_NUMBER;
        }
        double number = Double.parseDouble(value);
        if (Double.isInfinite(number)) {
            return NO_NUMBER;
        }
        return number > 0 && number <= 1 ? 0 : OVERFLOW;
    }

    /** Where the digits that begin at a place end. */
    private static int digits(String value, int at) {
        while (at < value.length() && value.charAt(at) >= '0' && value.charAt(at) <= '9') {
            at++;
        }
        return at;
    }

    private static long level(String value) {
        for (int level = 0; level < LEVELS.length; level++) {
            if (LEVELS[level].equals(value)) {
                return level;
            }
        }
        return NO_NUMBER;
    }

    /** Three whole numbers with commas: the largest of them. */
    private static long triple(String value) {
        int first = value.indexOf(',');
        int second = value.indexOf(',', first + 1);
        if (first < 0 || second < 0) {
            return NO_NUMBER;
        }
        long a = whole(value.substring(0, first));
        long b = whole(value.substring(first + 1, second));
        long c = whole(value.substring(second + 1));
        if (a == NO_NUMBER || b == NO_NUMBER || c == NO_NUMBER) {
            return NO_NUMBER;
        }
        return a == OVERFLOW || b == OVERFLOW || c == OVERFLOW ? OVERFLOW : Math.max(a, Math.max(b, c));
    }
}
