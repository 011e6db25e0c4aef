package metricsstub

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func TestADocumentIsShownAsSet(t *testing.T) {
	control := Control(NewStore())
	if code, body := ask(control, http.MethodGet, "/namespaces/shop", ""); code != http.StatusNotFound {
		t.Errorf("before: %d %s", code, body)
	}
	if code, body := ask(control, http.MethodPut, "/namespaces/shop", document); code != http.StatusNoContent {
		t.Fatalf("%d %s", code, body)
	}
	code, got := ask(control, http.MethodGet, "/namespaces/shop", "")
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, got)
	}
	// Empty lists say nothing more than their absence would, and go as they came.
	check(t, "the document", got, document)
	if code, body := ask(control, http.MethodDelete, "/namespaces/shop", ""); code != http.StatusNoContent {
		t.Errorf("delete: %d %s", code, body)
	}
	if code, _ := ask(control, http.MethodGet, "/namespaces/shop", ""); code != http.StatusNotFound {
		t.Error("the namespace is still there")
	}
}

func TestAddingLeavesTheRest(t *testing.T) {
	control := Control(NewStore())
	for _, step := range []struct{ method, body, want string }{
		{http.MethodPut, `{"pods":{"a":{"labels":{"x":"1"}}},"custom":{"m":{"a":"1"}},"external":{"q":[{"value":"1"}]}}`,
			`{"pods":{"a":{"labels":{"x":"1"}}},"custom":{"m":{"a":"1"}},"external":{"q":[{"value":"1"}]}}`},
		{http.MethodPatch, `{"pods":{"b":{}},"custom":{"m":{"b":"2"},"n":{"a":"3"}},"external":{"r":[]},"objects":{"o":{"services/s":"4"}}}`,
			`{"pods":{"a":{"labels":{"x":"1"}},"b":{}},"custom":{"m":{"a":"1","b":"2"},"n":{"a":"3"}},
			"external":{"q":[{"value":"1"}],"r":[]},"objects":{"o":{"services/s":"4"}}}`},
		// An entry is replaced as a whole.
		{http.MethodPatch, `{"pods":{"a":{"containers":{}}},"custom":{"m":{"a":"5"}},"external":{"q":[{"value":"6"}]}}`,
			`{"pods":{"a":{"containers":{}},"b":{}},"custom":{"m":{"a":"5","b":"2"},"n":{"a":"3"}},
			"external":{"q":[{"value":"6"}],"r":[]},"objects":{"o":{"services/s":"4"}}}`},
		{http.MethodPut, `{}`, `{}`},
	} {
		if code, body := ask(control, step.method, "/namespaces/shop", step.body); code != http.StatusNoContent {
			t.Fatalf("%s: %d %s", step.body, code, body)
		}
		_, got := ask(control, http.MethodGet, "/namespaces/shop", "")
		check(t, step.method+" "+step.body, got, step.want)
	}
}

func TestABadDocumentChangesNothing(t *testing.T) {
	control := Control(NewStore())
	if code, body := ask(control, http.MethodPut, "/namespaces/shop", document); code != http.StatusNoContent {
		t.Fatalf("%d %s", code, body)
	}
	for body, says := range map[string]string{
		`{"pods": {"a": {"cpu": "1"}}}`:                            `"cpu"`,
		`{"external": {"q": [{"value": "many"}]}}`:                 "quantities must match",
		`{"pods": {"a": {"containers": {"main": {"cpu": "1x"}}}}}`: "quantities must match",
		`{"pods": {"a": {"timestamp": "noon"}}}`:                   "noon",
		`{"custom": {"rps": {"nowhere": "1"}}}`:                    `"nowhere"`,
		`{} {}`:                                                    "more than one",
		``:                                                         "EOF",
	} {
		for _, method := range []string{http.MethodPut, http.MethodPatch} {
			code, got := ask(control, method, "/namespaces/shop", body)
			if code != http.StatusBadRequest || !strings.Contains(got, says) {
				t.Errorf("%s %s: %d %q, want 400 that says %q", method, body, code, got, says)
			}
		}
	}
	_, got := ask(control, http.MethodGet, "/namespaces/shop", "")
	check(t, "the document", got, document)
}

func TestObjectsLeadToTheStub(t *testing.T) {
	objects := Objects(netip.MustParseAddrPort("10.213.77.1:40000"), []byte("ca"))
	var paths []string
	for _, object := range objects {
		paths = append(paths, object.Path)
	}
	want := []string{
		"/api/v1/namespaces/kube-system/services/flyball-metrics",
		"/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices/flyball-metrics",
		"/apis/apiregistration.k8s.io/v1/apiservices/v1beta2.custom.metrics.k8s.io",
		"/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io",
		"/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io",
	}
	if strings.Join(paths, "\n") != strings.Join(want, "\n") {
		t.Errorf("paths %q, want %q", paths, want)
	}
	data, err := json.Marshal(objects[1].Body)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "the EndpointSlice", string(data), `{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice",
		"metadata":{"name":"flyball-metrics","namespace":"kube-system","labels":{
			"kubernetes.io/service-name":"flyball-metrics","endpointslice.kubernetes.io/managed-by":"flyball-testbed"}},
		"addressType":"IPv4","ports":[{"name":"https","protocol":"TCP","port":40000}],
		"endpoints":[{"addresses":["10.213.77.1"],"conditions":{"ready":true}}]}`)
	data, err = json.Marshal(objects[4].Body)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "the APIService", string(data), `{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService",
		"metadata":{"name":"v1beta1.metrics.k8s.io"},
		"spec":{"group":"metrics.k8s.io","version":"v1beta1","groupPriorityMinimum":100,"versionPriority":100,"caBundle":"Y2E=",
			"service":{"namespace":"kube-system","name":"flyball-metrics","port":443}}}`)
	if Host != "flyball-metrics.kube-system.svc" {
		t.Errorf("kube-apiserver expects another name than %s", Host)
	}
}
