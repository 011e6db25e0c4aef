package dev.flyball.agent;

import java.lang.management.ManagementFactory;
import java.util.Map;
import java.util.TreeMap;
import javax.management.JMException;
import javax.management.MBeanServer;
import javax.management.MBeanServerFactory;
import javax.management.ObjectName;

/** The agent in JMX. */
final class AgentBean implements AgentMXBean {
    private final Metrics metrics;
    private final Agent agent;

    private AgentBean(Metrics metrics) {
        this.metrics = metrics;
        agent = metrics.agent();
    }

    /**
     * Registers the bean once somebody else has started JMX: to start it for this alone would cost 8 to 20 MB
     * and twenty times the agent's time at start.
     *
     * @return whether there is nothing left to do
     */
    static boolean register(Metrics metrics) {
        try {
            ObjectName runtime = new ObjectName(ManagementFactory.RUNTIME_MXBEAN_NAME);
            for (MBeanServer server : MBeanServerFactory.findMBeanServer(null)) {
                if (server.isRegistered(runtime)) {
                    server.registerMBean(new AgentBean(metrics), new ObjectName("dev.flyball:type=Agent"));
                    return true;
                }
            }
            return false;
        } catch (JMException | RuntimeException error) {
            Log.say("not in JMX: " + error);
            return true;
        }
    }

    @Override
    public boolean isSourceReadable() {
        return agent.snapshot().readable;
    }

    @Override
    public long getSeenGeneration() {
        return agent.snapshot().seen;
    }

    @Override
    public long getAppliedGeneration() {
        return agent.snapshot().applied;
    }

    @Override
    public double getLeaseSeconds() {
        return agent.snapshot().leaseMillis / 1000.0;
    }

    @Override
    public Map<String, Long> getRejected() {
        Snapshot now = agent.snapshot();
        Map<String, Long> rejected = new TreeMap<>();
        for (Reason reason : Reason.values()) {
            rejected.put(reason.label, now.rejected[reason.ordinal()]);
        }
        return rejected;
    }

    @Override
    public Map<String, Long> getKnobs() {
        Map<String, Long> knobs = new TreeMap<>();
        for (int knob = 0; knob < Knob.COUNT; knob++) {
            if (agent.hotSpot().supports(knob)) {
                knobs.put(Knob.key(knob), agent.hotSpot().read(knob));
            }
        }
        return knobs;
    }

    @Override
    public boolean isForeign() {
        return agent.snapshot().foreign;
    }

    @Override
    public int getBreakerState() {
        return agent.snapshot().breaker;
    }

    @Override
    public String getPressure() {
        return Line.LEVELS[agent.snapshot().pressure];
    }

    @Override
    public long getReclaims() {
        return agent.snapshot().reclaims;
    }

    @Override
    public String getMetrics() {
        return metrics.page();
    }
}
