package dev.flyball.agent;

import java.util.function.Consumer;

/**
 * Tells listeners of the level, from a thread of its own that begins with the first of them: a listener that hangs must not keep a lease from ending. {@link
 * dev.flyball.api.Flyball} finds this class and its method by their names; both are kept from release to release.
 */
public final class Hub implements Runnable {
    private static final Hub HUB = new Hub();
    /** The names of {@link dev.flyball.api.Level}'s constants. */
    private static final String[] NAMES = {"NORMAL", "WARNING", "HIGH", "EMERGENCY"};

    private boolean running;
    private int level;
    private Listener[] listeners = {};

    private Hub() {}

    private static final class Listener {
        final Consumer<String> function;
        int told;

        Listener(Consumer<String> function) {
            this.function = function;
        }
    }

    /** @return false where the agent does nothing in this process */
    public static boolean listen(Consumer<String> function) {
        return HUB.add(function);
    }

    static void running(boolean running) {
        synchronized (HUB) {
            HUB.running = running;
        }
    }

    static void level(int level) {
        synchronized (HUB) {
            if (HUB.level != level) {
                HUB.level = level;
                HUB.notifyAll();
            }
        }
    }

    private synchronized boolean add(Consumer<String> function) {
        if (!running) {
            return false;
        }
        Listener[] more = new Listener[listeners.length + 1];
        System.arraycopy(listeners, 0, more, 0, listeners.length);
        more[listeners.length] = new Listener(function);
        listeners = more;
        if (listeners.length == 1) {
            Thread thread = new Thread(null, this, "flyball-pressure");
            thread.setDaemon(true);
            thread.start();
        }
        notifyAll();
        return true;
    }

    @Override
    public void run() {
        while (true) {
            Listener next = null;
            int now;
            synchronized (this) {
                now = level;
                for (Listener listener : listeners) {
                    if (listener.told != now) {
                        next = listener;
                        next.told = now;
                        break;
                    }
                }
                if (next == null) {
                    try {
                        wait();
                    } catch (InterruptedException whoever) {
                        // Nobody ends this thread; it is a daemon.
                    }
                    continue;
                }
            }
            try {
                next.function.accept(NAMES[now]);
            } catch (Throwable error) {
                Log.say("a listener failed at the level " + NAMES[now] + ": " + error);
            }
        }
    }
}
