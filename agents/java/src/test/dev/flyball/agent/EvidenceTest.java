package dev.flyball.agent;

import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Stream;

/** Thread dumps and recordings of real JVMs of this JDK. */
final class EvidenceTest {
    private EvidenceTest() {}

    private record Answer(int status, byte[] body) {
        String text() {
            return new String(body, StandardCharsets.UTF_8);
        }
    }

    static void addTo(Tests tests) {
        tests.test("evidence: a thread dump", EvidenceTest::threads);
        tests.test("evidence: a recording that jfr opens", EvidenceTest::recording);
        tests.test("evidence: off unless it is asked for", EvidenceTest::off);
        tests.test("evidence: a Java without jdk.jfr", EvidenceTest::absent);
    }

    private static Answer get(Child child, String path) throws IOException {
        URI uri = URI.create("http://127.0.0.1:" + child.port() + path);
        HttpURLConnection connection = (HttpURLConnection) uri.toURL().openConnection();
        int status = connection.getResponseCode();
        try (InputStream body = status < 400 ? connection.getInputStream() : connection.getErrorStream()) {
            return new Answer(status, body.readAllBytes());
        }
    }

    private static Child.Setup setup() throws IOException {
        return new Child.Setup("-Xmx64m").env("FLYBALL_EVIDENCE", "on");
    }

    private static void threads() throws Exception {
        try (Child child = setup().start()) {
            Answer answer = get(child, "/debug/flyball/threads");
            Tests.equal(200, answer.status, "status");
            Tests.that(answer.text().startsWith("\""), "begins with a thread's name: " + answer.text());
            Tests.that(answer.text().matches("(?s).*\"main\" #[0-9]+ prio=5 RUNNABLE\n.*"), "the application's own thread: " + answer.text());
            Tests.that(answer.text().contains("dev.flyball.agent.ChildMain.main(ChildMain.java:"), "its frames to the last: " + answer.text());
            Tests.equal(404, get(child, "/debug/flyball/heap").status, "another path");
            Tests.equal(404, get(child, "/debug/flyball/threads/").status, "another path");
        }
    }

    private static void recording() throws Exception {
        Child.Setup setup = setup();
        Path state = Files.createDirectories(setup.dir.resolve("state"));
        setup.env("FLYBALL_STATE_DIR", state.toString());
        try (Child child = setup.start()) {
            for (String wrong : List.of("0", "61", "-1", "1.5", "x", "")) {
                Answer answer = get(child, "/debug/flyball/jfr?seconds=" + wrong);
                Tests.equal("400 seconds is a whole number from 1 to 60\n", answer.status + " " + answer.text(), "seconds=" + wrong);
            }
            // On a busy machine one may be over before a second is refused: then there is another.
            AtomicReference<CompletableFuture<Answer>> first = new AtomicReference<>(record(child));
            child.until("a second one is refused", () -> {
                if (first.get().isDone()) {
                    first.set(record(child));
                }
                try {
                    return get(child, "/debug/flyball/threads").status == 503;
                } catch (IOException error) {
                    throw new AssertionError(error);
                }
            });
            Tests.that(child.page().contains("flyball_agent_info"), "metrics are read meanwhile");
            Answer answer = first.get().get();
            Tests.equal(200, answer.status, "status");
            Tests.equal("FLR\0", new String(answer.body, 0, 4, StandardCharsets.ISO_8859_1), "the format's first bytes");
            Path file = setup.dir.resolve("taken.jfr");
            Files.write(file, answer.body);
            Process jfr = new ProcessBuilder(Child.java("jfr"), "summary", file.toString()).redirectErrorStream(true).start();
            String summary = new String(jfr.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            Tests.equal(0, jfr.waitFor(), "jfr summary: " + summary);
            Tests.that(summary.contains("jdk.CPULoad"), "what the kernel of the recorder has: " + summary);
            try (Stream<Path> left = Files.list(state)) {
                Tests.equal(List.of(), left.filter(path -> path.toString().endsWith(".jfr")).toList(), "left behind");
            }
        }
    }

    /** A recording of three seconds, in a thread of its own. */
    private static CompletableFuture<Answer> record(Child child) {
        CompletableFuture<Answer> answer = new CompletableFuture<>();
        Thread asks = new Thread(() -> {
            try {
                answer.complete(get(child, "/debug/flyball/jfr?seconds=3"));
            } catch (IOException error) {
                answer.completeExceptionally(error);
            }
        });
        asks.setDaemon(true);
        asks.start();
        return answer;
    }

    private static void off() throws Exception {
        for (String value : new String[] {null, "", "off", "true"}) {
            Child.Setup setup = new Child.Setup("-Xmx64m");
            if (value != null) {
                setup.env("FLYBALL_EVIDENCE", value);
            }
            try (Child child = setup.start()) {
                Tests.equal(404, get(child, "/debug/flyball/threads").status, "FLYBALL_EVIDENCE=" + value);
                Tests.equal(404, get(child, "/debug/flyball/jfr?seconds=1").status, "FLYBALL_EVIDENCE=" + value);
            }
        }
    }

    private static void absent() throws Exception {
        Child.Setup setup = setup();
        setup.options.addAll(List.of("--limit-modules", "java.base,java.management,java.instrument,jdk.management"));
        try (Child child = setup.start()) {
            Answer answer = get(child, "/debug/flyball/jfr?seconds=1");
            Tests.equal("501 this Java has no module jdk.jfr\n", answer.status + " " + answer.text(), "a recording");
            Tests.equal(200, get(child, "/debug/flyball/threads").status, "a thread dump needs none");
        }
    }
}
