// Package prom runs Prometheus servers beside a cluster: the test bed's own, or
// any other that a kubeconfig points to.
//
// The distribution's Prometheus is built without Kubernetes discovery. So a
// small process beside each server follows the pods and writes its targets to
// a file, which Prometheus reads whenever it changes.
package prom

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// Settings describe one Prometheus server.
type Settings struct {
	Namespace      string        `json:"namespace"`
	ViaAPIServer   bool          `json:"viaAPIServer"` // scrape through the API server's pod proxy
	ScrapeInterval time.Duration `json:"scrapeInterval"`
	Rules          string        `json:"rules"`   // file with recording and alerting rules
	Targets        []Target      `json:"targets"` // beside the pods
	Kubelet        bool          `json:"kubelet"` // scrape what kubelets tell of containers, of all namespaces
}

// Node is where a kubelet listens.
type Node struct {
	Name    string
	Kubelet string // host and port
}

// Target is something to scrape that is no pod.
type Target struct {
	Job     string `json:"job"`
	Address string `json:"address"` // host and port
}

const (
	podsJob = "pods"
	// Jobs of the kubelet's metrics are named after what comes last in their path.
	kubeletJob = "kubelet-"
	// DefaultJob is that of a target whose job is not said: the gateway is the usual one.
	DefaultJob = "traefik"
)

// ParseTarget reads [JOB=]HOST:PORT.
func ParseTarget(text string) (Target, error) {
	job, address, found := strings.Cut(text, "=")
	if !found {
		job, address = DefaultJob, text
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || port == "" || job == "" || job == podsJob || strings.HasPrefix(job, kubeletJob) {
		return Target{}, fmt.Errorf("target %q: give [JOB=]HOST:PORT, such as %s=127.0.0.1:8080, with another job than %s and %s...", text, DefaultJob, podsJob, kubeletJob)
	}
	return Target{Job: job, Address: address}, nil
}

// Config renders prometheus.yml. Nodes are those whose kubelets are scraped.
func Config(access Access, settings Settings, targets string, nodes []Node) ([]byte, error) {
	interval := promDuration(settings.ScrapeInterval)
	scrape := map[string]any{
		"job_name":        podsJob,
		"file_sd_configs": []any{map[string]any{"files": []string{targets}}},
	}
	if settings.ViaAPIServer {
		scrape["scheme"] = access.Server.Scheme
		access.addTo(scrape)
	}
	scrapes := []any{scrape}
	addresses := map[string][]string{}
	for _, target := range settings.Targets {
		addresses[target.Job] = append(addresses[target.Job], target.Address)
	}
	for _, job := range slices.Sorted(maps.Keys(addresses)) {
		scrapes = append(scrapes, map[string]any{
			"job_name":       job,
			"static_configs": []any{map[string]any{"targets": addresses[job]}},
		})
	}
	if len(nodes) > 0 {
		scrapes = append(scrapes, kubelets(access, settings, nodes, "cadvisor"), kubelets(access, settings, nodes, "resource"))
	}
	config := map[string]any{
		"global":         map[string]any{"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
		"scrape_configs": scrapes,
	}
	if settings.Rules != "" {
		config["rule_files"] = []string{settings.Rules}
	}
	return yaml.Marshal(config)
}

// kubelets scrapes one of the kubelets' metrics as clusters usually do: the labels
// are those of the containers, and the time is that of the scrape. What a
// container told last would else be taken for the present up to five minutes
// after its end.
func kubelets(access Access, settings Settings, nodes []Node, what string) map[string]any {
	var targets []any
	for _, node := range nodes {
		labels := map[string]string{"node": node.Name, "instance": node.Kubelet, "__metrics_path__": "/metrics/" + what}
		address := node.Kubelet
		if settings.ViaAPIServer {
			address = access.Server.Host
			labels["__metrics_path__"] = fmt.Sprintf("%s/api/v1/nodes/%s/proxy/metrics/%s", strings.TrimSuffix(access.Server.Path, "/"), node.Name, what)
		}
		targets = append(targets, map[string]any{"targets": []string{address}, "labels": labels})
	}
	scrape := map[string]any{
		"job_name": kubeletJob + what, "scheme": "https", "honor_labels": true, "honor_timestamps": false, "static_configs": targets,
	}
	if settings.ViaAPIServer {
		scrape["scheme"] = access.Server.Scheme
	} else {
		access.ServerName = "" // that is the API server's
	}
	access.addTo(scrape)
	if what == "resource" {
		// cAdvisor tells these too, with more labels: a sum would count them twice.
		scrape["metric_relabel_configs"] = []any{map[string]any{
			"source_labels": []string{"__name__"}, "action": "drop",
			"regex": "container_(cpu_usage_seconds_total|memory_working_set_bytes|start_time_seconds)",
		}}
	}
	return scrape
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
