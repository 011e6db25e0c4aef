package prom

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// Annotations by which a pod asks to be scraped.
const (
	annotationScrape = "prometheus.io/scrape"
	annotationPort   = "prometheus.io/port"
)

// targetGroup is an entry of Prometheus's target file.
type targetGroup struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// groups turns pods into targets, in a fixed order.
func groups(access Access, settings Settings, pods map[string]pod) []targetGroup {
	found := []targetGroup{}
	for _, name := range slices.Sorted(maps.Keys(pods)) {
		pod := pods[name]
		port := pod.Metadata.Annotations[annotationPort]
		if pod.Metadata.Annotations[annotationScrape] != "true" || port == "" || pod.Status.PodIP == "" ||
			pod.Status.Phase == "Succeeded" || pod.Status.Phase == "Failed" {
			continue
		}
		address := net.JoinHostPort(pod.Status.PodIP, port)
		group := targetGroup{
			Targets: []string{address},
			Labels:  map[string]string{"namespace": pod.Metadata.Namespace, "pod": name, "instance": address},
		}
		if settings.ViaAPIServer {
			group.Targets = []string{access.Server.Host}
			group.Labels["__metrics_path__"] = fmt.Sprintf("%s/api/v1/namespaces/%s/pods/%s:%s/proxy/metrics",
				strings.TrimSuffix(access.Server.Path, "/"), pod.Metadata.Namespace, name, port)
		}
		found = append(found, group)
	}
	return found
}

// discovery keeps a target file current.
type discovery struct {
	access   Access
	settings Settings
	client   *client
	file     string
	written  []byte
	pods     map[string]pod
}

func newDiscovery(access Access, settings Settings, file string) (*discovery, error) {
	client, err := newClient(access)
	if err != nil {
		return nil, err
	}
	return &discovery{access: access, settings: settings, client: client, file: file}, nil
}

// relist reads all pods afresh and writes their targets.
func (d *discovery) relist(ctx context.Context) (version string, err error) {
	pods, version, err := d.client.list(ctx, d.settings.Namespace)
	if err != nil {
		return "", err
	}
	d.pods = map[string]pod{}
	for _, pod := range pods {
		d.pods[pod.Metadata.Name] = pod
	}
	return version, d.write()
}

func (d *discovery) apply(e event) {
	switch e.Type {
	case "ADDED", "MODIFIED":
		d.pods[e.Object.Metadata.Name] = e.Object
	case "DELETED":
		delete(d.pods, e.Object.Metadata.Name)
	}
	if err := d.write(); err != nil {
		fmt.Fprintf(os.Stderr, "discovery: %v\n", err)
	}
}

// run follows the pods until the context ends. While the API server is away
// the targets stay as they are.
func (d *discovery) run(ctx context.Context) {
	const pause = time.Second
	for ctx.Err() == nil {
		version, err := d.relist(ctx)
		if err == nil {
			err = d.client.watch(ctx, d.settings.Namespace, version, d.apply)
		}
		fmt.Fprintf(os.Stderr, "discovery: %v\n", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// write replaces the file in one step, and only if it changes.
func (d *discovery) write() error {
	data, err := json.MarshalIndent(groups(d.access, d.settings, d.pods), "", "  ")
	if err != nil || bytes.Equal(data, d.written) {
		return err
	}
	if err := os.WriteFile(d.file+".new", data, 0o644); err != nil {
		return err
	}
	d.written = data
	return os.Rename(d.file+".new", d.file)
}
