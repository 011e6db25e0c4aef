package prom

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

func TestKubeletsAreFoundByTheirNodes(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, request *http.Request) {
		if request.URL.Path != "/api/v1/nodes" {
			out.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = out.Write([]byte(`{"items":[
			{"metadata":{"name":"one"},"status":{"addresses":[{"type":"Hostname","address":"one"},{"type":"InternalIP","address":"10.0.0.1"},
				{"type":"InternalIP","address":"10.0.0.9"}],"daemonEndpoints":{"kubeletEndpoint":{"Port":10250}}}},
			{"metadata":{"name":"new"},"status":{}},
			{"metadata":{"name":"six"},"status":{"addresses":[{"type":"InternalIP","address":"fd00::6"}],"daemonEndpoints":{"kubeletEndpoint":{"Port":10260}}}}]}`))
	}))
	t.Cleanup(server.Close)
	target, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	client, err := newClient(Access{Server: target})
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.nodes(context.Background())
	want := []Node{{"one", "10.0.0.1:10250"}, {"six", "[fd00::6]:10260"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v (%v), want %v", got, err, want)
	}
}

func TestKubeletsAreScrapedWithTheClustersCredentials(t *testing.T) {
	server := &url.URL{Scheme: "https", Host: "10.0.0.100:6443", Path: "/prefix"}
	access := Access{Server: server, CA: "/ca", Cert: "/cert", Key: "/key", ServerName: "kubernetes"}
	nodes := []Node{{"one", "10.0.0.1:10250"}, {"two", "10.0.0.2:10250"}}
	type static struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	type relabel struct {
		Labels []string `json:"source_labels"`
		Action string   `json:"action"`
		Regex  string   `json:"regex"`
	}
	type scrape struct {
		Job        string            `json:"job_name"`
		Scheme     string            `json:"scheme"`
		Labels     *bool             `json:"honor_labels"`
		Timestamps *bool             `json:"honor_timestamps"`
		TLS        map[string]string `json:"tls_config"`
		Static     []static          `json:"static_configs"`
		Relabel    []relabel         `json:"metric_relabel_configs"`
	}
	twice := map[string][]relabel{"resource": {{
		[]string{"__name__"}, "drop", "container_(cpu_usage_seconds_total|memory_working_set_bytes|start_time_seconds)",
	}}}
	yes, no := true, false
	direct := func(what string) scrape {
		at := func(node, address string) static {
			return static{[]string{address}, map[string]string{"node": node, "instance": address, "__metrics_path__": "/metrics/" + what}}
		}
		// The API server's name is not in a kubelet's certificate.
		tls := map[string]string{"ca_file": "/ca", "cert_file": "/cert", "key_file": "/key"}
		return scrape{"kubelet-" + what, "https", &yes, &no, tls, []static{at("one", "10.0.0.1:10250"), at("two", "10.0.0.2:10250")}, twice[what]}
	}
	proxied := func(what string) scrape {
		at := func(node, address string) static {
			path := "/prefix/api/v1/nodes/" + node + "/proxy/metrics/" + what
			return static{[]string{"10.0.0.100:6443"}, map[string]string{"node": node, "instance": address, "__metrics_path__": path}}
		}
		tls := map[string]string{"ca_file": "/ca", "cert_file": "/cert", "key_file": "/key", "server_name": "kubernetes"}
		return scrape{"kubelet-" + what, "https", &yes, &no, tls, []static{at("one", "10.0.0.1:10250"), at("two", "10.0.0.2:10250")}, twice[what]}
	}
	for name, c := range map[string]struct {
		via   bool
		nodes []Node
		want  []scrape
	}{
		"none":                   {false, nil, nil},
		"directly":               {false, nodes, []scrape{direct("cadvisor"), direct("resource")}},
		"through the API server": {true, nodes, []scrape{proxied("cadvisor"), proxied("resource")}},
	} {
		data, err := Config(access, Settings{ScrapeInterval: time.Second, ViaAPIServer: c.via}, "/targets.json", c.nodes)
		if err != nil {
			t.Fatal(err)
		}
		var config struct {
			Scrapes []scrape `json:"scrape_configs"`
		}
		if err := yaml.Unmarshal(data, &config); err != nil {
			t.Fatal(err)
		}
		// The first are the pods.
		if got := append([]scrape(nil), config.Scrapes[1:]...); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %s", name, data)
		}
	}
}
