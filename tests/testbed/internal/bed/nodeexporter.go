package bed

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"

	"flyball.dev/testbed/internal/layout"
	"flyball.dev/testbed/internal/machine"
	"flyball.dev/testbed/internal/packages"
	"flyball.dev/testbed/internal/process"
)

// nodeExporterName is its process and its log. Like the gateway it is no component.
const nodeExporterName = "node-exporter"

// nodeExporterArgs leave out what nobody asks the node for: only memory, what
// the kernel does to find some, and the pressure that comes of it.
func nodeExporterArgs(address netip.AddrPort) []string {
	return []string{
		"--web.listen-address=" + address.String(),
		"--collector.disable-defaults", "--collector.meminfo", "--collector.pressure", "--collector.vmstat",
	}
}

// NodeExporterUp serves the machine's memory figures, at /metrics of the address
// that it returns. One that runs is left as it is.
func NodeExporterUp(dir layout.Dir, say Say) (netip.AddrPort, error) {
	var address netip.AddrPort
	unlock, err := dir.Lock()
	if err != nil {
		return address, err
	}
	defer unlock()
	bed, err := running(dir)
	if err != nil {
		return address, err
	}
	check, err := newProbe(dir, bed.Cluster)
	if err != nil {
		return address, err
	}
	if check.dead([]string{nodeExporterName}) != "" {
		if err := startNodeExporter(dir, say); err != nil {
			return address, err
		}
	}
	if address, err = readNodeExporter(dir); err != nil {
		return address, err
	}
	answers := func() error { return check.get("http://"+address.String()+"/", nil) }
	return address, check.wait("the node exporter answers", answers, nodeExporterName)
}

func startNodeExporter(dir layout.Dir, say Say) error {
	if err := packages.Ensure(dir, packages.NodeExporter, say); err != nil {
		return err
	}
	port, err := machine.FreePorts(1)
	if err != nil {
		return err
	}
	data, err := json.Marshal(netip.AddrPortFrom(loopback, uint16(port)))
	if err != nil {
		return err
	}
	if err := os.WriteFile(dir.NodeExporter(), data, 0o644); err != nil {
		return err
	}
	say("starting %s", nodeExporterName)
	_, err = process.Start(process.Spec{
		Name: nodeExporterName,
		Argv: []string{dir.Bin("testbed"), "node-exporter", "serve", "--dir", string(dir)},
		Log:  dir.Log(nodeExporterName),
	}, dir.Pids())
	return err
}

// NodeExporterDown ends it. It is no error if there is none, or no bed.
func NodeExporterDown(dir layout.Dir) error {
	unlock, err := dir.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	bed, err := Load(dir)
	if err != nil || bed == nil {
		return err
	}
	return stopComponents(dir, nodeExporterName)
}

// NodeExporterServe turns this process into the exporter; NodeExporterUp starts
// it. It only returns with an error.
func NodeExporterServe(dir layout.Dir) error {
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
	address, err := readNodeExporter(dir)
	if err != nil {
		return err
	}
	args := append([]string{"prometheus-node-exporter"}, nodeExporterArgs(address)...)
	return become(dir.Unpacked("usr/bin/prometheus-node-exporter"), args, packages.Env(dir))
}

func readNodeExporter(dir layout.Dir) (netip.AddrPort, error) {
	var address netip.AddrPort
	data, err := os.ReadFile(dir.NodeExporter())
	if err == nil {
		err = json.Unmarshal(data, &address)
	}
	if err != nil {
		return address, fmt.Errorf("read where the node exporter listens: %w: run `testbed node-exporter down`, then up", err)
	}
	return address, nil
}
