package dev.flyball.agent;

import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;

/**
 * Serves the page, one request after the other, on a plain socket: com.sun.net.httpserver is not in every Java image, and takes 2 to 4 MB
 * more.
 */
final class MetricsServer implements Runnable {
    private static final int STACK = 256 * 1024;
    /** For a whole request: a client that says nothing keeps others waiting no longer. */
    private static final long PATIENCE = 2_000;
    private static final int LONGEST_REQUEST = 8_192;

    private final ServerSocket socket;
    private final Metrics metrics;
    private final Evidence evidence;

    private MetricsServer(ServerSocket socket, Metrics metrics, Evidence evidence) {
        this.socket = socket;
        this.metrics = metrics;
        this.evidence = evidence;
    }

    /**
     * @param address host and port; without a host on all addresses
     * @param evidence null where none is made
     */
    static void start(String address, Metrics metrics, Evidence evidence) {
        try {
            int colon = address.lastIndexOf(':');
            String host = address.substring(0, Math.max(0, colon));
            int port = Integer.parseInt(address.substring(colon + 1));
            if (host.startsWith("[") && host.endsWith("]")) {
                host = host.substring(1, host.length() - 1);
            }
            ServerSocket socket = new ServerSocket();
            socket.bind(host.isEmpty() ? new InetSocketAddress(port) : new InetSocketAddress(InetAddress.getByName(host), port));
            Thread thread = new Thread(null, new MetricsServer(socket, metrics, evidence), "flyball-metrics", STACK);
            thread.setDaemon(true);
            thread.start();
            Log.say("metrics at port " + socket.getLocalPort());
        } catch (IOException | RuntimeException error) {
            Log.say("no metrics, FLYBALL_METRICS_ADDRESS=" + address + ": " + error + "; a port is written as :9465");
        }
    }

    @Override
    public void run() {
        while (true) {
            try {
                Socket client = socket.accept();
                boolean taken = false;
                try {
                    taken = answer(client);
                } finally {
                    if (!taken) {
                        client.close();
                    }
                }
            } catch (IOException gone) {
                // The client's affair. Out of file descriptors, accept fails at once: don't spin.
                pause();
            } catch (Throwable error) {
                Log.say("a page of metrics failed: " + error);
                pause();
            }
        }
    }

    /** @return whether somebody else goes on with the client */
    private boolean answer(Socket client) throws IOException {
        String request = firstLine(client);
        if (request == null) {
            return false;
        }
        if (evidence != null && request.startsWith("GET /debug/") && evidence.takes(request, client)) {
            return true;
        }
        String status = "404 Not Found";
        String body = "metrics are at /metrics\n";
        if (!request.startsWith("GET ")) {
            status = "405 Method Not Allowed";
        } else if (request.startsWith("GET /metrics ") || request.startsWith("GET /metrics?")) {
            status = "200 OK";
            body = metrics.page();
        }
        byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
        String head = "HTTP/1.1 " + status + "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: " + bytes.length
                + "\r\nConnection: close\r\n\r\n";
        client.getOutputStream().write(head.getBytes(StandardCharsets.US_ASCII));
        client.getOutputStream().write(bytes);
        return false;
    }

    /** Reads the whole head; what is unread when a socket is closed would reset it under the answer. */
    private static String firstLine(Socket client) throws IOException {
        long end = System.nanoTime() / 1_000_000 + PATIENCE;
        byte[] head = new byte[LONGEST_REQUEST];
        int length = 0;
        InputStream in = client.getInputStream();
        while (length < head.length) {
            long left = end - System.nanoTime() / 1_000_000;
            if (left <= 0) {
                return null;
            }
            client.setSoTimeout((int) left);
            int more = in.read(head, length, head.length - length);
            if (more < 0) {
                return null;
            }
            length += more;
            if (length >= 4 && head[length - 4] == '\r' && head[length - 3] == '\n' && head[length - 2] == '\r' && head[length - 1] == '\n') {
                String text = new String(head, 0, length, StandardCharsets.ISO_8859_1);
                return text.substring(0, text.indexOf('\r'));
            }
        }
        return null;
    }

    private static void pause() {
        try {
            Thread.sleep(100);
        } catch (InterruptedException whoever) {
            // Nobody ends this thread; it is a daemon.
        }
    }
}
