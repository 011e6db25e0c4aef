// Package bed brings a cluster up and takes it down again.
package bed

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"flyball.dev/testbed/internal/layout"
	"flyball.dev/testbed/internal/machine"
	"flyball.dev/testbed/internal/packages"
	"flyball.dev/testbed/internal/process"
	"flyball.dev/testbed/internal/render"
)

// Record is written before anything on the machine is touched, so that what a
// killed `up` has left can be found and undone. A copy of it lies at the node's
// mount point, which is named after the bridge: so a bed can be found, and
// ended, even after its folder was emptied.
type Record struct {
	Dir            layout.Dir        `json:"dir"`
	Cluster        render.Cluster    `json:"cluster"`
	Boot           string            `json:"boot"`
	KernelSettings map[string]string `json:"kernelSettings"` // as they were before
	MountPoints    []string          `json:"mountPoints"`    // that we made
	FirewallRule   bool              `json:"firewallRule"`   // that we added
}

// Options are the choices of whoever brings a bed up.
type Options struct {
	Bridge string
	Subnet netip.Prefix
}

// checkFree refuses early, before anything is fetched, what is taken by others.
func (o Options) checkFree(dir layout.Dir, say Say) error {
	services, err := subnetAfter(o.Subnet)
	if err != nil {
		return err
	}
	if err := checkNoOtherBed(dir, say); err != nil {
		return err
	}
	return machine.CheckNetworkFree(o.Bridge, o.Subnet, services)
}

// checkNoOtherBed names the bed that has the machine. There can be one at a
// time: kube-proxy's tables have fixed names. One of which nothing runs any
// more was killed with whoever brought it up: it is cleared away.
func checkNoOtherBed(dir layout.Dir, say Say) error {
	boot, err := process.BootID()
	if err != nil {
		return err
	}
	copies, err := filepath.Glob(machineCopy("*"))
	if err != nil {
		return err
	}
	for _, path := range copies {
		other, err := read(path)
		if err != nil {
			return err
		}
		if other == nil || other.Boot != boot {
			continue
		}
		cgroup, err := machine.NewCgroup(other.Cluster.Bridge)
		if err != nil {
			return err
		}
		if !cgroup.Empty() {
			return fmt.Errorf("the test bed in %s has this machine: end it with `testbed down --dir %s --bridge %s`", other.Dir, other.Dir, other.Cluster.Bridge)
		}
		say("nothing of the test bed in %s runs any more: clearing it away", other.Dir)
		if err := clearDead(dir, other, say); err != nil {
			return fmt.Errorf("clear away the dead test bed in %s: %w", other.Dir, err)
		}
	}
	return nil
}

// clearDead ends a bed of another folder, by the tools of this one if that
// folder is gone.
func clearDead(dir layout.Dir, other *Record, say Say) error {
	if _, err := os.Stat(other.Dir.State()); err == nil {
		return Down(other.Dir, other.Cluster.Bridge, say)
	}
	if err := packages.Ensure(dir, packages.Node, say); err != nil {
		return err
	}
	return clean(dir, other)
}

// plan describes a bed that is about to be made on this machine.
func plan(dir layout.Dir, options Options) (*Record, error) {
	services, err := subnetAfter(options.Subnet)
	if err != nil {
		return nil, err
	}
	if err := machine.CheckProxyTablesFree(dir); err != nil {
		return nil, err
	}
	port, err := machine.FreePorts(render.PortCount)
	if err != nil {
		return nil, err
	}
	snapshotter, err := machine.SnapshotterFor(dir)
	if err != nil {
		return nil, err
	}
	boot, err := process.BootID()
	if err != nil {
		return nil, err
	}
	settings, err := machine.ReadKernelSettings()
	if err != nil {
		return nil, err
	}
	dropped, err := machine.DropsForwarded()
	if err != nil {
		return nil, err
	}
	return &Record{
		Dir: dir,
		Cluster: render.Cluster{
			Bridge:      options.Bridge,
			Subnet:      options.Subnet,
			Services:    services,
			Ports:       render.PortsFrom(port),
			Snapshotter: snapshotter,
			Node:        machine.NodeRoot(options.Bridge),
		},
		Boot:           boot,
		KernelSettings: settings,
		MountPoints:    machine.MissingMountPoints(options.Bridge),
		FirewallRule:   dropped,
	}, nil
}

// subnetAfter is the neighbour of the pods' subnet: Service addresses are
// taken from there.
func subnetAfter(subnet netip.Prefix) (netip.Prefix, error) {
	if !subnet.Addr().Is4() || subnet.Bits() != 24 {
		return netip.Prefix{}, fmt.Errorf("subnet %s: give an IPv4 network with 24 bits, such as 10.213.77.0/24", subnet)
	}
	bytes := subnet.Masked().Addr().As4()
	bytes[2] ^= 1 // the other half of the /23 that both are in
	return netip.PrefixFrom(netip.AddrFrom4(bytes), 24), nil
}

// Load reads the record of the bed in a folder; nil means that none is up.
func Load(dir layout.Dir) (*Record, error) { return read(dir.Record()) }

// loadCopy reads the copy of a bed's record, if it is that of this folder.
func loadCopy(dir layout.Dir, bridge string) (*Record, error) {
	record, err := read(machineCopy(bridge))
	if record == nil || record.Dir != dir {
		return nil, err
	}
	return record, nil
}

func machineCopy(bridge string) string {
	return filepath.Join(string(machine.NodeRoot(bridge)), "bed.json")
}

func read(path string) (*Record, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	record := &Record{}
	if err := json.Unmarshal(data, record); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return record, nil
}

// save writes the record to the bed's folder.
func (r *Record) save() error {
	if err := os.MkdirAll(r.Dir.State(), 0o700); err != nil {
		return err
	}
	return r.write(r.Dir.Record())
}

// saveCopy writes the copy; the mount point must be there.
func (r *Record) saveCopy() error { return r.write(machineCopy(r.Cluster.Bridge)) }

// write leaves a record that is whole or not there.
func (r *Record) write(path string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", data, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (r *Record) removeCopy() error {
	err := os.Remove(machineCopy(r.Cluster.Bridge))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
