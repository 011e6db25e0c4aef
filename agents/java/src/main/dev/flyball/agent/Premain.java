package dev.flyball.agent;

/**
 * Where {@code -javaagent} begins. This class alone is compiled for Java 8: an agent whose class an older Java can't read ends the whole process at its
 * start, and {@code JAVA_TOOL_OPTIONS} reaches every Java in a container.
 */
public final class Premain {
    private Premain() {}

    /** Starts the agent's thread and returns. Never throws. */
    public static void premain(String arguments) {
        try {
            String version = System.getProperty("java.specification.version", "");
            String module = System.getProperty("jdk.module.main", "");
            if (module.startsWith("jdk.") || module.startsWith("java.")) {
                // jcmd, jfr, javac and the like, run in the container by hand.
                return;
            }
            if (version.startsWith("1.") || Integer.parseInt(version) < 17) {
                if (!"off".equals(System.getenv("FLYBALL_AGENT")) && !"off".equals(System.getenv("FLYBALL_LOG"))) {
                    System.err.println("flyball-agent: needs Java 17 or later, this is " + version + ": does nothing");
                }
                return;
            }
            Class.forName("dev.flyball.agent.Agent").getMethod("start").invoke(null);
        } catch (Throwable error) {
            say(error);
        }
    }

    private static void say(Throwable error) {
        try {
            Throwable cause = error.getCause() == null ? error : error.getCause();
            System.err.println("flyball-agent: does nothing: " + cause);
        } catch (Throwable nothing) {
            // There is nobody to tell.
        }
    }
}
