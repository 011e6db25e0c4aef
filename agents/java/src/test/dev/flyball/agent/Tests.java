package dev.flyball.agent;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;

/** A runner of its own: one class, no download, and the same on every JDK. */
final class Tests {
    interface Body {
        void run() throws Throwable;
    }

    private static Path folders;

    private final String only;
    private int passed;
    private final List<String> failed = new ArrayList<>();
    private final List<String> skipped = new ArrayList<>();

    private Tests(String only) {
        this.only = only;
    }

    /** Arguments: a part of the names of the cases to run; none for all. */
    public static void main(String[] args) throws Exception {
        Tests tests = new Tests(args.length > 0 ? args[0] : "");
        Conformance.addTo(tests);
        DecisionTest.addTo(tests);
        WatermarksTest.addTo(tests);
        CgroupTest.addTo(tests);
        StateFileTest.addTo(tests);
        AdoptionTest.addTo(tests);
        ProcessTest.addTo(tests);
        EvidenceTest.addTo(tests);
        System.out.println("JDK " + System.getProperty("java.version") + ": " + tests.passed + " passed, " + tests.failed.size() + " failed, "
                + tests.skipped.size() + " not for this JDK");
        for (String name : tests.skipped) {
            System.out.println("  not for this JDK: " + name);
        }
        if (!tests.failed.isEmpty()) {
            System.out.println("failed: " + tests.failed);
        }
        if (tests.passed == 0) {
            System.out.println("no case is named like " + tests.only);
        }
        removeFolders();
        System.exit(tests.failed.isEmpty() && tests.passed > 0 ? 0 : 1);
    }

    void test(String name, Body body) {
        if (!name.contains(only)) {
            return;
        }
        try {
            body.run();
            passed++;
        } catch (Skipped reason) {
            skipped.add(name + ": " + reason.getMessage());
        } catch (Throwable error) {
            failed.add(name);
            System.out.println("FAILED " + name);
            error.printStackTrace(System.out);
        }
    }

    /** What this JDK was built without. */
    @SuppressWarnings("serial")
    static final class Skipped extends RuntimeException {
        Skipped(String reason) {
            super(reason);
        }
    }

    /** A new folder that goes at the end. */
    static synchronized Path folder() throws IOException {
        if (folders == null) {
            folders = Files.createTempDirectory("flyball-java");
        }
        return Files.createTempDirectory(folders, "test");
    }

    static synchronized void removeFolders() throws IOException {
        if (folders != null) {
            try (Stream<Path> files = Files.walk(folders)) {
                for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                    Files.deleteIfExists(file);
                }
            }
        }
    }

    static void equal(Object expected, Object actual, String what) {
        if (!Objects.equals(expected, actual)) {
            throw new AssertionError(what + ": expected " + expected + ", got " + actual);
        }
    }

    static void that(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}
