package main

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// The program registers the agent by its imports.
func TestTheAgentIsRegistered(t *testing.T) {
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "flyball_agent_applied_generation" {
			return
		}
	}
	t.Error("the agent's metrics are not in the default registry")
}
