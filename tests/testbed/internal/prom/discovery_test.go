package prom

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

func podJSON(name, ip, phase, annotations string) string {
	return fmt.Sprintf(`{"metadata":{"name":%q,"namespace":"shop","annotations":{%s}},"status":{"podIP":%q,"phase":%q}}`, name, annotations, ip, phase)
}

const asked = `"prometheus.io/scrape":"true","prometheus.io/port":"8080"`

// fakeAPI answers one list and one watch as an API server does.
func fakeAPI(t *testing.T) Access {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, request *http.Request) {
		switch {
		case request.Header.Get("Authorization") != "Bearer secret":
			out.WriteHeader(http.StatusUnauthorized)
		case request.URL.Path != "/prefix/api/v1/namespaces/shop/pods":
			out.WriteHeader(http.StatusNotFound)
		case request.URL.Query().Get("watch") == "":
			fmt.Fprintf(out, `{"metadata":{"resourceVersion":"7"},"items":[%s,%s,%s,%s]}`,
				podJSON("a", "10.0.0.1", "Running", asked), podJSON("unasked", "10.0.0.2", "Running", ""),
				podJSON("done", "10.0.0.3", "Succeeded", asked), podJSON("unplaced", "", "Pending", asked))
		case request.URL.Query().Get("resourceVersion") == "7":
			fmt.Fprintf(out, `{"type":"ADDED","object":%s}{"type":"MODIFIED","object":%s}{"type":"DELETED","object":%s}`,
				podJSON("b", "", "Pending", asked), podJSON("b", "10.0.0.4", "Running", asked), podJSON("a", "10.0.0.1", "Running", asked))
		}
	}))
	t.Cleanup(server.Close)
	target, err := url.Parse(server.URL + "/prefix")
	if err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return Access{Server: target, Token: token}
}

func targetsIn(t *testing.T, file string) []targetGroup {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var found []targetGroup
	if err := json.Unmarshal(data, &found); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestTargetsFollowThePods(t *testing.T) {
	file := filepath.Join(t.TempDir(), "targets.json")
	d, err := newDiscovery(fakeAPI(t), Settings{Namespace: "shop"}, file)
	if err != nil {
		t.Fatal(err)
	}
	version, err := d.relist(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	group := func(pod, address string) []targetGroup {
		return []targetGroup{{Targets: []string{address}, Labels: map[string]string{"namespace": "shop", "pod": pod, "instance": address}}}
	}
	if got, want := targetsIn(t, file), group("a", "10.0.0.1:8080"); !reflect.DeepEqual(got, want) {
		t.Errorf("after the list: %v, want %v", got, want)
	}
	if err := d.client.watch(context.Background(), "shop", version, d.apply); err == nil {
		t.Error("the end of the watch is not reported")
	}
	if got, want := targetsIn(t, file), group("b", "10.0.0.4:8080"); !reflect.DeepEqual(got, want) {
		t.Errorf("after the watch: %v, want %v", got, want)
	}
}

func TestCredentialsThatDoNotWorkAreAnError(t *testing.T) {
	access := fakeAPI(t)
	access.Token = ""
	d, err := newDiscovery(access, Settings{Namespace: "shop"}, filepath.Join(t.TempDir(), "targets.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.relist(context.Background()); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("error %v, want a 401", err)
	}
}

func TestThroughTheAPIServer(t *testing.T) {
	access := fakeAPI(t)
	settings := Settings{Namespace: "shop", ViaAPIServer: true, ScrapeInterval: 1500 * time.Millisecond, Rules: "/rules.yml"}
	file := filepath.Join(t.TempDir(), "targets.json")
	d, err := newDiscovery(access, settings, file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.relist(context.Background()); err != nil {
		t.Fatal(err)
	}
	got := targetsIn(t, file)[0]
	if got.Targets[0] != access.Server.Host || got.Labels["instance"] != "10.0.0.1:8080" ||
		got.Labels["__metrics_path__"] != "/prefix/api/v1/namespaces/shop/pods/a:8080/proxy/metrics" {
		t.Errorf("%+v", got)
	}
	data, err := Config(access, settings, file, nil)
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Global struct {
			ScrapeInterval string `json:"scrape_interval"`
		} `json:"global"`
		RuleFiles     []string `json:"rule_files"`
		ScrapeConfigs []struct {
			Scheme        string `json:"scheme"`
			Authorization struct {
				CredentialsFile string `json:"credentials_file"`
			} `json:"authorization"`
		} `json:"scrape_configs"`
	}
	if err := yaml.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	scrape := config.ScrapeConfigs[0]
	if config.Global.ScrapeInterval != "1500ms" || config.RuleFiles[0] != "/rules.yml" || scrape.Scheme != "http" || scrape.Authorization.CredentialsFile != access.Token {
		t.Errorf("%+v", config)
	}
}

func TestDirectScrapesCarryNoCredentials(t *testing.T) {
	data, err := Config(fakeAPI(t), Settings{Namespace: "shop", ScrapeInterval: time.Second}, "/targets.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "credentials") || strings.Contains(string(data), "tls_config") {
		t.Errorf("pods would be given the cluster's credentials:\n%s", data)
	}
}
