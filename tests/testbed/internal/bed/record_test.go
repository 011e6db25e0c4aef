package bed

import (
	"net/netip"
	"reflect"
	"testing"

	"flyball.dev/testbed/internal/layout"
	"flyball.dev/testbed/internal/render"
)

func TestRecordIsReadBackAsWritten(t *testing.T) {
	dir := layout.Dir(t.TempDir())
	if record, err := Load(dir); record != nil || err != nil {
		t.Fatalf("an empty folder has a record: %v, %v", record, err)
	}
	want := &Record{
		Dir: dir,
		Cluster: render.Cluster{
			Bridge: "flyball0", Subnet: netip.MustParsePrefix("10.213.77.0/24"), Services: netip.MustParsePrefix("10.213.76.0/24"),
			Ports: render.PortsFrom(21600), Snapshotter: "overlayfs", Node: "/run/flyball0",
		},
		Boot:           "boot",
		KernelSettings: map[string]string{"/proc/sys/net/ipv4/ip_forward": "0"},
		MountPoints:    []string{"/run/flyball0"},
		FirewallRule:   true,
	}
	if err := want.save(); err != nil {
		t.Fatal(err)
	}
	got, err := Load(dir)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v (%v), wrote %+v", got, err, want)
	}
}

func TestServicesTakeTheOtherHalf(t *testing.T) {
	for pods, want := range map[string]string{"10.213.77.0/24": "10.213.76.0/24", "10.213.76.0/24": "10.213.77.0/24"} {
		got, err := subnetAfter(netip.MustParsePrefix(pods))
		if err != nil || got.String() != want {
			t.Errorf("%s: %s (%v), want %s", pods, got, err, want)
		}
	}
	for _, bad := range []string{"10.213.0.0/16", "fd00::/24"} {
		if _, err := subnetAfter(netip.MustParsePrefix(bad)); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

func TestEveryComponentIsStoppedInOrder(t *testing.T) {
	record := &Record{Cluster: render.Cluster{Subnet: netip.MustParsePrefix("10.213.77.0/24"), Services: netip.MustParsePrefix("10.213.76.0/24")}}
	position := map[string]int{}
	for i, stage := range stopOrder {
		for _, name := range stage {
			position[name] = i
		}
	}
	components := record.Cluster.Components("/bed")
	for _, component := range components {
		if _, ok := position[component.Name]; !ok {
			t.Errorf("%s is never stopped", component.Name)
		}
	}
	if len(position) != len(components) {
		t.Errorf("%d are stopped, the bed has %d", len(position), len(components))
	}
	if !(position["kubelet"] < position["kube-apiserver"] && position["kube-apiserver"] < position["etcd"]) {
		t.Errorf("stop order %v", stopOrder)
	}
}
