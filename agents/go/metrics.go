package agent

import (
	"math"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"flyball.dev/agent/internal/contract"
	"flyball.dev/agent/internal/law"
	"flyball.dev/agent/internal/page"
)

// serve listens for whoever asks for /metrics.
func serve(address string, metrics http.Handler, log func(string)) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log("no metrics: FLYBALL_METRICS_ADDRESS: " + err.Error())
		return
	}
	log("metrics at http://" + listener.Addr().String() + "/metrics")
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	server := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
	log("no metrics any more: " + server.Serve(listener).Error())
}

func handler(gather func() []page.Family) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		out.Header().Set("Content-Type", page.ContentType)
		_ = page.Write(out, gather()) // an error says that who asked has gone
	})
}

// gather is one page.
func (a *process) gather() []page.Family {
	memory := a.group.Read()
	var last debug.GCStats
	debug.ReadGCStats(&last)

	a.mu.Lock()
	defer a.mu.Unlock()
	r, current := a.probe.read(memory.Limit)
	s := a.state
	var out families
	out.add("info", page.Gauge, "The agent and its runtime.", page.Series{Value: 1, Labels: []string{
		"runtime", "go", "version", runtime.Version(), "collector", "mark-sweep", "agent", Release}})
	out.gauge("source_readable", "1: the file is there.", number(s.Readable()))
	out.gauge("seen_generation", "The highest generation that was taken.", float64(s.Seen()))
	out.gauge("applied_generation", "The generation in force, or 0.", float64(s.Applied()))
	rejected := make([]page.Series, 0, len(contract.Reasons))
	for _, reason := range contract.Reasons {
		rejected = append(rejected, page.Series{Labels: []string{"reason", string(reason)}, Value: float64(s.Counts.Rejected[reason])})
	}
	out.add("rejected_total", page.Counter, "Lines that were refused.", rejected...)
	out.gauge("lease_seconds", "What is left of the lease; 0: there is none.", s.Lease(a.now(), time.Now().Unix()).Seconds())
	state, trips := s.Breaker()
	out.counter("leases_ended_total", "Leases that ended.", float64(s.Counts.LeasesEnded))
	out.counter("reclaims_total", "Collections asked for by the line.", float64(s.Counts.Reclaims))
	out.counter("breaker_trips_total", "How often the breaker tripped.", float64(trips))
	out.counter("foreign_writes_total", "How often somebody else moved a knob.", float64(s.Counts.ForeignWrites))
	out.gauge("foreign", "1: somebody else moved a knob, and no higher generation came since.", number(s.Foreign()))
	out.gauge("breaker_state", "0: closed, 1: the limit is raised, 2: it is lifted.", float64(state))
	out.gauge("setpoint_state", "0: no set-point, 1: held, 2: below it, GOGC is at its bound, 3: given up, the heap does not fit.", float64(s.Setpoint()))
	out.gauge("pressure", "0: normal, 1: warning, 2: high, 3: emergency.", float64(s.Pressure()))
	out.knobs(s, current)
	out.memory(r, memory.WorkingSet)
	out.counter("alloc_bytes_total", "Bytes allocated on the heap.", r.Allocated)
	out.counter("gc_cpu_seconds_total", "CPU of the collector as the runtime counts it: wall time on all its processors.", r.GCCPU)
	out.counter("gc_cycles_total", "Collections.", float64(r.Cycles))
	ended := 0.0
	if !last.LastGC.IsZero() && last.NumGC > 0 {
		ended = float64(last.LastGC.UnixMilli()) / 1000
	}
	out.gauge("last_gc_time_seconds", "When the last collection ended, since 1970; 0: none yet.", ended)
	return out
}

type families []page.Family

func (f *families) add(name, kind, help string, series ...page.Series) {
	*f = append(*f, page.Family{Name: "flyball_agent_" + name, Kind: kind, Help: help, Series: series})
}

func (f *families) gauge(name, help string, value float64) {
	f.add(name, page.Gauge, help, page.Series{Value: value})
}

func (f *families) counter(name, help string, value float64) {
	f.add(name, page.Counter, help, page.Series{Value: value})
}

func (f *families) knobs(s *contract.State, current contract.Values) {
	values := s.Asked()
	values["gogc"], values["memlimit"] = float64(current.GOGC), size(current.Limit)
	clamped := s.Clamped()
	var now, bound []page.Series
	for _, knob := range []string{"gogc", "memlimit", "rss", "lambda", "gogc-min", "gogc-max"} {
		value, there := values[knob]
		if !there {
			continue
		}
		now = append(now, page.Series{Labels: []string{"knob", knob}, Value: value})
		bound = append(bound, page.Series{Labels: []string{"knob", knob}, Value: number(clamped[knob])})
	}
	f.add("knob", page.Gauge, "Each knob's value now.", now...)
	f.add("knob_clamped", page.Gauge, "1: a local bound is in force.", bound...)
}

func (f *families) memory(r law.Reading, workingSet int64) {
	f.gauge("container_limit_bytes", "The smallest memory limit of the container's control groups.", size(r.Container))
	if r.Resident > 0 {
		f.gauge("resident_bytes", "Resident memory of the process.", float64(r.Resident))
		f.gauge("unmanaged_bytes", "Resident memory that the runtime does not manage.", float64(max(0, r.Unmanaged())))
	}
	if workingSet >= 0 {
		f.gauge("working_set_bytes", "The container's memory less inactive file pages.", float64(workingSet))
	}
	f.gauge("heap_live_bytes", "What the last collection left.", float64(r.Live))
	f.gauge("heap_alloc_bytes", "The heap in use, garbage included.", float64(r.Objects))
	f.gauge("heap_goal_bytes", "The heap at which the next collection ends.", float64(r.Goal))
	f.gauge("gc_roots_bytes", "Stacks and globals that a collection scans.", float64(r.Roots))
	if effective := r.Effective(); !math.IsInf(effective, 1) {
		f.gauge("effective_gogc_percent", "The GOGC that the heap's goal amounts to.", effective)
	}
}

func size(bytes int64) float64 {
	if bytes == contract.None {
		return math.Inf(1)
	}
	return float64(bytes)
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
