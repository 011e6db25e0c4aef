package render

import (
	"fmt"

	"flyball.dev/testbed/internal/layout"
)

// Component is a program of the bed with its arguments.
type Component struct {
	Name   string
	Args   []string
	OnNode bool   // runs in the node's mount namespace and sees its paths
	Health string // URL that answers 200 when it is ready; empty: see bed
}

// Components are those of the cluster in the order they are started; `down`
// goes the other way round.
func (c Cluster) Components(dir layout.Dir) []Component {
	return []Component{c.etcd(dir), c.containerd(), c.apiServer(dir), c.controllers(dir), c.scheduler(dir), c.kubelet(), c.proxy()}
}

func (c Cluster) etcd(dir layout.Dir) Component {
	client, peer := localURL("https", c.Ports.Etcd), localURL("https", c.Ports.EtcdPeer)
	return Component{
		Name: "etcd",
		Args: []string{
			"--data-dir=" + dir.Etcd(),
			"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=default=" + peer,
			"--cert-file=" + dir.PKI("etcd.crt"), "--key-file=" + dir.PKI("etcd.key"),
			"--trusted-ca-file=" + dir.PKI("ca.crt"), "--client-cert-auth",
			"--peer-cert-file=" + dir.PKI("etcd.crt"), "--peer-key-file=" + dir.PKI("etcd.key"),
			"--peer-trusted-ca-file=" + dir.PKI("ca.crt"), "--peer-client-cert-auth",
			"--listen-metrics-urls=" + localURL("http", c.Ports.EtcdHealth),
			"--unsafe-no-fsync", // nothing here has to survive a power cut
			"--log-level=warn",
		},
		Health: localURL("http", c.Ports.EtcdHealth) + "/health",
	}
}

func (c Cluster) containerd() Component {
	return Component{Name: "containerd", Args: []string{"--config", c.Node.Conf("containerd.toml")}, OnNode: true}
}

func (c Cluster) apiServer(dir layout.Dir) Component {
	return Component{
		Name: "kube-apiserver",
		Args: []string{
			fmt.Sprintf("--secure-port=%d", c.Ports.APIServer),
			"--bind-address=" + c.Gateway().String(), "--advertise-address=" + c.Gateway().String(),
			"--tls-cert-file=" + dir.PKI("kube-apiserver.crt"), "--tls-private-key-file=" + dir.PKI("kube-apiserver.key"),
			"--client-ca-file=" + dir.PKI("ca.crt"),
			"--etcd-servers=" + localURL("https", c.Ports.Etcd), "--etcd-cafile=" + dir.PKI("ca.crt"),
			"--etcd-certfile=" + dir.PKI("etcd.crt"), "--etcd-keyfile=" + dir.PKI("etcd.key"),
			"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
			"--service-cluster-ip-range=" + c.Services.String(),
			"--service-account-issuer=https://kubernetes.default.svc",
			"--service-account-key-file=" + dir.PKI("tokens.pub"), "--service-account-signing-key-file=" + dir.PKI("tokens.key"),
			"--kubelet-client-certificate=" + dir.PKI("admin.crt"), "--kubelet-client-key=" + dir.PKI("admin.key"),
			"--kubelet-certificate-authority=" + dir.PKI("ca.crt"), "--kubelet-preferred-address-types=InternalIP",
			// What extension API servers (an adapter for external metrics, say) need.
			"--requestheader-client-ca-file=" + dir.PKI("front-ca.crt"), "--requestheader-allowed-names=front-proxy",
			"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
			"--requestheader-extra-headers-prefix=X-Remote-Extra-",
			"--proxy-client-cert-file=" + dir.PKI("front-proxy.crt"), "--proxy-client-key-file=" + dir.PKI("front-proxy.key"),
			"--audit-policy-file=" + dir.Conf("audit.yaml"), "--audit-log-path=" + dir.Log("audit"),
			"--audit-log-mode=blocking", "--audit-log-maxsize=1024", // written before the answer, in one file
		},
	}
}

func (c Cluster) controllers(dir layout.Dir) Component {
	kubeconfig := dir.Conf("kube-controller-manager.kubeconfig")
	return Component{
		Name: "kube-controller-manager",
		Args: []string{
			"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", c.Ports.Controllers),
			"--tls-cert-file=" + dir.PKI("kube-controller-manager.crt"), "--tls-private-key-file=" + dir.PKI("kube-controller-manager.key"),
			"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
			"--leader-elect=false", "--use-service-account-credentials=true",
			"--service-account-private-key-file=" + dir.PKI("tokens.key"), "--root-ca-file=" + dir.PKI("ca.crt"),
			"--cluster-signing-cert-file=" + dir.PKI("ca.crt"), "--cluster-signing-key-file=" + dir.PKI("ca.key"),
			"--flex-volume-plugin-dir=" + dir.StateEntry("volume-plugins"), // made at start, by default below /usr
			// Tests compare hundreds of autoscalers' decisions. How one is made stays as it is by
			// default: tolerance, initialisation period, readiness delay, stabilisation.
			"--horizontal-pod-autoscaler-sync-period=1s", "--concurrent-horizontal-pod-autoscaler-syncs=20",
			"--kube-api-qps=200", "--kube-api-burst=400",
		},
		Health: localURL("https", c.Ports.Controllers) + "/healthz",
	}
}

func (c Cluster) scheduler(dir layout.Dir) Component {
	kubeconfig := dir.Conf("kube-scheduler.kubeconfig")
	return Component{
		Name: "kube-scheduler",
		Args: []string{
			"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", c.Ports.Scheduler),
			"--tls-cert-file=" + dir.PKI("kube-scheduler.crt"), "--tls-private-key-file=" + dir.PKI("kube-scheduler.key"),
			"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
			"--leader-elect=false",
		},
		Health: localURL("https", c.Ports.Scheduler) + "/healthz",
	}
}

func (c Cluster) kubelet() Component {
	return Component{
		Name: "kubelet",
		Args: []string{
			"--config=" + c.Node.Conf("kubelet.yaml"),
			"--kubeconfig=" + c.Node.Conf("kubelet.kubeconfig"),
			"--hostname-override=" + c.NodeName(),
			"--node-ip=" + c.Gateway().String(),
			// For cAdvisor in it, which else looks where distributions have it, and then knows no
			// control group's pod and container.
			"--containerd=" + c.Node.Containerd("containerd.sock"),
		},
		OnNode: true,
		Health: localURL("http", c.Ports.KubeletHealth) + "/healthz",
	}
}

func (c Cluster) proxy() Component {
	return Component{
		Name:   "kube-proxy",
		Args:   []string{"--config=" + c.Node.Conf("kube-proxy.yaml")},
		OnNode: true,
		Health: localURL("http", c.Ports.ProxyHealth) + "/healthz",
	}
}

func localURL(scheme string, port int) string {
	return fmt.Sprintf("%s://127.0.0.1:%d", scheme, port)
}
