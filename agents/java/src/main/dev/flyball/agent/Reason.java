package dev.flyball.agent;

/** Why a line is refused, in the contract's order; the first that fits counts. */
enum Reason {
    TOO_LONG("too-long"),
    SYNTAX("syntax"),
    VERSION("version"),
    DUPLICATE("duplicate"),
    UNKNOWN("unknown"),
    RANGE("range"),
    UNSUPPORTED("unsupported"),
    OFF("off"),
    OLD("old"),
    CHANGED("changed"),
    EXPIRED("expired"),
    PROBATION("probation"),
    FOREIGN("foreign");

    /** The label in {@code flyball_agent_rejected_total}. */
    final String label;

    Reason(String label) {
        this.label = label;
    }
}
