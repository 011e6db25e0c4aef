package gateway

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestObjectsAreWhatTheirPathsSay(t *testing.T) {
	var paths []string
	for _, object := range Objects(21700) {
		metadata := object.Body["metadata"].(map[string]any)
		want := strings.TrimPrefix(strings.TrimPrefix(object.Path, "/apis/"), "/api/")
		version := object.Body["apiVersion"].(string)
		if !strings.HasPrefix(want, version+"/") || filepath.Base(want) != metadata["name"] {
			t.Errorf("%s is for %s %v", object.Path, version, metadata["name"])
		}
		if namespace, has := metadata["namespace"]; has && !strings.Contains(want, "/namespaces/"+namespace.(string)+"/") {
			t.Errorf("%s is not in %s", object.Path, namespace)
		}
		paths = append(paths, object.Path)
	}
	for _, path := range Removed() {
		if !slices.Contains(paths, path) {
			t.Errorf("%s is removed, but never made", path)
		}
	}
}

// Traefik finds the entrypoint of a listener by its port.
func TestTheListenersPortIsTheEntrypoints(t *testing.T) {
	objects := Objects(21700)
	gateway, err := json.Marshal(objects[len(objects)-1].Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"kind":"Gateway"`, `"port":21700`, `"namespaces":{"from":"All"}`} {
		if !strings.Contains(string(gateway), part) {
			t.Errorf("%s does not have %s", gateway, part)
		}
	}
	args := Args("127.0.0.1:21700", "127.0.0.1:21701")
	for _, arg := range []string{"--entrypoints.web.address=127.0.0.1:21700", "--entrypoints.metrics.address=127.0.0.1:21701", "--metrics.prometheus.entrypoint=metrics"} {
		if !slices.Contains(args, arg) {
			t.Errorf("%v does not have %s", args, arg)
		}
	}
}

func TestOnlyDefinitionsAreTakenFromAFolder(t *testing.T) {
	folder := t.TempDir()
	if _, err := Definitions(folder); err == nil || !strings.Contains(err.Error(), folder) {
		t.Errorf("an empty folder is taken: %v", err)
	}
	for name, text := range map[string]string{
		"a.yaml": "# A comment.\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: routes.example.com}\n",
		"b.yaml": "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {name: b}\n",
		"c.txt":  "kind: CustomResourceDefinition",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found, err := Definitions(folder)
	const want = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/routes.example.com"
	if err != nil || len(found) != 1 || found[0].Path != want {
		t.Errorf("found %v (%v), want %s", found, err, want)
	}
}
