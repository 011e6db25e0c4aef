package prom

import (
	"reflect"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

func TestTargets(t *testing.T) {
	for text, want := range map[string]Target{
		"127.0.0.1:8080":       {"traefik", "127.0.0.1:8080"},
		"proxy=127.0.0.1:8080": {"proxy", "127.0.0.1:8080"},
		"proxy=[::1]:8080":     {"proxy", "[::1]:8080"},
	} {
		if got, err := ParseTarget(text); err != nil || got != want {
			t.Errorf("%q is %v (%v), want %v", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "127.0.0.1", ":8080", "127.0.0.1:", "=127.0.0.1:8080", "pods=127.0.0.1:8080", "kubelet-resource=127.0.0.1:8080", "http://127.0.0.1:8080"} {
		if got, err := ParseTarget(bad); err == nil {
			t.Errorf("%q is taken as %v", bad, got)
		}
	}
}

func TestTargetsAreScrapedByJobBesideThePods(t *testing.T) {
	data, err := Config(Access{}, Settings{
		Namespace: "shop", ScrapeInterval: time.Second,
		Targets: []Target{{"traefik", "127.0.0.1:1"}, {"other", "127.0.0.1:2"}, {"traefik", "127.0.0.1:3"}},
	}, "/targets.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	type static struct {
		Targets []string `json:"targets"`
	}
	type scrape struct {
		Job    string   `json:"job_name"`
		Static []static `json:"static_configs"`
	}
	var config struct {
		Scrapes []scrape `json:"scrape_configs"`
	}
	if err := yaml.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	want := []scrape{
		{"pods", nil},
		{"other", []static{{[]string{"127.0.0.1:2"}}}},
		{"traefik", []static{{[]string{"127.0.0.1:1", "127.0.0.1:3"}}}},
	}
	if !reflect.DeepEqual(config.Scrapes, want) {
		t.Errorf("scrapes %v, want %v", config.Scrapes, want)
	}
}
