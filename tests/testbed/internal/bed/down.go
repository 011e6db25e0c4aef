package bed

import (
	"errors"
	"os"
	"time"

	"flyball.dev/testbed/internal/layout"
	"flyball.dev/testbed/internal/machine"
	"flyball.dev/testbed/internal/packages"
	"flyball.dev/testbed/internal/process"
	"flyball.dev/testbed/internal/prom"
)

// Down ends a bed, whatever state it is in, and gives back to the machine all
// that `up` took. Programs, packages, images and logs stay.
func Down(dir layout.Dir, bridge string, say Say) error {
	unlock, err := dir.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	began := time.Now()
	record, err := Load(dir)
	if err != nil {
		return err
	}
	if record == nil {
		// The folder may have been emptied under a running bed.
		if record, err = loadCopy(dir, bridge); err != nil {
			return err
		}
	}
	if record == nil {
		say("no test bed is up in %s", dir)
		return prom.DownAll(dir)
	}
	if err := packages.Ensure(dir, packages.Node, say); err != nil {
		return err
	}
	if err := clean(dir, record); err != nil {
		return err
	}
	say("the test bed is down after %.1f s", time.Since(began).Seconds())
	return nil
}

// stopOrder ends writers before what they write to. A component that has to
// wait for its stopping server would wait in vain.
var stopOrder = [][]string{
	{"kube-proxy", "kube-scheduler", "kube-controller-manager", "kubelet"},
	{"containerd", "kube-apiserver"},
	{"etcd"},
}

// clean undoes a bed. Each step is safe to repeat and to run on what is not
// there, and the record goes last, so that a killed `down` is done again.
func clean(dir layout.Dir, record *Record) error {
	bridge := record.Cluster.Bridge
	if err := prom.DownAll(dir); err != nil {
		return err
	}
	if err := stopComponents(dir, metricsName, gatewayName, nodeExporterName); err != nil {
		return err
	}
	for _, names := range stopOrder {
		if err := stopComponents(dir, names...); err != nil {
			return err
		}
	}
	cgroup, err := machine.NewCgroup(bridge)
	if err != nil {
		return err
	}
	// Containers, their shims, and whatever a crash has made us forget.
	if err := cgroup.Kill(30 * time.Second); err != nil {
		return err
	}
	if err := cgroup.Remove(); err != nil {
		return err
	}
	if record.FirewallRule {
		if err := machine.DisallowForwarding(bridge); err != nil {
			return err
		}
	}
	if err := machine.DeleteProxyTables(dir); err != nil {
		return err
	}
	if err := machine.DeleteBridge(bridge); err != nil {
		return err
	}
	if err := record.removeCopy(); err != nil {
		return err
	}
	machine.RemoveMountPoints(record.MountPoints)
	if err := restoreKernelSettings(record); err != nil {
		return err
	}
	for _, path := range []string{dir.Kubeconfig(), dir.Env()} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return removeState(dir)
}

// restoreKernelSettings leaves a machine alone that has been started anew
// since: its settings are its own.
func restoreKernelSettings(record *Record) error {
	boot, err := process.BootID()
	if err != nil || boot != record.Boot {
		return err
	}
	return machine.RestoreKernelSettings(record.KernelSettings)
}

// removeState removes everything of the bed's state but the record, and only
// then the record.
func removeState(dir layout.Dir) error {
	entries, err := os.ReadDir(dir.State())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		path := dir.StateEntry(entry.Name())
		if path == dir.Record() {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return os.RemoveAll(dir.State())
}
