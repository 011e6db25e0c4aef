package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// contract is where the version of the contract is written: the one place.
var contract = place{"agents/CONTRACT.md", regexp.MustCompile(`(?m)^This page is version ([0-9]+\.[0-9]+) of the contract\.`)}

// elsewhere are the other places where an agent's version is written.
var elsewhere = map[string][]place{
	"go": {{"agents/go/prom/go.mod", regexp.MustCompile(`(?m)^\tflyball\.dev/agent v` + number + `$`)}},
	"java": {
		{"agents/java/README.md", regexp.MustCompile(`(?m)^  <version>` + number + `</version>$`)},
		{"agents/java/README.md", regexp.MustCompile(`-Dartifact=dev\.flyball:flyball-agent:` + number + ` `)},
	},
	"node":   {{"agents/node/lib/agent.js", regexp.MustCompile(`(?m)^const VERSION = '` + number + `';$`)}},
	"python": {{"agents/python/flyball_agent/_agent.py", regexp.MustCompile(`(?m)^VERSION = "` + number + `"$`)}},
}

// Of each agent the first two numbers are the contract's. What each reports
// while it runs is compared by the tests of its users.
func TestTheAgentsAreOfTheContractsVersion(t *testing.T) {
	follows, err := source.read(contract)
	if err != nil {
		t.Fatal(err)
	}
	if len(released) != 4 {
		t.Errorf("there are %d agents, not four", len(released))
	}
	for agent := range released {
		version := wanted(t, agent)
		if !strings.HasPrefix(version, follows+".") {
			t.Errorf("%s is %s, but the contract is %s: the first two numbers are the contract's", agent, version, follows)
		}
		for _, place := range elsewhere[agent] {
			if other, err := source.read(place); err != nil {
				t.Error(err)
			} else if other != version {
				t.Errorf("%s says %s, but %s says %s", place.file, other, released[agent].file, version)
			}
		}
	}
}

// A package's name has its version, whatever its packager made of it.
func TestThePackagesAreNamedByTheirVersions(t *testing.T) {
	for agent, pattern := range map[string]string{
		"node": "flyball-agent-%.tgz", "python": "flyball_agent-%-py3-none-any.whl", "java": "flyball-agent-%-bundle.zip",
		"go": "go/flyball.dev/agent/@v/v%.zip",
	} {
		t.Run(agent, func(t *testing.T) {
			want := strings.ReplaceAll(pattern, "%", wanted(t, agent))
			if name, err := filepath.Rel(built(t), one(t, strings.ReplaceAll(pattern, "%", "*"))); err != nil || name != want {
				t.Errorf("%s (%v), not %s", name, err, want)
			}
		})
	}
}
