// Package render turns the description of a cluster into the configuration
// files of its components. The files are templates beside this one, to be read
// as what they are.
package render

import (
	"bytes"
	"embed"
	"encoding/base64"
	"fmt"
	"net/netip"
	"text/template"

	"flyball.dev/testbed/internal/layout"
	"flyball.dev/testbed/internal/pki"
)

//go:embed templates
var files embed.FS

var templates = template.Must(template.New("").Option("missingkey=error").ParseFS(files, "templates/*"))

// Cluster describes one test bed.
type Cluster struct {
	Bridge      string       `json:"bridge"`
	Subnet      netip.Prefix `json:"subnet"`   // of the pods
	Services    netip.Prefix `json:"services"` // virtual addresses
	Ports       Ports        `json:"ports"`
	Snapshotter string       `json:"snapshotter"`
	Node        layout.Dir   `json:"node"` // the bed's folder as the node sees it
}

// Ports are those of the components, in a row.
type Ports struct {
	APIServer     int `json:"apiServer"`
	Etcd          int `json:"etcd"`
	EtcdPeer      int `json:"etcdPeer"`
	EtcdHealth    int `json:"etcdHealth"`
	Controllers   int `json:"controllers"`
	Scheduler     int `json:"scheduler"`
	Kubelet       int `json:"kubelet"`
	KubeletHealth int `json:"kubeletHealth"`
	ProxyHealth   int `json:"proxyHealth"`
	ProxyMetrics  int `json:"proxyMetrics"`
}

// PortCount is how many ports a cluster takes.
const PortCount = 10

// PortsFrom assigns the ports from the first one on.
func PortsFrom(first int) Ports {
	return Ports{
		APIServer: first, Etcd: first + 1, EtcdPeer: first + 2, EtcdHealth: first + 3,
		Controllers: first + 4, Scheduler: first + 5, Kubelet: first + 6, KubeletHealth: first + 7,
		ProxyHealth: first + 8, ProxyMetrics: first + 9,
	}
}

// Gateway is the bridge's own address, the first of the subnet.
func (c Cluster) Gateway() netip.Addr { return c.Subnet.Masked().Addr().Next() }

// GatewayPrefix is that address with the size of the subnet.
func (c Cluster) GatewayPrefix() netip.Prefix { return netip.PrefixFrom(c.Gateway(), c.Subnet.Bits()) }

// APIService is the virtual address of the API server, as seen by pods.
func (c Cluster) APIService() netip.Addr { return c.Services.Masked().Addr().Next() }

// Server is the API server's URL.
func (c Cluster) Server() string {
	return fmt.Sprintf("https://%s", netip.AddrPortFrom(c.Gateway(), uint16(c.Ports.APIServer)))
}

// NodeName is the name of the single node.
func (c Cluster) NodeName() string { return "testbed" }

// PauseImage is the image that holds a pod's namespaces.
func (c Cluster) PauseImage() string { return "flyball.dev/pause:1" }

// File renders one of the component configurations.
func (c Cluster) File(name string) ([]byte, error) { return execute(name, c) }

// Kubeconfig renders credentials for a user of the cluster.
func (c Cluster) Kubeconfig(user string, ca []byte, pair pki.Pair) ([]byte, error) {
	encode := base64.StdEncoding.EncodeToString
	return execute("kubeconfig", map[string]string{
		"User": user, "Server": c.Server(), "CA": encode(ca), "Cert": encode(pair.Cert), "Key": encode(pair.Key),
	})
}

func execute(name string, data any) ([]byte, error) {
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, name, data); err != nil {
		return nil, fmt.Errorf("render %s: %w", name, err)
	}
	return out.Bytes(), nil
}
