package dev.flyball.agent;

/** What a {@link Decision} acts on: the knobs, the state folder and the log. */
interface World {
    /** The collector's name, for the log. */
    String collector();

    /** Whether this process' collector acts on a knob. */
    boolean supports(int knob);

    /** The largest value that this process can take. */
    long ceiling(int knob);

    /** The value of a supported knob now. */
    long read(int knob);

    /** Sets a supported knob. */
    void write(int knob, long value) throws Exception;

    /** The generation in the file {@code probation}, or 0. */
    long probation();

    /** Writes the file {@code probation}, or removes it where the generation is 0. */
    void probation(long generation);

    void log(String text);
}
