package dev.flyball.agent;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.Writer;
import java.net.HttpURLConnection;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/** Another JVM of the same JDK, with {@link ChildMain} and the agent in it. */
final class Child implements AutoCloseable {
    /** A condition that takes longer than this does not come; no test is about how long it takes. */
    private static final long PATIENCE_SECONDS = 120;
    static final Path BUILD = Path.of(System.getProperty("flyball.build", "agents/java/build")).toAbsolutePath();
    static final String AGENT = BUILD.resolve("flyball-agent.jar").toString();

    /** Where the child finds its volume and leaves its state. */
    final Path dir;
    final Volume volume;
    private final Process process;
    private final Writer in;
    private final List<String> out = new ArrayList<>();
    private final List<String> err = new ArrayList<>();

    private Child(Path dir, Process process) throws IOException {
        this.dir = dir;
        this.process = process;
        volume = new Volume(dir.resolve("volume"));
        in = process.outputWriter();
        collect(process.getInputStream(), out);
        collect(process.getErrorStream(), err);
    }

    /** What a child is started with. */
    static final class Setup {
        final List<String> options = new ArrayList<>();
        final Map<String, String> env = new HashMap<>();
        Path dir;
        String agent = AGENT;
        String main = "dev.flyball.agent.ChildMain";

        Setup(String... options) throws IOException {
            this.options.addAll(List.of(options));
            dir = Tests.folder();
            env.put("FLYBALL_METRICS_ADDRESS", "127.0.0.1:0");
        }

        Setup env(String name, String value) {
            env.put(name, value);
            return this;
        }

        Child start() throws IOException {
            Files.createDirectories(dir.resolve("state"));
            List<String> command = new ArrayList<>(List.of(java("java")));
            command.addAll(options);
            command.addAll(List.of("-cp", BUILD.resolve("tests").toString(), main));
            ProcessBuilder builder = new ProcessBuilder(command);
            builder.environment().keySet().removeIf(name -> name.startsWith("FLYBALL_"));
            builder.environment().put("FLYBALL_RUNTIME_DIR", dir.resolve("volume").toString());
            // As it is adopted: by the environment alone.
            builder.environment().put("JAVA_TOOL_OPTIONS", agent == null ? "" : "-javaagent:" + agent);
            builder.environment().putAll(env);
            return new Child(dir, builder.start());
        }
    }

    static String java(String tool) {
        return Path.of(System.getProperty("java.home"), "bin", tool).toString();
    }

    private void collect(InputStream from, List<String> lines) {
        Thread thread = new Thread(() -> {
            try (BufferedReader reader = new BufferedReader(new InputStreamReader(from, StandardCharsets.UTF_8))) {
                for (String line = reader.readLine(); line != null; line = reader.readLine()) {
                    synchronized (lines) {
                        lines.add(line);
                    }
                }
            } catch (IOException end) {
                // The child is gone.
            }
        });
        thread.setDaemon(true);
        thread.start();
    }

    long pid() {
        return process.pid();
    }

    /** Lines so far of standard output. */
    List<String> out() {
        synchronized (out) {
            return List.copyOf(out);
        }
    }

    /** Lines so far of standard error. */
    List<String> err() {
        synchronized (err) {
            return List.copyOf(err);
        }
    }

    boolean says(String part) {
        return err().stream().anyMatch(line -> line.contains(part));
    }

    /** Sends a command and waits for its answer. */
    String ask(String command) throws IOException {
        int before = answers().size();
        in.write(command + "\n");
        in.flush();
        until("an answer to " + command, () -> answers().size() > before);
        return answers().get(before);
    }

    private List<String> answers() {
        return out().stream().filter(line -> line.startsWith("= ")).map(line -> line.substring(2)).toList();
    }

    long flag(String name) throws IOException {
        return Long.parseLong(ask("flag " + name));
    }

    int port() {
        String said = "flyball-agent: metrics at port ";
        until("metrics", () -> says(said));
        return err().stream().filter(line -> line.startsWith(said)).mapToInt(line -> Integer.parseInt(line.substring(said.length()))).findFirst().orElseThrow();
    }

    String page() {
        try {
            HttpURLConnection connection = (HttpURLConnection) URI.create("http://127.0.0.1:" + port() + "/metrics").toURL().openConnection();
            try (InputStream body = connection.getInputStream()) {
                return new String(body.readAllBytes(), StandardCharsets.UTF_8);
            }
        } catch (IOException error) {
            throw new AssertionError("no metrics: " + error, error);
        }
    }

    /** The value of a series, by name and labels as on the page; NaN where it is missing. */
    double metric(String series) {
        for (String line : page().split("\n")) {
            if (line.startsWith(series + " ")) {
                return Double.parseDouble(line.substring(series.length() + 1).replace("+Inf", "Infinity"));
            }
        }
        return Double.NaN;
    }

    void untilMetric(String series, double value) {
        until(series + " = " + value, () -> metric(series) == value);
    }

    /** Waits for a condition, and fails with what the child said where it does not come. */
    void until(String what, BooleanSupplier condition) {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > end || !process.isAlive() && !condition.getAsBoolean()) {
                throw new AssertionError("not seen: " + what + "; alive: " + process.isAlive() + "\nout: " + out() + "\nerr: " + err());
            }
            try {
                Thread.sleep(100);
            } catch (InterruptedException end2) {
                throw new AssertionError(end2);
            }
        }
    }

    int exitCode() throws InterruptedException {
        Tests.that(process.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS), "the child does not end");
        return process.exitValue();
    }

    /** As the kernel does when memory runs out. */
    void kill() throws InterruptedException {
        process.destroyForcibly();
        exitCode();
    }

    @Override
    public void close() throws IOException {
        process.destroyForcibly();
        process.onExit().join();
    }
}
