package dev.flyball.agent;

/** Lines on standard error. A logging framework would cost more than the agent. */
final class Log {
    private static volatile boolean on = true;

    private Log() {}

    static void on(boolean on) {
        Log.on = on;
    }

    static void say(String text) {
        if (on) {
            try {
                System.err.println("flyball-agent: " + text);
            } catch (Throwable nobody) {
                // Standard error may be the application's own.
            }
        }
    }
}
