package bed

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"flyball.dev/testbed/internal/gateway"
	"flyball.dev/testbed/internal/layout"
	"flyball.dev/testbed/internal/metricsstub"
	"flyball.dev/testbed/internal/pki"
	"flyball.dev/testbed/internal/render"
)

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// identities are the cluster's certificates. The names and groups are those
// that the API server's own roles are bound to, so that each component has the
// rights of a production one and not more.
func identities(c render.Cluster) map[string]pki.Subject {
	return map[string]pki.Subject{
		"etcd": {Name: "etcd", IPs: []netip.Addr{loopback}},
		"kube-apiserver": {
			Name:  "kube-apiserver",
			Hosts: []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost"},
			IPs:   []netip.Addr{c.Gateway(), c.APIService(), loopback},
		},
		"kube-controller-manager": {Name: "system:kube-controller-manager", IPs: []netip.Addr{loopback}},
		"kube-scheduler":          {Name: "system:kube-scheduler", IPs: []netip.Addr{loopback}},
		"kube-proxy":              {Name: "system:kube-proxy"},
		"kubelet":                 {Name: "system:node:" + c.NodeName(), Groups: []string{"system:nodes"}, IPs: []netip.Addr{c.Gateway()}},
		metricsName:               {Name: "flyball-metrics", Hosts: []string{metricsstub.Host}},
		gatewayName:               {Name: gateway.User},
		"admin":                   {Name: "flyball-testbed-admin", Groups: []string{"system:masters"}},
	}
}

// withKubeconfig are the programs that call the API server.
var withKubeconfig = []string{"kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", gatewayName}

// writeCredentials makes all keys, certificates and kubeconfigs.
func writeCredentials(dir layout.Dir, c render.Cluster) error {
	for _, folder := range []string{dir.PKI(""), dir.Conf("")} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
	}
	authority, ca, err := pki.NewAuthority("flyball-testbed")
	if err != nil {
		return err
	}
	if err := ca.Write(dir.PKI("ca")); err != nil {
		return err
	}
	pairs := map[string]pki.Pair{}
	for name, subject := range identities(c) {
		pair, err := authority.Issue(subject)
		if err != nil {
			return err
		}
		if err := pair.Write(dir.PKI(name)); err != nil {
			return err
		}
		pairs[name] = pair
	}
	if err := writeFrontProxy(dir); err != nil {
		return err
	}
	if err := writeTokenKeys(dir); err != nil {
		return err
	}
	for _, name := range withKubeconfig {
		if err := writeKubeconfig(dir.Conf(name+".kubeconfig"), name, c, ca, pairs[name]); err != nil {
			return err
		}
	}
	if err := writeKubeconfig(dir.Kubeconfig(), "admin", c, ca, pairs["admin"]); err != nil {
		return err
	}
	return os.WriteFile(dir.Env(), fmt.Appendf(nil, "KUBECONFIG=%s\n", dir.Kubeconfig()), 0o644)
}

// writeFrontProxy makes the identity under which the API server forwards
// requests. Its authority is one of its own: whoever it signs may name any user.
func writeFrontProxy(dir layout.Dir) error {
	authority, ca, err := pki.NewAuthority("flyball-testbed-front")
	if err != nil {
		return err
	}
	if err := ca.Write(dir.PKI("front-ca")); err != nil {
		return err
	}
	pair, err := authority.Issue(pki.Subject{Name: "front-proxy"})
	if err != nil {
		return err
	}
	return pair.Write(dir.PKI("front-proxy"))
}

func writeTokenKeys(dir layout.Dir) error {
	private, public, err := pki.SigningKey()
	if err != nil {
		return err
	}
	if err := os.WriteFile(dir.PKI("tokens.key"), private, 0o600); err != nil {
		return err
	}
	return os.WriteFile(dir.PKI("tokens.pub"), public, 0o644)
}

func writeKubeconfig(path, user string, c render.Cluster, ca, pair pki.Pair) error {
	data, err := c.Kubeconfig(user, ca.Cert, pair)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// writeConfigs renders the component configurations.
func writeConfigs(dir layout.Dir, c render.Cluster) error {
	targets := map[string]string{
		"containerd.toml": dir.Conf("containerd.toml"),
		"kubelet.yaml":    dir.Conf("kubelet.yaml"),
		"kube-proxy.yaml": dir.Conf("kube-proxy.yaml"),
		"audit.yaml":      dir.Conf("audit.yaml"),
		"cni.conflist":    filepath.Join(dir.CNI("conf"), "flyball.conflist"),
	}
	for _, folder := range []string{dir.CNI("conf"), dir.PodLogs()} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	for name, path := range targets {
		data, err := c.File(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	// For pods that ask for the node's name server; see kubelet.yaml.
	return os.WriteFile(dir.Conf("resolv.conf"), []byte("nameserver 127.0.0.1\n"), 0o644)
}
