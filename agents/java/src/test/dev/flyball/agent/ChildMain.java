package dev.flyball.agent;

import com.sun.management.HotSpotDiagnosticMXBean;
import dev.flyball.api.Flyball;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Path;
import java.util.Random;
import javax.management.MBeanServer;
import javax.management.ObjectName;

/** An application with the agent in it: reads commands on standard input and answers each with one line. */
final class ChildMain {
    private static final int BLOCK = 16 * 1024;

    private static volatile byte[][] live = new byte[1][];
    private static volatile int megabytesPerSecond;
    private static volatile Object sink;

    public static void main(String[] args) throws Exception {
        Thread load = new Thread(ChildMain::load);
        load.setDaemon(true);
        load.start();
        System.out.println("ready");
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] words = line.split(" ");
            String answer;
            try {
                answer = answer(words);
            } catch (Throwable error) {
                answer = "error " + error;
            }
            System.out.println("= " + answer);
        }
    }

    private static String answer(String[] words) throws Exception {
        switch (words[0]) {
            case "flag":
                return ManagementFactory.getPlatformMXBean(HotSpotDiagnosticMXBean.class).getVMOption(words[1]).getValue();
            case "set":
                ManagementFactory.getPlatformMXBean(HotSpotDiagnosticMXBean.class).setVMOption(words[1], words[2]);
                return "ok";
            case "load":
                fill(Integer.parseInt(words[1]));
                megabytesPerSecond = Integer.parseInt(words[2]);
                return "ok";
            case "listen":
                return String.valueOf(Flyball.onPressure(level -> System.out.println("! " + level)));
            case "listen-and-throw":
                return String.valueOf(Flyball.onPressure(level -> {
                    System.out.println("? " + level);
                    throw new IllegalStateException("a listener's own fault");
                }));
            case "listen-elsewhere":
                return listenElsewhere(words[1]);
            case "jmx": {
                MBeanServer server = ManagementFactory.getPlatformMBeanServer();
                ObjectName name = new ObjectName("dev.flyball:type=Agent");
                return server.isRegistered(name) ? String.valueOf(server.getAttribute(name, words[1])) : "none";
            }
            case "threads": {
                int count = 0;
                for (Thread thread : Thread.getAllStackTraces().keySet()) {
                    if (thread.getName().startsWith("flyball-")) {
                        count += thread.isDaemon() ? 1 : 1000;
                    }
                }
                return String.valueOf(count);
            }
            case "exit":
                System.exit(Integer.parseInt(words[1]));
                return "";
            default:
                return "what?";
        }
    }

    /** As an application that ships the API within itself, in a class loader that looks there first. */
    private static String listenElsewhere(String jar) throws Exception {
        ClassLoader own = new URLClassLoader(new URL[] {Path.of(jar).toUri().toURL()}, ClassLoader.getPlatformClassLoader());
        Class<?> flyball = own.loadClass("dev.flyball.api.Flyball");
        if (flyball.getClassLoader() != own) {
            return "the same class";
        }
        java.util.function.Consumer<Object> listener = level -> System.out.println("~ " + level + " " + (level.getClass().getClassLoader() == own));
        return String.valueOf(flyball.getMethod("onPressure", java.util.function.Consumer.class).invoke(null, listener));
    }

    private static void fill(int megabytes) {
        byte[][] next = new byte[Math.max(1, megabytes * (1024 * 1024 / BLOCK))][];
        live = next;
        for (int i = 0; i < next.length; i++) {
            next[i] = new byte[BLOCK];
        }
    }

    private static void load() {
        Random random = new Random(1);
        while (true) {
            byte[][] kept = live;
            int blocks = megabytesPerSecond * (1024 * 1024 / BLOCK) / 50;
            for (int i = 0; i < blocks; i++) {
                byte[] block = new byte[BLOCK];
                sink = block;
                if (i % 4 == 0) {
                    kept[random.nextInt(kept.length)] = block;
                }
            }
            try {
                Thread.sleep(20);
            } catch (InterruptedException end) {
                return;
            }
        }
    }
}
