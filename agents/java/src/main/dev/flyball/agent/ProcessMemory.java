package dev.flyball.agent;

import java.io.FileInputStream;
import java.io.IOException;

/** Resident memory of this process. */
final class ProcessMemory {
    private static final int AUXV_PAGE_SIZE = 6;

    private final KernelFile statm = new KernelFile("/proc/self/statm");
    private final long pageSize = pageSize();

    /** Bytes, or -1. */
    long resident() {
        long pages = statm.number(1);
        return pages < 0 ? -1 : pages * pageSize;
    }

    /** From the pairs of words that the kernel hands to each process; not all machines have pages of 4 KiB. */
    private static long pageSize() {
        try (FileInputStream auxv = new FileInputStream("/proc/self/auxv")) {
            byte[] bytes = auxv.readNBytes(4096);
            boolean little = java.nio.ByteOrder.nativeOrder() == java.nio.ByteOrder.LITTLE_ENDIAN;
            for (int at = 0; at + 16 <= bytes.length; at += 16) {
                if (word(bytes, at, little) == AUXV_PAGE_SIZE) {
                    return word(bytes, at + 8, little);
                }
            }
        } catch (IOException unknown) {
            // The usual one.
        }
        return 4096;
    }

    private static long word(byte[] bytes, int at, boolean little) {
        long word = 0;
        for (int i = 0; i < 8; i++) {
            word = word << 8 | bytes[at + (little ? 7 - i : i)] & 0xff;
        }
        return word;
    }
}
