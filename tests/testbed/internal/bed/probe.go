package bed

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"flyball.dev/testbed/internal/layout"
	"flyball.dev/testbed/internal/process"
	"flyball.dev/testbed/internal/render"
)

// patience is how long a component may take to become ready on a slow machine.
const patience = 2 * time.Minute

// probe asks components how they are. It speaks plain HTTP with the admin's
// certificate, so that this package needs no Kubernetes client.
type probe struct {
	dir     layout.Dir
	cluster render.Cluster
	client  *http.Client
}

func newProbe(dir layout.Dir, cluster render.Cluster) (*probe, error) {
	ca, err := os.ReadFile(dir.PKI("ca.crt"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	admin, err := tls.LoadX509KeyPair(dir.PKI("admin.crt"), dir.PKI("admin.key"))
	if err != nil {
		return nil, err
	}
	return &probe{dir: dir, cluster: cluster, client: &http.Client{
		Timeout: 5 * time.Second,
		Transport: &http.Transport{
			Proxy:           nil, // everything is on this machine
			TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{admin}},
		},
	}}, nil
}

// ready tells whether a component answers, and why not.
func (p *probe) ready(component render.Component) error {
	switch component.Name {
	case "containerd":
		return p.dialContainerd()
	case "kube-apiserver":
		return p.get(p.cluster.Server()+"/readyz", nil)
	}
	return p.get(component.Health, nil)
}

// waitReady waits for a component, and gives up at once when it dies.
func (p *probe) waitReady(component render.Component) error {
	return p.wait(component.Name+" is ready", func() error { return p.ready(component) }, component.Name)
}

// wait polls until the condition holds. The components named must stay alive.
func (p *probe) wait(what string, condition func() error, needs ...string) error {
	deadline := time.Now().Add(patience)
	for {
		err := condition()
		if err == nil {
			return nil
		}
		if dead := p.dead(needs); dead != "" {
			log := p.dir.Log(dead)
			return fmt.Errorf("%s ended while starting: %s (log: %s)", dead, process.LastLine(log), log)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %s until %s: %w (logs: %s)", patience, what, err, p.dir.Logs())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// dead names the first of the components that does not run.
func (p *probe) dead(names []string) string {
	pids, err := process.Load(p.dir.Pids())
	if err != nil {
		return ""
	}
	for _, name := range names {
		if id, known := pids[name]; !known || !id.Alive() {
			return name
		}
	}
	return ""
}

// dialContainerd reaches the socket by the short path that the node sees.
func (p *probe) dialContainerd() error {
	pids, err := process.Load(p.dir.Pids())
	if err != nil {
		return err
	}
	root := fmt.Sprintf("/proc/%d/root", pids["containerd"].Pid)
	connection, err := net.Dial("unix", filepath.Join(root, p.cluster.Node.Containerd("containerd.sock")))
	if err != nil {
		return err
	}
	return connection.Close()
}

// schedulable tells whether a pod that is created now will start: the node is
// Ready and free of the taint it is born with, and namespaces have accounts.
func (p *probe) schedulable() error {
	var node struct {
		Spec struct {
			Taints []struct{ Key string } `json:"taints"`
		} `json:"spec"`
		Status struct {
			Conditions []struct{ Type, Status, Message string } `json:"conditions"`
		} `json:"status"`
	}
	if err := p.get(p.cluster.Server()+"/api/v1/nodes/"+p.cluster.NodeName(), &node); err != nil {
		return err
	}
	state := "it has not reported yet"
	for _, condition := range node.Status.Conditions {
		if condition.Type == "Ready" && condition.Status == "True" {
			state = ""
		} else if condition.Type == "Ready" {
			state = condition.Message
		}
	}
	if state != "" {
		return fmt.Errorf("the node is not ready: %s", state)
	}
	if len(node.Spec.Taints) > 0 {
		return fmt.Errorf("the node has the taint %s", node.Spec.Taints[0].Key)
	}
	return p.get(p.cluster.Server()+"/api/v1/namespaces/default/serviceaccounts/default", nil)
}

// get asks for a URL and decodes the JSON answer, if wanted.
func (p *probe) get(url string, into any) error {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	return p.send(request, into)
}

// apply makes an object, or makes it what it should be.
func (p *probe) apply(path string, object any) error {
	body, err := json.Marshal(object)
	if err != nil {
		return err
	}
	url := p.cluster.Server() + path + "?force=true&fieldManager=flyball-testbed"
	request, err := http.NewRequest(http.MethodPatch, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/apply-patch+yaml") // JSON is YAML
	return p.send(request, nil)
}

// delete removes an object, if it is there.
func (p *probe) delete(path string) error {
	request, err := http.NewRequest(http.MethodDelete, p.cluster.Server()+path, nil)
	if err != nil {
		return err
	}
	err = p.send(request, nil)
	var refused refusal
	if errors.As(err, &refused) && refused.code == http.StatusNotFound {
		return nil
	}
	return err
}

// refusal is an answer other than success.
type refusal struct {
	what string
	code int
	body string
}

func (r refusal) Error() string {
	text := fmt.Sprintf("%s answers %d %s", r.what, r.code, http.StatusText(r.code))
	var status struct{ Message string }
	if json.Unmarshal([]byte(r.body), &status) == nil && status.Message != "" {
		text += ": " + status.Message
	}
	return text
}

func (p *probe) send(request *http.Request, into any) error {
	answer, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode >= http.StatusMultipleChoices {
		// To its end, so that the connection is used again.
		body, _ := io.ReadAll(answer.Body)
		return refusal{fmt.Sprintf("%s %s", request.Method, request.URL.Redacted()), answer.StatusCode, string(body)}
	}
	if into == nil {
		_, err := io.Copy(io.Discard, answer.Body)
		return err
	}
	return json.NewDecoder(answer.Body).Decode(into)
}
