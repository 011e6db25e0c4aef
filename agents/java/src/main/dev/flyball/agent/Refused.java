package dev.flyball.agent;

/** A line that changes nothing, and why. */
@SuppressWarnings("serial") // Never leaves this process.
final class Refused extends Exception {
    final Reason reason;

    /** @param detail for the log: which key, which value, what would do */
    Refused(Reason reason, String detail) {
        super(detail, null, false, false);
        this.reason = reason;
    }
}
