package dev.flyball.agent;

import com.sun.management.GarbageCollectorMXBean;
import com.sun.management.GcInfo;
import com.sun.management.HotSpotDiagnosticMXBean;
import com.sun.management.ThreadMXBean;
import com.sun.management.VMOption;
import java.lang.management.ManagementFactory;
import java.lang.management.MemoryMXBean;
import java.lang.management.MemoryPoolMXBean;
import java.lang.management.MemoryType;
import java.lang.management.MemoryUsage;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The virtual machine of this process: its knobs, and what it tells of its heap. */
final class HotSpot implements World {
    private static final String[] FLAGS = {"SoftMaxHeapSize", "G1PeriodicGCInterval", "MinHeapFreeRatio", "MaxHeapFreeRatio"};
    private static final String[] COLLECTORS = {"G1", "Z", "Shenandoah", "Parallel", "Serial", "Epsilon"};
    private static final int SERIAL_STEPS = 4;

    private final HotSpotDiagnosticMXBean diagnostic;
    private final StateFile state;
    private final String collector;
    private final boolean[] supports = new boolean[Knob.COUNT];
    private final long maxHeap;
    private final MemoryMXBean memory = ManagementFactory.getMemoryMXBean();
    private final List<GarbageCollectorMXBean> collections = new ArrayList<>();
    private final List<String> heapPools = new ArrayList<>();

    private final ThreadMXBean threads;
    /** {@code getTotalThreadAllocatedBytes}, from Java 21 on; else null. */
    private final Method allocatedByAll;
    private Map<Long, Long> allocatedByThread = new HashMap<>();
    private long allocatedByEnded;

    /** @throws UnsupportedOperationException where this is no HotSpot, or not one that this agent knows */
    HotSpot(StateFile state) {
        this.state = state;
        diagnostic = ManagementFactory.getPlatformMXBean(HotSpotDiagnosticMXBean.class);
        if (diagnostic == null) {
            throw new UnsupportedOperationException("no HotSpot: " + System.getProperty("java.vm.name"));
        }
        for (String flag : FLAGS) {
            VMOption option = option(flag);
            if (option == null || !option.isWriteable()) {
                throw new UnsupportedOperationException("no " + flag + " that can be set in " + System.getProperty("java.vm.name"));
            }
        }
        collector = findCollector();
        maxHeap = Long.parseLong(option("MaxHeapSize").getValue());
        boolean g1 = collector.equals("G1");
        supports[Knob.SOFT_MAX_HEAP] = collector.equals("ZGC") || collector.equals("Shenandoah");
        supports[Knob.G1_PERIODIC_INTERVAL] = g1;
        supports[Knob.MIN_HEAP_FREE] = g1 || collector.equals("Serial") || collector.equals("Parallel");
        supports[Knob.MAX_HEAP_FREE] = supports[Knob.MIN_HEAP_FREE];
        for (java.lang.management.GarbageCollectorMXBean bean : ManagementFactory.getGarbageCollectorMXBeans()) {
            // ZGC and Shenandoah have the pauses of a cycle once more under a name of their own.
            if (!bean.getName().endsWith("Pauses") && bean instanceof GarbageCollectorMXBean known) {
                collections.add(known);
            }
        }
        for (MemoryPoolMXBean pool : ManagementFactory.getMemoryPoolMXBeans()) {
            if (pool.getType() == MemoryType.HEAP) {
                heapPools.add(pool.getName());
            }
        }
        threads = ManagementFactory.getThreadMXBean() instanceof ThreadMXBean known
                        && known.isThreadAllocatedMemorySupported() && known.isThreadAllocatedMemoryEnabled()
                ? known
                : null;
        Method method = null;
        try {
            method = ThreadMXBean.class.getMethod("getTotalThreadAllocatedBytes");
        } catch (NoSuchMethodException before21) {
            // Each thread is asked.
        }
        allocatedByAll = method;
    }

    private VMOption option(String name) {
        try {
            return diagnostic.getVMOption(name);
        } catch (IllegalArgumentException none) {
            return null;
        }
    }

    private String findCollector() {
        for (String name : COLLECTORS) {
            if (flag("Use" + name + "GC")) {
                VMOption mode = option("ShenandoahGCMode");
                // With generations it takes a SoftMaxHeapSize and heeds it no more (25.0.3): another collector as far as knobs go.
                boolean generational = name.equals("Shenandoah") && mode != null && mode.getValue().equals("generational");
                return generational ? "Shenandoah-generational" : name.equals("Z") ? "ZGC" : name;
            }
        }
        throw new UnsupportedOperationException("a collector that this agent does not know");
    }

    @Override
    public String collector() {
        return collector;
    }

    @Override
    public boolean supports(int knob) {
        return supports[knob];
    }

    @Override
    public long ceiling(int knob) {
        return knob == Knob.SOFT_MAX_HEAP ? maxHeap : Long.MAX_VALUE;
    }

    @Override
    public long read(int knob) {
        return Long.parseLong(diagnostic.getVMOption(FLAGS[knob]).getValue());
    }

    @Override
    public void write(int knob, long value) {
        diagnostic.setVMOption(FLAGS[knob], Long.toString(value));
    }

    @Override
    public long probation() {
        return state.read();
    }

    @Override
    public void probation(long generation) {
        state.write(generation);
    }

    @Override
    public void log(String text) {
        Log.say(text);
    }

    /**
     * A full collection, and memory back to the system. {@code jcmd GC.run} heeds the same flags as {@link System#gc()}, and the bean that runs it needs the whole
     * of JMX.
     *
     * @return false where {@code -XX:+DisableExplicitGC} makes it nothing
     */
    boolean collect() {
        if (flag("DisableExplicitGC")) {
            return false;
        }
        // Serial gives back nothing after the first full collection, then a tenth, then 40 percent, and after the fourth in a row all.
        int collections = collector.equals("Serial") && flag("ShrinkHeapInSteps") ? SERIAL_STEPS : 1;
        for (int i = 0; i < collections; i++) {
            System.gc();
        }
        return true;
    }

    private boolean flag(String name) {
        VMOption option = option(name);
        return option != null && option.getValue().equals("true");
    }

    /** Bytes of the heap in use, garbage included. */
    long heapUsed() {
        return memory.getHeapMemoryUsage().getUsed();
    }

    private GcInfo last() {
        GcInfo last = null;
        for (GarbageCollectorMXBean bean : collections) {
            GcInfo info = bean.getLastGcInfo();
            if (info != null && (last == null || info.getEndTime() > last.getEndTime())) {
                last = info;
            }
        }
        return last;
    }

    /** What the last collection left, in bytes and since 1970 in milliseconds; null before the first. */
    long[] lastCollection() {
        GcInfo last = last();
        if (last == null) {
            return null;
        }
        long used = 0;
        for (Map.Entry<String, MemoryUsage> pool : last.getMemoryUsageAfterGc().entrySet()) {
            if (heapPools.contains(pool.getKey())) {
                used += pool.getValue().getUsed();
            }
        }
        return new long[] {used, ManagementFactory.getRuntimeMXBean().getStartTime() + last.getEndTime()};
    }

    long collections() {
        long sum = 0;
        for (GarbageCollectorMXBean bean : collections) {
            sum += Math.max(0, bean.getCollectionCount());
        }
        return sum;
    }

    /** Milliseconds, from the beginning of each collection to its end. */
    long collectionTime() {
        long sum = 0;
        for (GarbageCollectorMXBean bean : collections) {
            sum += Math.max(0, bean.getCollectionTime());
        }
        return sum;
    }

    /**
     * Bytes allocated since the start, or -1. Before Java 21 only living threads can be asked: what a thread allocated between the last time that anybody asked and
     * its end is missing.
     */
    long allocated() {
        if (threads == null) {
            return -1;
        }
        if (allocatedByAll != null) {
            try {
                return (Long) allocatedByAll.invoke(threads);
            } catch (ReflectiveOperationException broken) {
                return -1;
            }
        }
        long[] ids = threads.getAllThreadIds();
        long[] bytes = threads.getThreadAllocatedBytes(ids);
        Map<Long, Long> now = new HashMap<>(ids.length * 2);
        long sum = 0;
        for (int i = 0; i < ids.length; i++) {
            if (bytes[i] >= 0) {
                now.put(ids[i], bytes[i]);
                sum += bytes[i];
            }
        }
        for (Map.Entry<Long, Long> before : allocatedByThread.entrySet()) {
            if (!now.containsKey(before.getKey())) {
                allocatedByEnded += before.getValue();
            }
        }
        allocatedByThread = now;
        return sum + allocatedByEnded;
    }
}
