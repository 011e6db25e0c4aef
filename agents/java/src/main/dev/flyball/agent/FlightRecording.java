package dev.flyball.agent;

import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.text.ParseException;
import java.util.function.LongFunction;
import jdk.jfr.Configuration;
import jdk.jfr.Recording;

/** The one class that needs the module jdk.jfr, which a small Java may not have: loading it fails then, and nothing else. */
final class FlightRecording {
    /** What a recording may take on disk; the oldest goes first. */
    private static final long LARGEST = 60L << 20;

    private FlightRecording() {}

    /** Why there is none. */
    static final class Failed extends Exception {
        private static final long serialVersionUID = 1;

        Failed(String message) {
            super(message);
        }
    }

    /**
     * Records and sends what was recorded.
     *
     * @param folder where it is kept until it is sent; null for the system's own
     * @param head what is sent before, by the length
     */
    static void send(String folder, long seconds, LongFunction<byte[]> head, OutputStream out) throws Failed, IOException {
        Path file = null;
        try {
            try {
                file = folder == null ? Files.createTempFile("flyball-", ".jfr") : Files.createTempFile(Path.of(folder), "flyball-", ".jfr");
                record(file, seconds);
            } catch (IOException | ParseException | RuntimeException error) {
                // Another recorder in the same process, or no place to write.
                throw new Failed("no recording: " + error);
            }
            try (InputStream in = new FileInputStream(file.toFile())) {
                out.write(head.apply(Files.size(file)));
                in.transferTo(out);
            }
        } finally {
            if (file != null && !new File(file.toString()).delete()) {
                Log.say("a recording is left in " + file);
            }
        }
    }

    private static void record(Path file, long seconds) throws IOException, ParseException {
        try (Recording recording = new Recording(Configuration.getConfiguration("profile"))) {
            recording.setName("flyball");
            recording.setMaxSize(LARGEST);
            recording.start();
            try {
                Thread.sleep(seconds * 1_000);
            } catch (InterruptedException whoever) {
                // Nobody ends this thread; what there is is sent.
            }
            recording.stop();
            recording.dump(file);
        }
    }
}
