package bed

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"time"

	"flyball.dev/testbed/internal/layout"
	"flyball.dev/testbed/internal/machine"
	"flyball.dev/testbed/internal/metricsstub"
	"flyball.dev/testbed/internal/process"
)

// metricsName is the stub of the metrics APIs: its process, its log and its
// certificate. It is no component: a bed is whole without it.
const metricsName = "metrics"

// metricsRecord is what the stub tells of itself once it listens.
type metricsRecord struct {
	Control string         `json:"control"` // URL at which values are set
	API     netip.AddrPort `json:"api"`     // where kube-apiserver reaches it
}

// MetricsUp makes the metrics APIs a part of the running bed, and returns the
// URL at which their values are set. A stub that runs is left as it is, values
// and all, so that tests side by side can share it.
func MetricsUp(dir layout.Dir, say Say) (control string, err error) {
	unlock, err := dir.Lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	bed, err := running(dir)
	if err != nil {
		return "", err
	}
	check, err := newProbe(dir, bed.Cluster)
	if err != nil {
		return "", err
	}
	if check.dead([]string{metricsName}) != "" {
		say("starting %s", metricsName)
		if err := startMetrics(dir); err != nil {
			return "", err
		}
	}
	var stub metricsRecord
	listens := func() error { return stub.read(dir) }
	if err := check.wait("the metrics stub listens", listens, metricsName); err != nil {
		return "", err
	}
	ca, err := os.ReadFile(dir.PKI("ca.crt"))
	if err != nil {
		return "", err
	}
	for _, object := range metricsstub.Objects(stub.API, ca) {
		if err := check.apply(object.Path, object.Body); err != nil {
			return "", fmt.Errorf("register the metrics APIs: %w", err)
		}
	}
	return stub.Control, check.wait("the metrics APIs are available", check.metricsAvailable, metricsName, "kube-apiserver", "kube-proxy")
}

func startMetrics(dir layout.Dir) error {
	if err := os.Remove(dir.Metrics()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	_, err := process.Start(process.Spec{
		Name: metricsName,
		Argv: []string{dir.Bin("testbed"), "metrics", "serve", "--dir", string(dir)},
		Log:  dir.Log(metricsName),
	}, dir.Pids())
	return err
}

// metricsAvailable tells whether kube-apiserver passes requests on to the stub,
// and tells its clients so.
func (p *probe) metricsAvailable() error {
	var served struct {
		Groups []struct{ Name string } `json:"groups"`
	}
	if err := p.get(p.cluster.Server()+"/apis", &served); err != nil {
		return err
	}
	for _, version := range metricsstub.Versions() {
		var registered struct {
			Status struct {
				Conditions []struct{ Type, Status, Message string } `json:"conditions"`
			} `json:"status"`
		}
		if err := p.get(p.cluster.Server()+metricsstub.APIServicePath(version), &registered); err != nil {
			return err
		}
		state := "it has not been asked yet"
		for _, condition := range registered.Status.Conditions {
			if condition.Type == "Available" {
				state = condition.Message
			}
			if condition.Type == "Available" && condition.Status == "True" {
				state = ""
			}
		}
		if state == "" && !slices.ContainsFunc(served.Groups, func(g struct{ Name string }) bool { return g.Name == version.Group }) {
			state = "it is not in the list of groups"
		}
		if state != "" {
			return fmt.Errorf("%s is not available: %s", version, state)
		}
	}
	return nil
}

// MetricsDown takes the metrics APIs out of the running bed. They go first: while
// one is registered and does not answer, no namespace can be deleted. It is no
// error if there is none, or no bed.
func MetricsDown(dir layout.Dir) error {
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
	objects := metricsstub.Objects(netip.AddrPort{}, nil)
	slices.Reverse(objects)
	for _, object := range objects {
		if err := check.delete(object.Path); err != nil {
			return fmt.Errorf("remove the metrics APIs: %w", err)
		}
	}
	return stopComponents(dir, metricsName)
}

// MetricsServe is the stub's process; MetricsUp starts it.
func MetricsServe(ctx context.Context, dir layout.Dir) error {
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
	trust, err := metricsTLS(dir)
	if err != nil {
		return err
	}
	// kube-apiserver takes no loopback address for a Service.
	api, err := net.Listen("tcp", netip.AddrPortFrom(bed.Cluster.Gateway(), 0).String())
	if err != nil {
		return err
	}
	control, err := net.Listen("tcp", netip.AddrPortFrom(loopback, 0).String())
	if err != nil {
		return err
	}
	store := metricsstub.NewStore()
	serveAPI := server(metricsstub.Handler(store, time.Now))
	serveAPI.TLSConfig = trust
	serveControl := server(metricsstub.Control(store))
	failed := make(chan error, 2)
	go func() { failed <- serveAPI.ServeTLS(api, "", "") }()
	go func() { failed <- serveControl.Serve(control) }()
	stub := metricsRecord{Control: "http://" + control.Addr().String(), API: api.Addr().(*net.TCPAddr).AddrPort()}
	if err := stub.write(dir); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return errors.Join(serveControl.Close(), serveAPI.Close())
	}
}

func server(handler http.Handler) *http.Server {
	return &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
}

// metricsTLS lets kube-apiserver in and nobody else: it has asked who may read
// metrics, and a pod that came here by itself would not have been asked.
func metricsTLS(dir layout.Dir) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(dir.PKI(metricsName+".crt"), dir.PKI(metricsName+".key"))
	if err != nil {
		return nil, err
	}
	front, err := os.ReadFile(dir.PKI("front-ca.crt"))
	if err != nil {
		return nil, err
	}
	callers := x509.NewCertPool()
	callers.AppendCertsFromPEM(front)
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: callers, ClientAuth: tls.RequireAndVerifyClientCert,
	}, nil
}

func (r *metricsRecord) read(dir layout.Dir) error {
	data, err := os.ReadFile(dir.Metrics())
	if err != nil {
		return err
	}
	return json.Unmarshal(data, r)
}

// write leaves a record that is whole or not there.
func (r *metricsRecord) write(dir layout.Dir) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.WriteFile(dir.Metrics()+".new", data, 0o644); err != nil {
		return err
	}
	return os.Rename(dir.Metrics()+".new", dir.Metrics())
}
