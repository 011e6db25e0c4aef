package dev.flyball.agent;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The cases of conformance/vectors.json, all of them, against {@link Decision}. */
final class Conformance {
    private static final Set<String> CASE_KEYS = Set.of("name", "only", "env", "steps");
    private static final Set<String> STEP_KEYS =
            Set.of("at", "wall", "file", "restart", "foreign", "applied", "knobs", "seen", "pressure", "rejected", "reclaims", "leasesEnded", "readable");
    private static final long FOREIGN = 55;

    private final Map<String, Object> words;
    private final Map<String, Object> theCase;
    private final long[] state;
    private FakeWorld world;
    private Decision decision;
    private long reclaims;
    /** The knobs right after somebody else moved one. */
    private long[] foreign;

    private Conformance(Map<String, Object> words, Map<String, Object> theCase) {
        this.words = words;
        this.theCase = theCase;
        Map<String, Object> env = map(theCase.getOrDefault("env", Map.of()));
        state = env.containsKey("FLYBALL_STATE_DIR") && env.get("FLYBALL_STATE_DIR") == null ? null : new long[1];
        start();
    }

    static void addTo(Tests tests) throws Exception {
        Map<String, Object> file = map(Json.parse(Files.readString(Path.of(System.getProperty("flyball.vectors")))));
        Tests.equal("v1", file.get("contract"), "contract");
        Map<String, Object> words = map(map(file.get("runtimes")).get("java"));
        int ours = 0;
        for (Object each : list(file.get("cases"))) {
            Map<String, Object> theCase = map(each);
            if (!theCase.containsKey("only") || list(theCase.get("only")).contains("java")) {
                ours++;
                tests.test("vectors: " + theCase.get("name"), () -> new Conformance(words, theCase).run());
            }
        }
        int count = ours;
        tests.test("vectors: there are cases for Java", () -> Tests.that(count > 0, "none"));
    }

    private void start() {
        Map<String, String> env = new HashMap<>();
        map(theCase.getOrDefault("env", Map.of())).forEach((name, value) -> env.put(name, (String) value));
        world = new FakeWorld(state);
        decision = new Decision(new Settings(env), world);
        reclaims = 0;
    }

    private void run() {
        Tests.that(CASE_KEYS.containsAll(theCase.keySet()), "a key of the case that this test does not know: " + theCase.keySet());
        int number = 0;
        for (Object each : list(theCase.get("steps"))) {
            Map<String, Object> step = map(each);
            Tests.that(STEP_KEYS.containsAll(step.keySet()), "a key of the step that this test does not know: " + step.keySet());
            step(step, "step " + ++number);
        }
    }

    private void step(Map<String, Object> step, String where) {
        if (Boolean.TRUE.equals(step.get("restart"))) {
            start();
        }
        if (Boolean.TRUE.equals(step.get("foreign"))) {
            world.values[Knob.MAX_HEAP_FREE] = FOREIGN;
            foreign = world.values.clone();
        }
        decision.look((Long) step.get("at") * 1000, (Long) step.get("wall") * 1000, file((String) step.get("file")));
        if (decision.takeReclaim()) {
            reclaims++;
            decision.reclaimed();
        }
        compare(step, "applied", decision.applied(), where);
        compare(step, "seen", decision.seen(), where);
        compare(step, "pressure", Line.LEVELS[decision.pressure()], where);
        compare(step, "reclaims", decision.reclaims(), where);
        Tests.equal(reclaims, decision.reclaims(), where + ", the collections that were made");
        compare(step, "leasesEnded", decision.leasesEnded(), where);
        compare(step, "readable", decision.readable(), where);
        if (step.containsKey("rejected")) {
            Map<String, Object> rejected = new HashMap<>();
            for (Reason reason : Reason.values()) {
                if (decision.rejected(reason) != 0) {
                    rejected.put(reason.label, decision.rejected(reason));
                }
            }
            Tests.equal(map(step.get("rejected")), rejected, where + ", rejected");
        }
        if (step.containsKey("knobs")) {
            knobs(step.get("knobs"), where);
        }
    }

    private String file(String text) {
        if (text == null) {
            return null;
        }
        for (String setting : List.of("A", "B", "C")) {
            text = text.replace("{" + setting + "}", (String) map(words.get(setting)).get("text"));
        }
        return new String(text.getBytes(StandardCharsets.UTF_8), StandardCharsets.ISO_8859_1);
    }

    /** What a setting does not name has its boot value. */
    private void knobs(Object expected, String where) {
        long[] values = new FakeWorld(null).values;
        if ("foreign".equals(expected)) {
            values = foreign;
        } else if (!"boot".equals(expected)) {
            Map<String, Object> named = expected instanceof String setting ? map(map(words.get(setting)).get("knobs")) : map(expected);
            int found = 0;
            for (int knob = 0; knob < Knob.COUNT; knob++) {
                if (named.containsKey(Knob.key(knob))) {
                    values[knob] = (Long) named.get(Knob.key(knob));
                    found++;
                }
            }
            Tests.equal(named.size(), found, where + ", knobs that this agent knows");
        }
        for (int knob = 0; knob < Knob.COUNT; knob++) {
            Tests.equal(values[knob], world.values[knob], where + ", " + Knob.key(knob));
        }
    }

    private static void compare(Map<String, Object> step, String key, Object actual, String where) {
        if (step.containsKey(key)) {
            Tests.equal(step.get(key), actual, where + ", " + key);
        }
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Object> map(Object value) {
        return (Map<String, Object>) value;
    }

    @SuppressWarnings("unchecked")
    private static List<Object> list(Object value) {
        return (List<Object>) value;
    }
}
