package dev.flyball.agent;

import java.io.File;
import java.io.IOException;
import java.io.RandomAccessFile;

/** A small file of the kernel's that is read again and again, from any thread: kept open, and read into one buffer. */
final class KernelFile {
    private static final int LARGEST = 16_384;

    private final String path;
    private RandomAccessFile file;
    private byte[] bytes = new byte[64];
    private int length;

    KernelFile(String path) {
        this.path = path;
    }

    boolean exists() {
        return new File(path).isFile();
    }

    /** @return false where it can't be read */
    private boolean read() {
        try {
            if (file == null) {
                file = new RandomAccessFile(path, "r");
            }
            file.seek(0);
            length = 0;
            while (true) {
                int more = file.read(bytes, length, bytes.length - length);
                if (more <= 0) {
                    return true;
                }
                length += more;
                if (length == bytes.length) {
                    if (length >= LARGEST) {
                        return true;
                    }
                    bytes = java.util.Arrays.copyOf(bytes, length * 2);
                }
            }
        } catch (IOException gone) {
            close();
            return false;
        }
    }

    private void close() {
        try {
            if (file != null) {
                file.close();
            }
        } catch (IOException nothing) {
            // It is opened anew the next time.
        }
        file = null;
    }

    /** The number at a field, fields parted by spaces; {@link Long#MAX_VALUE} for {@code max}, -1 where there is none. */
    synchronized long number(int field) {
        if (!read()) {
            return -1;
        }
        int at = 0;
        for (int i = 0; i < field; i++) {
            while (at < length && bytes[at] != ' ') {
                at++;
            }
            at++;
        }
        return numberAt(at);
    }

    /** The number after a word at the start of a line; -1 where there is none. */
    synchronized long number(String word) {
        if (!read()) {
            return -1;
        }
        for (int at = 0; at < length; at = nextLine(at)) {
            int i = 0;
            while (i < word.length() && at + i < length && bytes[at + i] == word.charAt(i)) {
                i++;
            }
            if (i == word.length() && at + i < length && bytes[at + i] == ' ') {
                return numberAt(at + i + 1);
            }
        }
        return -1;
    }

    private int nextLine(int at) {
        while (at < length && bytes[at] != '\n') {
            at++;
        }
        return at + 1;
    }

    private long numberAt(int at) {
        if (at + 3 <= length && bytes[at] == 'm' && bytes[at + 1] == 'a' && bytes[at + 2] == 'x') {
            return Long.MAX_VALUE;
        }
        long number = -1;
        while (at < length && bytes[at] >= '0' && bytes[at] <= '9') {
            long digit = bytes[at] - '0';
            number = Math.max(number, 0);
            number = number > (Long.MAX_VALUE - digit) / 10 ? Long.MAX_VALUE : number * 10 + digit;
            at++;
        }
        return number;
    }
}
