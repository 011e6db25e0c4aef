package dev.flyball.demo;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/** What the service keeps, allocates, leaks and caches. */
final class Memory implements Runnable {
    private static final int BLOCK = 16 * 1024;
    private static final int BLOCKS_PER_MB = 1024 * 1024 / BLOCK;
    private static final int STEPS_PER_SECOND = 50;

    private final Random random = new Random(1);
    private byte[][] live = new byte[0][];
    private final List<byte[]> leaked = new ArrayList<>();
    private final List<byte[]> cache = new ArrayList<>();
    private boolean grow = true;

    private double rate;
    private double leak;
    /** The largest size of the cache in MB; each request adds a block. */
    private double cacheMax = 50;
    private volatile Object sink;

    void start() {
        Thread thread = new Thread(this, "demo-memory");
        thread.setDaemon(true);
        thread.start();
    }

    synchronized void set(String name, double value) {
        if (!(value >= 0 && value <= 1 << 20)) {
            throw new IllegalArgumentException(name + "=" + value + ": 0 to 1048576");
        }
        switch (name) {
            case "live" -> fill((int) (value * BLOCKS_PER_MB));
            case "rate" -> rate = value;
            case "leak" -> {
                leak = value;
                if (value == 0) {
                    leaked.clear();
                }
            }
            case "cache" -> cacheMax = value;
            default -> throw new IllegalArgumentException(name + ": there are live, rate, leak and cache");
        }
    }

    synchronized double get(String name) {
        return switch (name) {
            case "live" -> live.length / (double) BLOCKS_PER_MB;
            case "rate" -> rate;
            case "leak" -> leak;
            case "cache" -> cacheMax;
            default -> throw new IllegalArgumentException(name + ": there are live, rate, leak and cache");
        };
    }

    private void fill(int blocks) {
        // First let go: the old and the new together may not fit.
        live = new byte[0][];
        byte[][] next = new byte[blocks][];
        for (int i = 0; i < blocks; i++) {
            next[i] = new byte[BLOCK];
        }
        live = next;
    }

    /** Whether the cache may grow. */
    synchronized void grow(boolean grow) {
        this.grow = grow;
    }

    synchronized void drop() {
        cache.clear();
    }

    /** A request: some garbage, and a block for the cache. */
    synchronized void serve() {
        sink = new byte[BLOCK];
        if (grow && cache.size() < cacheMax * BLOCKS_PER_MB) {
            cache.add(new byte[BLOCK]);
        }
    }

    @Override
    public void run() {
        double garbage = 0;
        double kept = 0;
        while (true) {
            synchronized (this) {
                garbage += rate * BLOCKS_PER_MB / STEPS_PER_SECOND;
                for (; garbage >= 1; garbage--) {
                    byte[] block = new byte[BLOCK];
                    sink = block;
                    // One in four lives on in place of another: what is old becomes garbage, too.
                    if (live.length > 0 && random.nextInt(4) == 0) {
                        live[random.nextInt(live.length)] = block;
                    }
                }
                kept += leak * BLOCKS_PER_MB / STEPS_PER_SECOND;
                for (; kept >= 1; kept--) {
                    leaked.add(new byte[BLOCK]);
                }
            }
            try {
                Thread.sleep(1000 / STEPS_PER_SECOND);
            } catch (InterruptedException end) {
                return;
            }
        }
    }

    synchronized void metrics(StringBuilder page) {
        page.append("# TYPE demo_live_bytes gauge\ndemo_live_bytes ").append((long) live.length * BLOCK).append('\n');
        page.append("# TYPE demo_leaked_bytes gauge\ndemo_leaked_bytes ").append((long) leaked.size() * BLOCK).append('\n');
        page.append("# TYPE demo_cache_bytes gauge\ndemo_cache_bytes ").append((long) cache.size() * BLOCK).append('\n');
        page.append("# TYPE demo_allocation_rate_bytes gauge\ndemo_allocation_rate_bytes ").append((long) (rate * 1024 * 1024)).append('\n');
    }
}
