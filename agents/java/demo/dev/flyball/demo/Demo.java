package dev.flyball.demo;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import dev.flyball.api.Flyball;
import dev.flyball.api.Level;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicLong;

/**
 * A service whose memory is steered from outside: how much it keeps, allocates and leaks. Under pressure it drops its cache and takes fewer requests. It needs nothing
 * but a JDK: {@code java -jar flyball-demo.jar --port 8080 --live 50 --rate 10}.
 */
public final class Demo {
    private static final double[] BUCKETS = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5};
    /** Requests a second that are taken at each level, times {@code --limit}. */
    private static final double[] SHARE = {Double.POSITIVE_INFINITY, Double.POSITIVE_INFINITY, 1, 0.1};

    private final Memory memory = new Memory();
    private final double requestsPerSecond;
    private volatile Level level = Level.NORMAL;

    private final AtomicLong received = new AtomicLong();
    private final AtomicLong completed = new AtomicLong();
    private final AtomicLong shed = new AtomicLong();
    private final AtomicLong nanos = new AtomicLong();
    private final AtomicLong[] buckets = new AtomicLong[BUCKETS.length];

    private double tokens;
    private long tokensAt = System.nanoTime();

    private Demo(double requestsPerSecond) {
        this.requestsPerSecond = requestsPerSecond;
        for (int i = 0; i < buckets.length; i++) {
            buckets[i] = new AtomicLong();
        }
    }

    public static void main(String[] args) throws IOException {
        int port = 8080;
        double limit = 10;
        String live = "50";
        String rate = "10";
        for (int i = 0; i + 1 < args.length; i += 2) {
            switch (args[i]) {
                case "--port" -> port = Integer.parseInt(args[i + 1]);
                case "--limit" -> limit = Double.parseDouble(args[i + 1]);
                case "--live" -> live = args[i + 1];
                case "--rate" -> rate = args[i + 1];
                default -> throw new IllegalArgumentException(args[i] + ": there are --port, --limit (requests a second at pressure high), --live (MB), --rate (MB/s)");
            }
        }
        Demo demo = new Demo(limit);
        demo.memory.set("live", Double.parseDouble(live));
        demo.memory.set("rate", Double.parseDouble(rate));
        demo.memory.start();
        boolean agent = Flyball.onPressure(demo::pressure);
        HttpServer server = HttpServer.create(new InetSocketAddress(port), 128);
        server.createContext("/", demo::work);
        server.createContext("/healthz", exchange -> answer(exchange, 200, "ok\n"));
        server.createContext("/metrics", exchange -> answer(exchange, 200, demo.metrics()));
        server.createContext("/admin/", demo::admin);
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.start();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> server.stop(1)));
        System.out.println("demo: port " + port + ", agent " + (agent ? "there" : "not there"));
    }

    private void pressure(Level now) {
        level = now;
        memory.grow(now == Level.NORMAL);
        if (now.compareTo(Level.HIGH) >= 0) {
            memory.drop();
        }
        System.out.println("demo: pressure " + now);
    }

    private void work(HttpExchange exchange) throws IOException {
        received.incrementAndGet();
        if (!exchange.getRequestURI().getPath().equals("/")) {
            answer(exchange, 404, "there are /, /healthz, /metrics and /admin/{live,rate,leak,cache}\n");
            return;
        }
        if (!admit(System.nanoTime())) {
            shed.incrementAndGet();
            exchange.getResponseHeaders().set("Retry-After", "1");
            answer(exchange, 503, "short of memory\n");
            return;
        }
        long start = System.nanoTime();
        memory.serve();
        answer(exchange, 200, "ok\n");
        long took = System.nanoTime() - start;
        nanos.addAndGet(took);
        completed.incrementAndGet();
        for (int i = 0; i < BUCKETS.length; i++) {
            if (took <= BUCKETS[i] * 1e9) {
                buckets[i].incrementAndGet();
            }
        }
    }

    private synchronized boolean admit(long now) {
        double rate = SHARE[level.ordinal()] * requestsPerSecond;
        if (Double.isInfinite(rate)) {
            tokens = 1;
            tokensAt = now;
            return true;
        }
        tokens = Math.min(Math.max(1, rate), tokens + rate * (now - tokensAt) / 1e9);
        tokensAt = now;
        if (tokens < 1) {
            return false;
        }
        tokens--;
        return true;
    }

    /** {@code POST /admin/live?value=400} and the same with rate, leak and cache; GET shows what is set. */
    private void admin(HttpExchange exchange) throws IOException {
        URI uri = exchange.getRequestURI();
        String name = uri.getPath().substring("/admin/".length());
        try {
            if (exchange.getRequestMethod().equals("POST")) {
                String query = uri.getQuery();
                if (query == null || !query.startsWith("value=")) {
                    throw new IllegalArgumentException("say ?value=, in MB for live and cache, in MB/s for rate and leak");
                }
                memory.set(name, Double.parseDouble(query.substring("value=".length())));
            }
            answer(exchange, 200, memory.get(name) + "\n");
        } catch (IllegalArgumentException wrong) {
            answer(exchange, 400, wrong.getMessage() + "\n");
        }
    }

    private String metrics() {
        StringBuilder page = new StringBuilder();
        page.append("# TYPE http_requests_received_total counter\nhttp_requests_received_total ").append(received).append('\n');
        page.append("# TYPE http_requests_total counter\nhttp_requests_total ").append(completed).append('\n');
        page.append("# TYPE http_requests_shed_total counter\nhttp_requests_shed_total ").append(shed).append('\n');
        page.append("# TYPE http_request_duration_seconds histogram\n");
        for (int i = 0; i < BUCKETS.length; i++) {
            page.append("http_request_duration_seconds_bucket{le=\"").append(BUCKETS[i]).append("\"} ").append(buckets[i]).append('\n');
        }
        page.append("http_request_duration_seconds_bucket{le=\"+Inf\"} ").append(completed).append('\n');
        page.append("http_request_duration_seconds_sum ").append(nanos.get() / 1e9).append("\nhttp_request_duration_seconds_count ").append(completed).append('\n');
        page.append("# TYPE demo_pressure gauge\ndemo_pressure ").append(level.ordinal()).append('\n');
        memory.metrics(page);
        return page.toString();
    }

    private static void answer(HttpExchange exchange, int status, String text) throws IOException {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("Content-Type", "text/plain; charset=utf-8");
        exchange.sendResponseHeaders(status, bytes.length);
        exchange.getResponseBody().write(bytes);
        exchange.close();
    }
}
