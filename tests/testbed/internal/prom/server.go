package prom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"flyball.dev/testbed/internal/layout"
	"flyball.dev/testbed/internal/packages"
	"flyball.dev/testbed/internal/process"
)

const (
	program  = "prometheus"
	patience = time.Minute
	grace    = 10 * time.Second
)

// Files in a server's folder.
const (
	configFile = "prometheus.yml"
	targetFile = "targets.json"
	recordFile = "record.json"
	pids       = "pids"
)

var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)

// Up starts a Prometheus server and returns its URL once it is ready. A server
// of that name which already runs is replaced, data and all.
func Up(dir layout.Dir, name, kubeconfig, address string, settings Settings, say func(string, ...any)) (string, error) {
	if settings.ScrapeInterval < time.Millisecond {
		return "", fmt.Errorf("scrape interval %s: give at least 1ms", settings.ScrapeInterval)
	}
	unlock, err := dir.LockPrometheus()
	if err != nil {
		return "", err
	}
	defer unlock()
	server, env, err := find(dir, say)
	if err != nil {
		return "", err
	}
	if err := Down(dir, name); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir.PrometheusFile(name, ""), 0o700); err != nil {
		return "", err
	}
	if err := configure(dir, name, kubeconfig, settings); err != nil {
		return "", err
	}
	if err := startDiscovery(dir, name); err != nil {
		return "", err
	}
	url, err := startServer(dir, name, address, server, env)
	if err != nil {
		return "", err
	}
	return url, os.WriteFile(dir.PrometheusFile(name, "url"), []byte(url+"\n"), 0o644)
}

func startServer(dir layout.Dir, name, address, server string, env []string) (url string, err error) {
	listen, err := freePort(address)
	if err != nil {
		return "", err
	}
	log := dir.PrometheusFile(name, "prometheus.log")
	id, err := process.Start(process.Spec{
		Name: program,
		Argv: []string{
			server, "--config.file=" + dir.PrometheusFile(name, configFile), "--storage.tsdb.path=" + dir.PrometheusFile(name, "data"),
			"--web.listen-address=" + listen, "--web.enable-lifecycle",
		},
		Env: env,
		Log: log,
	}, dir.PrometheusFile(name, pids))
	if err != nil {
		return "", err
	}
	url = "http://" + listen
	return url, waitReady(id, url, log)
}

// startDiscovery starts the process that follows the pods: this program again.
func startDiscovery(dir layout.Dir, name string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	_, err = process.Start(process.Spec{
		Name: "discovery",
		Argv: []string{self, "prometheus", "discovery", "--dir", string(dir), "--name", name},
		Log:  dir.PrometheusFile(name, "discovery.log"),
	}, dir.PrometheusFile(name, pids))
	return err
}

// Discover follows the pods for a server that `up` has configured.
func Discover(ctx context.Context, dir layout.Dir, name string) error {
	data, err := os.ReadFile(dir.PrometheusFile(name, recordFile))
	if err != nil {
		return err
	}
	var record record
	if err := json.Unmarshal(data, &record); err != nil {
		return err
	}
	discovery, err := newDiscovery(record.Access, record.Settings, dir.PrometheusFile(name, targetFile))
	if err != nil {
		return err
	}
	discovery.run(ctx)
	return nil
}

// find prefers the packaged server, and takes one from the path on a machine
// without apt.
func find(dir layout.Dir, say func(string, ...any)) (server string, env []string, err error) {
	err = packages.Ensure(dir, packages.Prometheus, say)
	if errors.Is(err, packages.ErrNoApt) {
		if server, lookErr := exec.LookPath(program); lookErr == nil {
			return server, nil, nil
		}
	}
	return dir.Unpacked("usr/bin/prometheus"), packages.Env(dir), err
}

// record is what the discovery process is told.
type record struct {
	Access   Access   `json:"access"`
	Settings Settings `json:"settings"`
}

// configure writes all files of a server. It asks the cluster for the pods
// once, so that credentials which do not work are an error here and now.
func configure(dir layout.Dir, name, kubeconfig string, settings Settings) error {
	access, err := ReadAccess(kubeconfig, dir.PrometheusFile(name, ""))
	if err != nil {
		return err
	}
	if settings.Rules != "" {
		if settings.Rules, err = filepath.Abs(settings.Rules); err != nil {
			return err
		}
		if _, err := os.Stat(settings.Rules); err != nil {
			return fmt.Errorf("rules: %w", err)
		}
	}
	targets := dir.PrometheusFile(name, targetFile)
	discovery, err := newDiscovery(access, settings, targets)
	if err != nil {
		return fmt.Errorf("kubeconfig %s: %w", kubeconfig, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := discovery.relist(ctx); err != nil {
		return fmt.Errorf("list the pods of namespace %s: %w", settings.Namespace, err)
	}
	data, err := json.Marshal(record{access, settings})
	if err != nil {
		return err
	}
	if err := os.WriteFile(dir.PrometheusFile(name, recordFile), data, 0o600); err != nil {
		return err
	}
	var nodes []Node
	if settings.Kubelet {
		if nodes, err = discovery.client.nodes(ctx); err == nil && len(nodes) == 0 {
			err = errors.New("the cluster has no node with an address")
		}
		if err != nil {
			return fmt.Errorf("find the kubelets: %w", err)
		}
	}
	config, err := Config(access, settings, targets, nodes)
	if err != nil {
		return err
	}
	return os.WriteFile(dir.PrometheusFile(name, configFile), config, 0o600)
}

func waitReady(id process.Identity, url, log string) error {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{Proxy: nil}}
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		answer, err := client.Get(url + "/-/ready")
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		if !id.Alive() {
			return fmt.Errorf("prometheus ended while starting: %s (log: %s)", process.LastLine(log), log)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.Join(fmt.Errorf("prometheus was not ready after %s (log: %s)", patience, log), id.Stop(grace))
}

// freePort finds a port below the range that the kernel hands out, so that it
// is still free when Prometheus takes it.
func freePort(address string) (string, error) {
	for port := 21500; port < 21600; port++ {
		listen := net.JoinHostPort(address, fmt.Sprint(port))
		listener, err := net.Listen("tcp", listen)
		if err == nil {
			return listen, listener.Close()
		}
	}
	return "", fmt.Errorf("no free port between 21500 and 21599 on %s", address)
}

// Down ends a server and removes its data. It is no error if there is none.
func Down(dir layout.Dir, name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("name %q: use lower-case letters, digits and hyphens", name)
	}
	ids, err := process.Load(dir.PrometheusFile(name, pids))
	if err != nil {
		return err
	}
	for program, id := range ids {
		if err := id.Stop(grace); err != nil {
			return fmt.Errorf("stop %s of prometheus %s: %w", program, name, err)
		}
	}
	return os.RemoveAll(dir.PrometheusFile(name, ""))
}

// DownAll ends every server of the folder.
func DownAll(dir layout.Dir) error {
	entries, err := os.ReadDir(dir.Prometheus())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var failures []error
	for _, entry := range entries {
		failures = append(failures, Down(dir, entry.Name()))
	}
	return errors.Join(failures...)
}
