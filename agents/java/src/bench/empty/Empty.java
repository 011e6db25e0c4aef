/** An agent that does nothing: what Java takes for any. */
public final class Empty {
    private Empty() {}

    public static void premain(String arguments) {}
}
