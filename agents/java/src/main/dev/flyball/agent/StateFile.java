package dev.flyball.agent;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.channels.FileLock;
import java.nio.charset.StandardCharsets;

/**
 * The mark of probation in the state folder. One process holds it, by a lock that ends with the process whatever ends that: another Java in the same container (a probe, a
 * tool run by hand) must not leave its own short life behind as somebody's failure.
 */
final class StateFile {
    private final String dir;
    /** Never closed: the lock would go with it. */
    private FileLock lock;

    /** @param dir null for no probation */
    StateFile(String dir) {
        if (dir != null) {
            try {
                @SuppressWarnings("resource")
                RandomAccessFile file = new RandomAccessFile(dir + "/lock", "rw");
                lock = file.getChannel().tryLock();
                if (lock == null) {
                    Log.say("another process holds " + dir + ": this one is not on probation");
                    file.close();
                }
            } catch (IOException | RuntimeException error) {
                Log.say("no probation, the folder " + dir + " can't be written: " + error);
            }
        }
        this.dir = lock == null ? null : dir;
    }

    /** The generation, or 0. */
    long read() {
        if (dir == null) {
            return 0;
        }
        KernelFile file = new KernelFile(dir + "/probation");
        return file.exists() ? Math.max(0, file.number(0)) : 0;
    }

    /** Removes the mark where the generation is 0. */
    void write(long generation) {
        if (dir == null) {
            return;
        }
        File file = new File(dir, "probation");
        try {
            if (generation == 0) {
                if (!file.delete() && file.exists()) {
                    throw new IOException("can't be removed");
                }
                return;
            }
            File next = new File(dir, "probation.next");
            try (FileOutputStream out = new FileOutputStream(next)) {
                out.write((generation + "\n").getBytes(StandardCharsets.US_ASCII));
            }
            if (!next.renameTo(file)) {
                throw new IOException("can't be renamed");
            }
        } catch (IOException error) {
            Log.say("probation: " + file + ": " + error.getMessage());
        }
    }
}
