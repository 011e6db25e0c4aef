package dev.flyball.agent;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.concurrent.atomic.AtomicInteger;

/** A downward-API volume: the file is a link through {@code ..data}, and its content is swapped by renaming that link, as the kubelet does. */
final class Volume {
    private static final AtomicInteger NUMBER = new AtomicInteger();

    final Path dir;

    Volume(Path dir) throws IOException {
        this.dir = Files.createDirectories(dir);
    }

    /** Swaps the content. */
    void write(String text) throws IOException {
        Path old = Files.exists(dir.resolve("..data")) ? dir.resolve("..data").toRealPath() : null;
        Path next = Files.createDirectory(dir.resolve("..2026_11_27_" + NUMBER.incrementAndGet()));
        Files.write(next.resolve("runtime"), text.getBytes(StandardCharsets.UTF_8));
        Path link = dir.resolve("..data_tmp");
        Files.createSymbolicLink(link, next.getFileName());
        Files.move(link, dir.resolve("..data"), StandardCopyOption.ATOMIC_MOVE);
        if (old == null) {
            Files.createSymbolicLink(dir.resolve("runtime"), Path.of("..data/runtime"));
        } else {
            Files.delete(old.resolve("runtime"));
            Files.delete(old);
        }
    }

    /** A line whose lease ends by its ttl. */
    void line(long gen, int ttl, String rest) throws IOException {
        write("v1 gen=" + gen + " ttl=" + ttl + " exp=" + (System.currentTimeMillis() / 1000 + 86_400) + (rest.isEmpty() ? "" : " ") + rest);
    }
}
