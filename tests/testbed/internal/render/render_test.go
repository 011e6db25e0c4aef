package render

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"flyball.dev/testbed/internal/layout"
	"flyball.dev/testbed/internal/pki"
)

func sample() Cluster {
	return Cluster{
		Bridge:      "flyball0",
		Subnet:      netip.MustParsePrefix("10.213.77.0/24"),
		Services:    netip.MustParsePrefix("10.213.76.0/24"),
		Ports:       PortsFrom(21600),
		Snapshotter: "overlayfs",
		Node:        "/run/flyball0",
	}
}

func TestAddresses(t *testing.T) {
	c := sample()
	if c.Gateway().String() != "10.213.77.1" || c.APIService().String() != "10.213.76.1" || c.Server() != "https://10.213.77.1:21600" {
		t.Errorf("gateway %s, API service %s, server %s", c.Gateway(), c.APIService(), c.Server())
	}
}

func TestFilesAreWellFormed(t *testing.T) {
	for _, name := range []string{"kubelet.yaml", "kube-proxy.yaml", "audit.yaml", "cni.conflist"} {
		data, err := sample().File(name)
		if err != nil {
			t.Fatal(err)
		}
		var document map[string]any
		if err := yaml.UnmarshalStrict(data, &document); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if data, _ := sample().File("cni.conflist"); !json.Valid(data) {
		t.Error("cni.conflist is not JSON")
	}
}

// The kernel limits the path of a socket to 107 bytes, wherever the bed lies.
func TestNodePathsAreShort(t *testing.T) {
	data, err := sample().File("containerd.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		if _, path, ok := strings.Cut(line, `address = "`); ok && len(path) > 100 {
			t.Errorf("socket path too long: %s", path)
		}
	}
}

func TestComponentsUseDistinctPorts(t *testing.T) {
	data, err := json.Marshal(sample().Ports)
	if err != nil {
		t.Fatal(err)
	}
	var ports map[string]int
	if err := json.Unmarshal(data, &ports); err != nil {
		t.Fatal(err)
	}
	var numbers []int
	for _, port := range ports {
		numbers = append(numbers, port)
	}
	slices.Sort(numbers)
	if len(slices.Compact(numbers)) != PortCount || numbers[PortCount-1] != 21600+PortCount-1 {
		t.Errorf("ports %v are not %d in a row", ports, PortCount)
	}
}

// Nothing may listen where other machines can reach it.
func TestNothingListensEverywhere(t *testing.T) {
	for _, component := range sample().Components(layout.Dir("/bed")) {
		for _, arg := range component.Args {
			if strings.Contains(arg, "0.0.0.0") || strings.Contains(arg, "::") {
				t.Errorf("%s: %s", component.Name, arg)
			}
		}
	}
	for _, name := range []string{"kubelet.yaml", "kube-proxy.yaml"} {
		if data, _ := sample().File(name); strings.Contains(string(data), "0.0.0.0") {
			t.Errorf("%s listens everywhere", name)
		}
	}
}

// cAdvisor in the kubelet knows pods and containers by asking the same containerd.
func TestTheKubeletsMetricsComeFromTheSameContainerd(t *testing.T) {
	file, err := sample().File("kubelet.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Endpoint string `json:"containerRuntimeEndpoint"`
	}
	if err := yaml.Unmarshal(file, &config); err != nil {
		t.Fatal(err)
	}
	want := "--containerd=" + strings.TrimPrefix(config.Endpoint, "unix://")
	if args := sample().kubelet().Args; config.Endpoint == "" || !slices.Contains(args, want) {
		t.Errorf("%s is missing in %v", want, args)
	}
}

// A comparison with the autoscaler is only worth something while it decides as
// it does by default.
func TestTheAutoscalerIsQuickerButDecidesAsByDefault(t *testing.T) {
	var args []string
	for _, component := range sample().Components(layout.Dir("/bed")) {
		if component.Name == "kube-controller-manager" {
			args = component.Args
		}
	}
	for _, want := range []string{"--horizontal-pod-autoscaler-sync-period=1s", "--concurrent-horizontal-pod-autoscaler-syncs=20"} {
		if !slices.Contains(args, want) {
			t.Errorf("%s is missing in %v", want, args)
		}
	}
	for _, deciding := range []string{"tolerance", "cpu-initialization-period", "initial-readiness-delay", "downscale-stabilization"} {
		if slices.ContainsFunc(args, func(arg string) bool { return strings.Contains(arg, deciding) }) {
			t.Errorf("%s is not at its default in %v", deciding, args)
		}
	}
}

func TestKubeconfigNamesItsUser(t *testing.T) {
	data, err := sample().Kubeconfig("admin", []byte("ca"), pki.Pair{Cert: []byte("cert"), Key: []byte("key")})
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		CurrentContext string `json:"current-context"`
		Users          []struct{ Name string }
	}
	if err := yaml.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	if config.CurrentContext != "admin@flyball-testbed" || config.Users[0].Name != "admin" {
		t.Errorf("%+v", config)
	}
}
