// Package prom runs Prometheus servers beside a cluster: the test bed's own, or
// any other that a kubeconfig points to.
//
// The distribution's Prometheus is built without Kubernetes discovery. So a
// small process beside each server follows the pods and writes its targets to
// a file, which Prometheus reads whenever it changes.
package prom

import (
	"fmt"
	"time"

	"sigs.k8s.io/yaml"
)

// Settings describe one Prometheus server.
type Settings struct {
	Namespace      string        `json:"namespace"`
	ViaAPIServer   bool          `json:"viaAPIServer"` // scrape through the API server's pod proxy
	ScrapeInterval time.Duration `json:"scrapeInterval"`
	Rules          string        `json:"rules"` // file with recording and alerting rules
}

// Config renders prometheus.yml.
func Config(access Access, settings Settings, targets string) ([]byte, error) {
	interval := promDuration(settings.ScrapeInterval)
	scrape := map[string]any{
		"job_name":        "pods",
		"file_sd_configs": []any{map[string]any{"files": []string{targets}}},
	}
	if settings.ViaAPIServer {
		scrape["scheme"] = access.Server.Scheme
		access.addTo(scrape)
	}
	config := map[string]any{
		"global":         map[string]any{"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
		"scrape_configs": []any{scrape},
	}
	if settings.Rules != "" {
		config["rule_files"] = []string{settings.Rules}
	}
	return yaml.Marshal(config)
}

// addTo puts the credentials into a section that makes requests.
func (a Access) addTo(section map[string]any) {
	tls := map[string]any{}
	set := func(key, value string) {
		if value != "" {
			tls[key] = value
		}
	}
	set("ca_file", a.CA)
	set("cert_file", a.Cert)
	set("key_file", a.Key)
	set("server_name", a.ServerName)
	if a.Insecure {
		tls["insecure_skip_verify"] = true
	}
	if len(tls) > 0 {
		section["tls_config"] = tls
	}
	switch {
	case a.Token != "":
		section["authorization"] = map[string]any{"credentials_file": a.Token}
	case a.User != "":
		section["basic_auth"] = map[string]any{"username": a.User, "password_file": a.Pass}
	}
}

// promDuration writes a duration as Prometheus reads it: whole milliseconds.
func promDuration(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }
