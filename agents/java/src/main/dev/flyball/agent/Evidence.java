package dev.flyball.agent;

import java.io.IOException;
import java.io.OutputStream;
import java.lang.management.LockInfo;
import java.lang.management.ManagementFactory;
import java.lang.management.MonitorInfo;
import java.lang.management.ThreadInfo;
import java.lang.management.ThreadMXBean;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * A thread dump, and a recording of Java Flight Recorder, for whoever asks at the metrics' address. It costs the process something, so it is off unless
 * {@code FLYBALL_EVIDENCE=on}, and one is made at a time.
 */
final class Evidence {
    private static final String PATH = "/debug/flyball/";
    private static final int SECONDS = 10;
    private static final int MOST_SECONDS = 60;

    private final AtomicBoolean busy = new AtomicBoolean();
    private final String folder;

    /** @param folder where a recording is kept until it is sent; null for the system's own */
    Evidence(String folder) {
        this.folder = folder;
    }

    /**
     * Answers a request that is for evidence, from a thread of its own: metrics are read meanwhile.
     *
     * @param request the first line, of a GET
     * @return false where it is for something else; otherwise the socket is closed later
     */
    boolean takes(String request, Socket client) {
        String target = request.split(" ", 3)[1];
        int mark = target.indexOf('?');
        String path = mark < 0 ? target : target.substring(0, mark);
        boolean threads = path.equals(PATH + "threads");
        if (!threads && !path.equals(PATH + "jfr")) {
            return false;
        }
        long seconds = seconds(mark < 0 ? "" : target.substring(mark + 1));
        Thread thread = new Thread(() -> serve(client, threads, seconds), "flyball-evidence");
        thread.setDaemon(true);
        thread.start();
        return true;
    }

    private void serve(Socket client, boolean threads, long seconds) {
        try (Socket closed = client) {
            if (!busy.compareAndSet(false, true)) {
                refuse(closed, "503 Service Unavailable", "another one is being made");
                return;
            }
            try {
                make(closed, threads, seconds);
            } finally {
                busy.set(false);
            }
        } catch (IOException gone) {
            // The client's affair.
        } catch (Throwable error) {
            Log.say("no evidence: " + error);
        }
    }

    private void make(Socket client, boolean threads, long seconds) throws IOException {
        if (seconds < 1 || seconds > MOST_SECONDS) {
            refuse(client, "400 Bad Request", "seconds is a whole number from 1 to " + MOST_SECONDS);
        } else if (threads) {
            byte[] text = dump().getBytes(StandardCharsets.UTF_8);
            OutputStream out = client.getOutputStream();
            out.write(head("200 OK", "text/plain; charset=utf-8", text.length));
            out.write(text);
        } else {
            try {
                FlightRecording.send(folder, seconds, length -> head("200 OK", "application/octet-stream", length), client.getOutputStream());
            } catch (LinkageError none) {
                refuse(client, "501 Not Implemented", "this Java has no module jdk.jfr");
            } catch (FlightRecording.Failed failed) {
                refuse(client, "500 Internal Server Error", failed.getMessage());
            }
        }
    }

    /** -1 for what is no number. */
    private static long seconds(String query) {
        for (String part : query.split("&")) {
            if (part.startsWith("seconds=")) {
                return Line.whole(part.substring("seconds=".length()));
            }
        }
        return SECONDS;
    }

    private static void refuse(Socket client, String status, String why) throws IOException {
        byte[] text = (why + "\n").getBytes(StandardCharsets.UTF_8);
        OutputStream out = client.getOutputStream();
        out.write(head(status, "text/plain; charset=utf-8", text.length));
        out.write(text);
    }

    private static byte[] head(String status, String type, long length) {
        String head = "HTTP/1.1 " + status + "\r\nContent-Type: " + type + "\r\nContent-Length: " + length + "\r\nConnection: close\r\n\r\n";
        return head.getBytes(StandardCharsets.US_ASCII);
    }

    /** All platform threads. {@link ThreadInfo#toString} has eight frames of each. */
    static String dump() {
        ThreadMXBean bean = ManagementFactory.getThreadMXBean();
        StringBuilder text = new StringBuilder();
        for (ThreadInfo thread : bean.dumpAllThreads(bean.isObjectMonitorUsageSupported(), bean.isSynchronizerUsageSupported())) {
            add(text, thread);
        }
        long[] stuck = bean.findDeadlockedThreads();
        if (stuck != null) {
            text.append("Deadlocked: ").append(Arrays.toString(stuck)).append('\n');
        }
        return text.toString();
    }

    private static void add(StringBuilder text, ThreadInfo thread) {
        text.append('"').append(plain(thread.getThreadName())).append("\" #").append(thread.getThreadId());
        text.append(thread.isDaemon() ? " daemon" : "").append(" prio=").append(thread.getPriority()).append(' ').append(thread.getThreadState());
        if (thread.getLockName() != null) {
            text.append(" on ").append(thread.getLockName());
        }
        if (thread.getLockOwnerName() != null) {
            text.append(" of \"").append(plain(thread.getLockOwnerName())).append("\" #").append(thread.getLockOwnerId());
        }
        text.append('\n');
        StackTraceElement[] frames = thread.getStackTrace();
        for (int depth = 0; depth < frames.length; depth++) {
            text.append("\tat ").append(frames[depth]).append('\n');
            for (MonitorInfo monitor : thread.getLockedMonitors()) {
                if (monitor.getLockedStackDepth() == depth) {
                    text.append("\t- locked ").append(monitor).append('\n');
                }
            }
        }
        for (LockInfo lock : thread.getLockedSynchronizers()) {
            text.append("\t- holds ").append(lock).append('\n');
        }
        text.append('\n');
    }

    /** A name is the application's, and forges no line. */
    private static String plain(String name) {
        StringBuilder plain = new StringBuilder(name.length());
        name.chars().forEach(c -> plain.append(Character.isISOControl(c) || c == '"' ? '?' : (char) c));
        return plain.toString();
    }
}
