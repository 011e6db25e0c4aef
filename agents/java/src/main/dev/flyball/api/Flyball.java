package dev.flyball.api;

import java.lang.reflect.InvocationTargetException;
import java.util.Objects;
import java.util.function.Consumer;

/**
 * What an application may ask of the agent. Without an agent in the process it does nothing. {@code flyball-api.jar} has this class and {@link Level} alone, to
 * compile against and to ship; whichever class loader and release it comes from, it finds the agent of the process. No class of the agent's own is in this
 * package: where an application has it on its module path, Java looks for all of a package there, and would not find them.
 */
public final class Flyball {
    private Flyball() {}

    /**
     * Has a function told of each new level of memory pressure, {@link Level#NORMAL} included: to drop caches, to shed load. It is told at once where
     * the level is not normal by now. Calls come from one thread of the agent's, in order and never two at a time; a function that is slow is told of the newest level
     * only. One that throws is logged, and called again at the next level. There is no way to take it off again.
     *
     * @return whether there is an agent that will call it
     */
    public static boolean onPressure(Consumer<Level> function) {
        Objects.requireNonNull(function, "function");
        try {
            Class<?> hub = Class.forName("dev.flyball.agent.Hub", true, ClassLoader.getSystemClassLoader());
            return (Boolean) hub.getMethod("listen", Consumer.class).invoke(null, new ByName(function));
        } catch (ClassNotFoundException none) {
            return false;
        } catch (NoSuchMethodException | IllegalAccessException | InvocationTargetException | LinkageError | SecurityException broken) {
            return false;
        }
    }

    /** Only types of the JDK cross from one class loader to another. */
    private static final class ByName implements Consumer<String> {
        private final Consumer<Level> function;

        ByName(Consumer<Level> function) {
            this.function = function;
        }

        @Override
        public void accept(String level) {
            function.accept(Level.valueOf(level));
        }
    }
}
