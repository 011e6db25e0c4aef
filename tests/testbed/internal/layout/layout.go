// Package layout names every file of a test bed. A bed is one folder, and
// nothing else in this module spells a path inside it.
package layout

import (
	"fmt"
	"os"
	"path/filepath"
)

// Dir is the folder that holds a test bed. As seen by the node's processes it
// is mounted at a short path (see machine.NodeRoot), because the path of a unix
// socket is limited to 108 bytes and a checkout may lie deep: so a Dir is a
// value, and both views of the same folder use the same methods.
type Dir string

// Open makes the folder if needed and returns it by its real, absolute path.
func Open(path string) (Dir, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return "", fmt.Errorf("make the test bed's folder: %w", err)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find the test bed's folder: %w", err)
	}
	real, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return "", fmt.Errorf("find the test bed's folder: %w", err)
	}
	return Dir(real), nil
}

func (d Dir) join(elem ...string) string {
	return filepath.Join(append([]string{string(d)}, elem...)...)
}

// What survives `down`: built and downloaded once, used by every bed.

func (d Dir) Bin(name string) string   { return d.join("bin", name) }
func (d Dir) Packages() string         { return d.join("packages") }
func (d Dir) Images() string           { return d.join("images") }
func (d Dir) Logs() string             { return d.join("logs") }
func (d Dir) Log(name string) string   { return d.join("logs", name+".log") }
func (d Dir) PodLogs() string          { return d.join("logs", "pods") }
func (d Dir) Unpacked(p string) string { return d.join("packages", "root", p) }
func (d Dir) Package(p string) string  { return d.join("packages", p) }

// What a user of the bed reads; removed by `down`.

func (d Dir) Kubeconfig() string { return d.join("kubeconfig") }
func (d Dir) Env() string        { return d.join("env") }

// What belongs to the running bed; removed by `down`.

func (d Dir) State() string                 { return d.join("state") }
func (d Dir) StateEntry(name string) string { return d.join("state", name) }
func (d Dir) Record() string                { return d.join("state", "bed.json") }
func (d Dir) Pids() string                  { return d.join("state", "pids") }
func (d Dir) PKI(file string) string        { return d.join("state", "pki", file) }
func (d Dir) Conf(file string) string       { return d.join("state", "conf", file) }
func (d Dir) Etcd() string                  { return d.join("state", "etcd") }
func (d Dir) Containerd(elem string) string { return d.join("state", "containerd", elem) }
func (d Dir) CNI(elem string) string        { return d.join("state", "cni", elem) }
func (d Dir) Shadow(elem string) string     { return d.join("state", "shadow", elem) }
func (d Dir) Metrics() string               { return d.join("state", "metrics.json") }
func (d Dir) Gateway() string               { return d.join("state", "gateway.json") }
func (d Dir) NodeExporter() string          { return d.join("state", "node-exporter.json") }

// Prometheus servers run beside the bed, or without one.

func (d Dir) Prometheus() string                   { return d.join("prometheus") }
func (d Dir) PrometheusFile(name, f string) string { return d.join("prometheus", name, f) }
