package dev.flyball.agent;

import java.io.BufferedReader;
import java.io.File;
import java.io.FileReader;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/**
 * The memory control groups of this process, from its own up to the outermost that it can see: version 2, version 1, or both side by side (then memory
 * belongs to one of them).
 */
final class Cgroup {
    /** Version 1 has no word for "no limit": it says 2^63 - 1, rounded down to a page. */
    private static final long NO_LIMIT_V1 = 1L << 62;

    private final boolean v2;
    /** From the innermost to the outermost. */
    private final List<KernelFile> limits = new ArrayList<>();
    private final List<KernelFile> usages = new ArrayList<>();
    private final List<KernelFile> stats = new ArrayList<>();

    private volatile long limit = Long.MAX_VALUE;
    /** The group with the smallest limit; the own one where none has any. */
    private volatile int limited;

    private Cgroup(boolean v2, String mount, String relative) {
        this.v2 = v2;
        String path = relative;
        while (true) {
            String dir = mount + path;
            limits.add(new KernelFile(dir + (v2 ? "/memory.max" : "/memory.limit_in_bytes")));
            usages.add(new KernelFile(dir + (v2 ? "/memory.current" : "/memory.usage_in_bytes")));
            stats.add(new KernelFile(dir + "/memory.stat"));
            if (path.isEmpty()) {
                break;
            }
            path = path.substring(0, path.lastIndexOf('/'));
        }
        readLimit();
    }

    /**
     * @param root what stands before {@code /proc} and every mount point; empty outside tests
     * @return null where there is no control group for memory
     */
    static Cgroup find(String root) {
        try {
            String v1Path = null;
            String v2Path = null;
            for (String line : lines(root + "/proc/self/cgroup")) {
                String[] parts = line.split(":", 3);
                if (parts.length < 3) {
                    continue;
                }
                if (has(parts[1], "memory")) {
                    v1Path = parts[2];
                } else if (parts[0].equals("0") && parts[1].isEmpty()) {
                    v2Path = parts[2];
                }
            }
            for (String line : lines(root + "/proc/self/mountinfo")) {
                // 36 35 98:0 /root /mount/point options optional... - type source superoptions
                String[] fields = line.split(" ");
                int dash = 6;
                while (dash < fields.length && !fields[dash].equals("-")) {
                    dash++;
                }
                if (dash + 3 >= fields.length) {
                    continue;
                }
                String type = fields[dash + 1];
                boolean ours = v1Path != null
                        ? type.equals("cgroup") && has(fields[dash + 3], "memory")
                        : type.equals("cgroup2") && v2Path != null;
                if (ours) {
                    boolean v2 = v1Path == null;
                    String mount = root + unescape(fields[4]);
                    return new Cgroup(v2, mount, relative(mount, unescape(fields[3]), v2 ? v2Path : v1Path));
                }
            }
        } catch (IOException unknown) {
            // No such system.
        }
        return null;
    }

    /** The path below the mount point. Where only a part of the tree is mounted, or a path of another namespace is told, it is the mount point itself. */
    private static String relative(String mount, String mountRoot, String path) {
        String below = path;
        if (!mountRoot.equals("/")) {
            below = path.equals(mountRoot) || path.startsWith(mountRoot + "/") ? path.substring(mountRoot.length()) : "";
        }
        if (below.equals("/") || below.contains("..") || !new File(mount + below).isDirectory()) {
            return "";
        }
        return below;
    }

    private static boolean has(String list, String word) {
        return ("," + list + ",").contains("," + word + ",");
    }

    private static String unescape(String path) {
        return path.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\");
    }

    private static List<String> lines(String path) throws IOException {
        List<String> lines = new ArrayList<>();
        try (BufferedReader reader = new BufferedReader(new FileReader(path))) {
            for (String line = reader.readLine(); line != null; line = reader.readLine()) {
                lines.add(line);
            }
        }
        return lines;
    }

    /** Reads the limits anew: a container may be resized in place. */
    void readLimit() {
        long smallest = Long.MAX_VALUE;
        int at = 0;
        for (int i = 0; i < limits.size(); i++) {
            long value = limits.get(i).number(0);
            if (value >= 0 && (v2 || value < NO_LIMIT_V1) && value < smallest) {
                smallest = value;
                at = i;
            }
        }
        if (!v2) {
            // Of groups that can't be seen from here, too.
            long value = stats.get(0).number("hierarchical_memory_limit");
            if (value > 0 && value < NO_LIMIT_V1) {
                smallest = Math.min(smallest, value);
            }
        }
        limit = smallest;
        limited = at;
    }

    /** Bytes, as {@link #readLimit} found it last; {@link Long#MAX_VALUE} for none. */
    long limit() {
        return limit;
    }

    /** Bytes in use, file pages included; -1 where it is not told. */
    long usage() {
        return usages.get(limited).number(0);
    }

    /** Bytes in use less inactive file pages; -1 where it is not told. */
    long workingSet() {
        long usage = usage();
        long inactive = stats.get(limited).number(v2 ? "inactive_file" : "total_inactive_file");
        return usage < 0 ? -1 : Math.max(0, usage - Math.max(0, inactive));
    }
}
