package metricsstub

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"
)

const document = `{
	"pods": {
		"web-0": {"labels": {"app": "web", "zone": "a"}, "timestamp": "2026-01-02T03:04:05Z", "window": "15s",
			"containers": {"main": {"cpu": "250m", "memory": "64Mi"}, "aside": {"cpu": "50m"}}},
		"web-1": {"labels": {"app": "web", "zone": "b"}, "containers": {}},
		"web-2": {"labels": {"app": "web", "zone": "b"}},
		"db-0": {"labels": {"app": "db"}, "containers": {"main": {"cpu": "2"}}}
	},
	"custom": {"rps": {"web-0": "1500m", "web-2": "7", "db-0": "9"}, "idle": {}},
	"objects": {"depth": {"services/web": "12", "fleets.test.flyball.dev/web": "13", "namespaces/shop": "14"}},
	"external": {"queue": [{"labels": {"name": "a"}, "value": "30"}, {"labels": {"name": "b"}, "value": "12500m"}], "empty": []}
}`

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// stub is a stub with the document set for the namespace shop.
func stub(t *testing.T) http.Handler {
	t.Helper()
	store := NewStore()
	if code, body := ask(Control(store), http.MethodPut, "/namespaces/shop", document); code != http.StatusNoContent {
		t.Fatalf("set: %d %s", code, body)
	}
	return Handler(store, func() time.Time { return noon })
}

func ask(handler http.Handler, method, target, body string) (code int, answer string) {
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(method, target, strings.NewReader(body)))
	return recorder.Code, recorder.Body.String()
}

// check compares JSON as JSON.
func check(t *testing.T, what, got, want string) {
	t.Helper()
	var a, b any
	if err := json.Unmarshal([]byte(got), &a); err != nil {
		t.Errorf("%s: %v in %s", what, err, got)
		return
	}
	if err := json.Unmarshal([]byte(want), &b); err != nil {
		t.Fatalf("%s: %v in %s", what, err, want)
	}
	if !reflect.DeepEqual(a, b) {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

func TestShapes(t *testing.T) {
	const (
		resources = "/apis/metrics.k8s.io/v1beta1/namespaces/shop"
		custom    = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop"
		external  = "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop"
		web0      = `"metadata":{"name":"web-0","namespace":"shop","labels":{"app":"web","zone":"a"}},
			"timestamp":"2026-01-02T03:04:05Z","window":"15s",
			"containers":[{"name":"aside","usage":{"cpu":"50m"}},{"name":"main","usage":{"cpu":"250m","memory":"64Mi"}}]`
		web1 = `"metadata":{"name":"web-1","namespace":"shop","labels":{"app":"web","zone":"b"}},
			"timestamp":"2026-01-02T12:00:00Z","window":"30s","containers":[]`
	)
	value := func(kind, name, metric, value string) string {
		version := ""
		if kind == "Pod" {
			version = `"apiVersion":"v1",`
		}
		return `{"describedObject":{"kind":"` + kind + `",` + version + `"namespace":"shop","name":"` + name + `"},
			"metric":{"name":"` + metric + `","selector":null},"timestamp":"2026-01-02T12:00:00Z","value":"` + value + `"}`
	}
	values := func(items ...string) string {
		return `{"kind":"MetricValueList","apiVersion":"custom.metrics.k8s.io/v1beta2","metadata":{},"items":[` + strings.Join(items, ",") + `]}`
	}
	series := func(items ...string) string {
		return `{"kind":"ExternalMetricValueList","apiVersion":"external.metrics.k8s.io/v1beta1","metadata":{},"items":[` + strings.Join(items, ",") + `]}`
	}
	podMetrics := `"kind":"PodMetrics","apiVersion":"metrics.k8s.io/v1beta1",`
	queue := func(name, value string) string {
		return `{"metricName":"queue","metricLabels":{"name":"` + name + `"},"timestamp":"2026-01-02T12:00:00Z","value":"` + value + `"}`
	}
	handler := stub(t)
	for target, want := range map[string]string{
		"/apis/metrics.k8s.io/v1beta1": `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"metrics.k8s.io/v1beta1",
			"resources":[{"name":"pods","singularName":"pod","namespaced":true,"kind":"PodMetrics","verbs":["get","list"]}]}`,
		// A pod without containers in the document is not in the list; one that uses nothing is.
		resources + "/pods?labelSelector=app%3Dweb": `{"kind":"PodMetricsList","apiVersion":"metrics.k8s.io/v1beta1","metadata":{},
			"items":[{` + podMetrics + web0 + `},{` + podMetrics + web1 + `}]}`,
		resources + "/pods/web-0":                     `{"kind":"PodMetrics","apiVersion":"metrics.k8s.io/v1beta1",` + web0 + `}`,
		resources + "/pods?labelSelector=app%3Dother": `{"kind":"PodMetricsList","apiVersion":"metrics.k8s.io/v1beta1","metadata":{},"items":[]}`,

		custom + "/pods/*/rps?labelSelector=app%3Dweb":                           values(value("Pod", "web-0", "rps", "1500m"), value("Pod", "web-2", "rps", "7")),
		custom + "/pods/%2A/rps?labelSelector=app%3Dweb":                         values(value("Pod", "web-0", "rps", "1500m"), value("Pod", "web-2", "rps", "7")),
		custom + "/pods/web-2/rps":                                               values(value("Pod", "web-2", "rps", "7")),
		custom + "/pods/*/rps?labelSelector=app%3Dweb&metricLabelSelector=a%3Db": values(),
		custom + "/pods/*/idle?labelSelector=app%3Dweb":                          values(),
		custom + "/services/web/depth":                                           values(value("services", "web", "depth", "12")),
		custom + "/fleets.test.flyball.dev/web/depth":                            values(value("fleets.test.flyball.dev", "web", "depth", "13")),
		custom + "/metrics/depth":                                                values(value("namespaces", "shop", "depth", "14")),
		external + "/queue":                                                      series(queue("a", "30"), queue("b", "12500m")),
		external + "/queue?labelSelector=name%3Db":                               series(queue("b", "12500m")),
		external + "/queue?labelSelector=name%3Dc":                               series(),
		external + "/empty":                                                      series(),
	} {
		code, got := ask(handler, http.MethodGet, target, "")
		if code != http.StatusOK {
			t.Errorf("%s: %d %s", target, code, got)
			continue
		}
		check(t, target, got, want)
	}
}

func TestWhatIsNotSetIsNotFound(t *testing.T) {
	handler := stub(t)
	for target, says := range map[string]string{
		"/apis":       "/apis",
		"/openapi/v2": "/openapi/v2",
		"/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods/web-2":               `pods.metrics.k8s.io "web-2" not found`,
		"/apis/metrics.k8s.io/v1beta1/namespaces/other/pods/web-0":              `pods.metrics.k8s.io "web-0" not found`,
		"/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/pods/*/other":      "the metric other for pods",
		"/apis/custom.metrics.k8s.io/v1beta2/namespaces/other/pods/*/rps":       "the metric rps for pods",
		"/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/pods/web-1/rps":    "the metric rps for pods web-1",
		"/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/services/db/depth": "the metric depth for services db",
		"/apis/custom.metrics.k8s.io/v1beta2/namespaces/other/metrics/depth":    "the metric depth for namespaces other",
		"/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/other":           "the metric other for namespaces shop",
	} {
		code, got := ask(handler, http.MethodGet, target, "")
		var status struct {
			Kind, Status, Reason, Message string
			Code                          int
		}
		if err := json.Unmarshal([]byte(got), &status); err != nil {
			t.Errorf("%s: %v in %s", target, err, got)
		}
		if code != http.StatusNotFound || status.Code != code || status.Kind != "Status" || status.Status != "Failure" ||
			status.Reason != "NotFound" || !strings.Contains(status.Message, says) {
			t.Errorf("%s: %d %s, want a Status 404 that says %q", target, code, got, says)
		}
	}
	// A namespace without values has no pods, which is no error of a metrics server.
	code, got := ask(handler, http.MethodGet, "/apis/metrics.k8s.io/v1beta1/namespaces/other/pods", "")
	if code != http.StatusOK {
		t.Errorf("pods of a namespace without values: %d %s", code, got)
	}
}

func TestSelectors(t *testing.T) {
	handler := stub(t)
	for query, want := range map[string][]string{
		"":                                 {"db-0", "web-0", "web-1"},
		"labelSelector=":                   {"db-0", "web-0", "web-1"},
		"labelSelector=app":                {"db-0", "web-0", "web-1"},
		"labelSelector=zone":               {"web-0", "web-1"},
		"labelSelector=!zone":              {"db-0"},
		"labelSelector=app%3Dweb,zone%3Db": {"web-1"},
		"labelSelector=app!%3Dweb":         {"db-0"},
		"labelSelector=zone+in+(a,c)":      {"web-0"},
		"labelSelector=zone+notin+(a)":     {"db-0", "web-1"},
		"labelSelector=app%3Dno":           nil,
	} {
		code, got := ask(handler, http.MethodGet, "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods?"+query, "")
		var list struct {
			Items []struct{ Metadata struct{ Name string } }
		}
		if err := json.Unmarshal([]byte(got), &list); err != nil || code != http.StatusOK {
			t.Errorf("%q: %d %s (%v)", query, code, got, err)
		}
		var names []string
		for _, item := range list.Items {
			names = append(names, item.Metadata.Name)
		}
		if !reflect.DeepEqual(names, want) {
			t.Errorf("%q selects %v, want %v", query, names, want)
		}
	}
	if code, got := ask(handler, http.MethodGet, "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods?labelSelector=a+b", ""); code != http.StatusBadRequest {
		t.Errorf("a bad selector: %d %s", code, got)
	}
}
