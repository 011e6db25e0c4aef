package prom

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestTheDefaultRegistryShowsTheAgent(t *testing.T) {
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	reasons := 0
	found := map[string]bool{}
	for _, family := range families {
		found[family.GetName()] = true
		if family.GetName() == "flyball_agent_rejected_total" {
			reasons = len(family.GetMetric())
		}
	}
	for _, name := range []string{"flyball_agent_info", "flyball_agent_knob", "flyball_agent_heap_alloc_bytes", "process_cpu_seconds_total"} {
		if !found[name] {
			t.Errorf("%s is not there", name)
		}
	}
	if reasons != 13 { // the contract's
		t.Errorf("%d reasons, want 13", reasons)
	}
}
