package dev.flyball.agent;

import java.io.DataInputStream;
import java.io.InputStream;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What the agent is to the application around it: the jar, the API, JMX, the page, and everything that could go wrong at start. */
final class AdoptionTest {
    private AdoptionTest() {}

    static void addTo(Tests tests) {
        tests.test("jar: what is in it", AdoptionTest::jar);
        tests.test("page: the metrics of the contract, and no others", AdoptionTest::page);
        tests.test("page: other requests, and clients that say nothing", AdoptionTest::requests);
        tests.test("pressure: an application is told, also by an API of its own", AdoptionTest::pressure);
        tests.test("pressure: without an agent the API does nothing", AdoptionTest::withoutAgent);
        tests.test("JMX: the bean is there once somebody has started JMX", AdoptionTest::jmx);
        tests.test("start: twice in the options is once", AdoptionTest::twice);
        tests.test("start: FLYBALL_AGENT=off", AdoptionTest::off);
        tests.test("start: FLYBALL_LOG=off", AdoptionTest::quiet);
        tests.test("start: a Java image without management", AdoptionTest::noManagement);
        tests.test("start: a security manager that allows nothing", AdoptionTest::securityManager);
        tests.test("start: tools of the JDK are left alone", AdoptionTest::tools);
        tests.test("start: a port that is taken", AdoptionTest::takenPort);
        tests.test("end: the application's exit code", AdoptionTest::exitCode);
    }

    private static void jar() throws Exception {
        try (JarFile jar = new JarFile(Child.AGENT)) {
            Tests.equal("dev.flyball.agent.Premain", jar.getManifest().getMainAttributes().getValue("Premain-Class"), "Premain-Class");
            List<String> names = new ArrayList<>();
            for (JarEntry entry : java.util.Collections.list(jar.entries())) {
                if (!entry.getName().endsWith(".class")) {
                    continue;
                }
                names.add(entry.getName());
                Tests.that(entry.getName().startsWith("dev/flyball/"), "only classes of its own: " + entry.getName());
                Tests.equal(1980, entry.getTimeLocal().getYear(), "one date for all, or two builds differ");
                try (DataInputStream in = new DataInputStream(jar.getInputStream(entry))) {
                    in.readInt();
                    in.readUnsignedShort();
                    // A Java that can't read the first class ends at its start.
                    Tests.equal(entry.getName().endsWith("/Premain.class") ? 52 : 61, in.readUnsignedShort(), "class file version of " + entry.getName());
                }
            }
            Tests.that(names.contains("dev/flyball/agent/Premain.class"), "Premain is there");
            Tests.equal(names.stream().sorted().toList(), names, "sorted");
        }
        try (JarFile jar = new JarFile(Child.BUILD.resolve("flyball-api.jar").toFile())) {
            Tests.equal(List.of("Flyball$ByName.class", "Flyball.class", "Level.class"), java.util.Collections.list(jar.entries()).stream()
                    .map(JarEntry::getName).filter(name -> name.endsWith(".class")).map(name -> name.replace("dev/flyball/api/", "")).sorted().toList(), "the API");
        }
    }

    private static Child start(String text) throws Exception {
        Child.Setup setup = new Child.Setup("-XX:+UseG1GC");
        new Volume(setup.dir.resolve("volume")).write(text);
        return setup.start();
    }

    private static void page() throws Exception {
        Set<String> contract = new TreeSet<>();
        for (String line : Files.readString(Path.of("agents/CONTRACT.md")).split("\n")) {
            if (line.startsWith("| `flyball_agent_") && !line.matches(".*\\| Go \\|")) {
                Matcher name = Pattern.compile("`(flyball_agent_[a-z_]+)").matcher(line.substring(0, line.indexOf('|', 2)));
                while (name.find()) {
                    contract.add(name.group(1));
                }
            }
        }
        // Told by the text of their row to be others'.
        contract.removeAll(Set.of("flyball_agent_setpoint_state", "flyball_agent_gc_collections_total"));
        Tests.that(contract.size() > 20, "names in the contract: " + contract);
        try (Child child = start("")) {
            child.volume.line(1, 3600, "g1-periodic-interval=10 reclaim=1");
            child.untilMetric("flyball_agent_applied_generation", 1);
            child.volume.line(1, 3600, "g1-periodic-interval=10 reclaim=2");
            // A collection, so that there is a last one.
            child.untilMetric("flyball_agent_reclaims_total", 1);
            Set<String> page = new TreeSet<>();
            String type = "";
            for (String line : child.page().split("\n")) {
                if (line.startsWith("# TYPE ")) {
                    type = line.split(" ")[2];
                    Tests.that(page.add(type), "each name once: " + type);
                    Tests.equal(type.endsWith("_total") ? "counter" : "gauge", line.split(" ")[3], type);
                } else {
                    Tests.that(line.matches("[a-z_]+(\\{[a-z]+=\"[^\"]*\"(,[a-z]+=\"[^\"]*\")*\\})? (\\+Inf|[0-9]+(\\.[0-9]{3})?)"), "a sample: " + line);
                    Tests.that(line.startsWith(type + " ") || line.startsWith(type + "{"), "under its own type: " + line);
                }
            }
            if (!Files.exists(Path.of("/sys/fs/cgroup"))) {
                contract.remove("flyball_agent_working_set_bytes");
            }
            Tests.equal(contract, page, "names");
            Tests.equal(1000.0, child.metric("flyball_agent_knob{knob=\"g1-periodic-interval\"}"), "clamped to");
            Tests.equal(1.0, child.metric("flyball_agent_knob_clamped{knob=\"g1-periodic-interval\"}"), "clamped");
            double before = child.metric("flyball_agent_alloc_bytes_total");
            child.ask("load 50 0");
            Tests.that(child.metric("flyball_agent_alloc_bytes_total") >= before + 50e6, "50 MB were allocated");
            Tests.that(child.metric("flyball_agent_resident_bytes") > 20e6, "resident");
            double left = child.metric("flyball_agent_lease_seconds");
            Tests.that(left > 3000 && left <= 3600, "lease: " + left);
        }
    }

    private static String request(int port, String text) throws Exception {
        try (Socket socket = new Socket("127.0.0.1", port)) {
            socket.getOutputStream().write(text.getBytes(StandardCharsets.US_ASCII));
            try (InputStream in = socket.getInputStream()) {
                return new String(in.readAllBytes(), StandardCharsets.UTF_8);
            }
        }
    }

    private static void requests() throws Exception {
        try (Child child = start("")) {
            int port = child.port();
            Tests.that(request(port, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").startsWith("HTTP/1.1 200 OK\r\n"), "metrics");
            Tests.that(request(port, "GET /metrics?a=b HTTP/1.1\r\n\r\n").startsWith("HTTP/1.1 200 OK\r\n"), "with a query");
            Tests.that(request(port, "GET / HTTP/1.1\r\n\r\n").startsWith("HTTP/1.1 404 "), "another path");
            Tests.that(request(port, "POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n").startsWith("HTTP/1.1 405 "), "another method");
            try (Socket silent = new Socket("127.0.0.1", port); Socket endless = new Socket("127.0.0.1", port)) {
                Tests.that(silent.isConnected(), "connected");
                endless.getOutputStream().write("x".repeat(8192).getBytes(StandardCharsets.US_ASCII));
                child.untilMetric("flyball_agent_source_readable", 1);
            }
        }
    }

    private static void pressure() throws Exception {
        try (Child child = start("")) {
            child.port();
            Tests.equal("true", child.ask("listen"), "listen");
            Tests.equal("true", child.ask("listen-and-throw"), "listen");
            Tests.equal("true", child.ask("listen-elsewhere " + Child.BUILD.resolve("flyball-api.jar")), "listen");
            child.volume.line(1, 3600, "pressure=high");
            child.until("high", () -> child.out().contains("! HIGH") && child.out().contains("? HIGH") && child.out().contains("~ HIGH true"));
            child.until("a word on the one that throws", () -> child.says("a listener failed at the level HIGH"));
            Tests.equal(2.0, child.metric("flyball_agent_pressure"), "pressure");
            child.volume.line(1, 3600, "pressure=emergency");
            child.until("emergency", () -> child.out().contains("! EMERGENCY") && child.out().contains("? EMERGENCY"));
            // Who comes late is told at once.
            child.ask("listen");
            child.until("told late", () -> child.out().stream().filter("! EMERGENCY"::equals).count() == 2);
            child.volume.write("");
            child.until("normal", () -> child.out().contains("! NORMAL") && child.out().contains("~ NORMAL true"));
            Tests.equal(List.of("? HIGH", "? EMERGENCY", "? NORMAL"), child.out().stream().filter(line -> line.startsWith("? ")).toList(), "in order");
        }
    }

    private static void withoutAgent() throws Exception {
        Child.Setup setup = new Child.Setup("-Xmx64m");
        setup.agent = null;
        Path api = Child.BUILD.resolve("flyball-api.jar");
        try (Child child = setup.start()) {
            Tests.equal("false", child.ask("listen-elsewhere " + api), "listen");
        }
    }

    private static void jmx() throws Exception {
        try (Child child = start("v1 gen=4 ttl=3600 exp=4000000000 max-heap-free=50")) {
            child.untilMetric("flyball_agent_applied_generation", 4);
            child.until("the bean", () -> {
                try {
                    return child.ask("jmx AppliedGeneration").equals("4");
                } catch (java.io.IOException error) {
                    throw new AssertionError(error);
                }
            });
            Tests.equal("normal", child.ask("jmx Pressure"), "pressure");
            Tests.equal("false", child.ask("jmx Foreign"), "foreign");
            Tests.that(child.ask("jmx Knobs").contains("max-heap-free"), "knobs");
        }
    }

    private static void twice() throws Exception {
        Child.Setup setup = new Child.Setup("-javaagent:" + Child.AGENT);
        try (Child child = setup.start()) {
            child.port();
            // The agent's own and the page's.
            Tests.equal("2", child.ask("threads"), "daemon threads");
        }
    }

    private static void off() throws Exception {
        try (Child child = new Child.Setup("-Xmx64m").env("FLYBALL_AGENT", "off").start()) {
            Tests.equal("0", child.ask("threads"), "threads");
            Tests.equal("false", child.ask("listen"), "listen");
            Tests.that(!child.says("flyball-agent:"), child.err().toString());
        }
    }

    private static void quiet() throws Exception {
        Child.Setup setup = new Child.Setup("-Xmx64m").env("FLYBALL_LOG", "off");
        setup.env("FLYBALL_STATE_DIR", setup.dir.resolve("state").toString());
        new Volume(setup.dir.resolve("volume")).write("v1 gen=4 ttl=3600 exp=4000000000");
        try (Child child = setup.start()) {
            child.until("the mark of its work", () -> Files.exists(child.dir.resolve("state").resolve("probation")));
            Tests.that(!child.says("flyball-agent:"), child.err().toString());
        }
    }

    private static void noManagement() throws Exception {
        try (Child child = new Child.Setup("--limit-modules", "java.base,java.instrument").start()) {
            // This application needs management itself, to answer: that it runs is what counts.
            child.until("a word on it", () -> child.says("flyball-agent: does nothing") && child.says("jdk.management"));
            child.until("the application", () -> child.out().contains("ready"));
        }
    }

    private static void securityManager() throws Exception {
        if (Runtime.version().feature() >= 24) {
            throw new Tests.Skipped("Java has no security manager since 24");
        }
        try (Child child = new Child.Setup("-Djava.security.manager").start()) {
            child.until("a word on it", () -> child.says("flyball-agent: does nothing"));
            child.until("the application", () -> child.out().contains("ready"));
        }
    }

    private static void tools() throws Exception {
        ProcessBuilder builder = new ProcessBuilder(Child.java("jcmd"), "-h");
        builder.environment().put("JAVA_TOOL_OPTIONS", "-javaagent:" + Child.AGENT);
        builder.environment().put("FLYBALL_METRICS_ADDRESS", "no port");
        Process jcmd = builder.redirectErrorStream(true).start();
        String said = new String(jcmd.getInputStream().readAllBytes());
        Tests.equal(0, jcmd.waitFor(), "jcmd: " + said);
        Tests.that(said.contains("Picked up JAVA_TOOL_OPTIONS") && !said.contains("flyball-agent: "), said);
    }

    private static void takenPort() throws Exception {
        try (Child first = start("")) {
            Child.Setup setup = new Child.Setup("-Xmx64m").env("FLYBALL_METRICS_ADDRESS", "127.0.0.1:" + first.port());
            setup.env("FLYBALL_STATE_DIR", setup.dir.resolve("state").toString());
            new Volume(setup.dir.resolve("volume")).write("v1 gen=4 ttl=3600 exp=4000000000");
            try (Child child = setup.start()) {
                child.until("a word on it", () -> child.says("no metrics, FLYBALL_METRICS_ADDRESS="));
                child.until("the rest", () -> child.says("generation 4 applied"));
            }
        }
    }

    private static void exitCode() throws Exception {
        Child.Setup setup = new Child.Setup("-Xmx64m");
        try (Child child = setup.start()) {
            child.port();
            try {
                child.ask("exit 7");
            } catch (AssertionError gone) {
                // It has ended before an answer.
            }
            Tests.equal(7, child.exitCode(), "exit code");
        }
    }
}
