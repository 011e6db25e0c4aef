package dev.flyball.agent;

import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.channels.FileLock;
import java.nio.charset.StandardCharsets;

/**
 * The mark of probation in the state folder: the generation, and whose it is by process id and start time. Of several Java processes in a container one writes
 * it, by a lock that ends with the process whatever ends that: a probe or a tool of a few seconds must not leave its own end behind as
 * somebody's failure, and Java can't tell at its end whether that is one.
 */
final class StateFile {
    private static final int LARGEST = 4_096;
    /** Where field 22 of {@code /proc/<pid>/stat} is, counted from behind the name, which may have spaces in it. */
    private static final int START_TIME = 19;

    private final String dir;
    /** Never closed: the lock would go with it. */
    private FileLock lock;
    private final String owner;

    /** @param dir null for no probation */
    StateFile(String dir) {
        long pid = ProcessHandle.current().pid();
        owner = pid + " " + startTime(Long.toString(pid));
        if (dir != null) {
            try {
                @SuppressWarnings("resource")
                RandomAccessFile file = new RandomAccessFile(dir + "/java.lock", "rw");
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

    /** The generation that an earlier process ended with, or 0. */
    long read() {
        String[] words = words();
        long generation = words == null ? -1 : Line.whole(words[0]);
        return generation < 1 || alive(words) ? 0 : generation;
    }

    /** Removes the mark where the generation is 0, if it is this process' own. */
    void write(long generation) {
        if (dir == null) {
            return;
        }
        File file = new File(dir, "probation");
        String[] words = words();
        boolean own = words != null && owner.equals(owner(words));
        try {
            if (generation == 0) {
                if (own && !file.delete() && file.exists()) {
                    throw new IOException("can't be removed");
                }
                return;
            }
            // Another process has it on probation already: should the container end, that mark says it.
            if (words != null && !own && alive(words) && words[0].equals(Long.toString(generation))) {
                return;
            }
            File next = new File(dir, "probation.java");
            try (FileOutputStream out = new FileOutputStream(next)) {
                out.write((generation + " " + owner + "\n").getBytes(StandardCharsets.US_ASCII));
            }
            if (!next.renameTo(file)) {
                throw new IOException("can't be renamed");
            }
        } catch (IOException error) {
            Log.say("probation: " + file + ": " + error.getMessage());
        }
    }

    /** The words of the mark; null where there is none. */
    private String[] words() {
        String text = dir == null ? null : text(dir + "/probation");
        return text == null || text.isBlank() ? null : text.strip().split("\\s+");
    }

    private static String owner(String[] words) {
        return words.length < 3 ? "" : words[1] + " " + words[2];
    }

    /** Whether the process whose mark it is still lives. The same id with another start time is another process. */
    private static boolean alive(String[] words) {
        return words.length >= 3 && Line.whole(words[1]) > 0 && words[2].equals(startTime(words[1]));
    }

    /** In ticks since the machine's start; 0 where there is no such process. */
    private static String startTime(String pid) {
        String stat = text("/proc/" + pid + "/stat");
        if (stat == null) {
            return "0";
        }
        String[] fields = stat.substring(stat.lastIndexOf(')') + 1).strip().split(" ");
        return fields.length > START_TIME ? fields[START_TIME] : "0";
    }

    private static String text(String path) {
        try (FileInputStream file = new FileInputStream(path)) {
            return new String(file.readNBytes(LARGEST), StandardCharsets.ISO_8859_1);
        } catch (IOException none) {
            return null;
        }
    }
}
