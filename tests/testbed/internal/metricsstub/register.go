package metricsstub

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The Service by which kube-apiserver reaches the stub, and the name that the
// stub's certificate must have.
const (
	service   = "flyball-metrics"
	namespace = "kube-system"
	Host      = service + "." + namespace + ".svc"
)

// Object is an object of the cluster, to be applied at its path.
type Object struct {
	Path string
	Body map[string]any
}

// Objects make the stub, which listens on an address that kube-apiserver may
// dial, a part of the cluster's API. The APIServices come last: each is asked
// for its answer as soon as it is there.
func Objects(listen netip.AddrPort, ca []byte) []Object {
	core := fmt.Sprintf("/api/v1/namespaces/%s/services/%s", namespace, service)
	slice := fmt.Sprintf("/apis/discovery.k8s.io/v1/namespaces/%s/endpointslices/%s", namespace, service)
	objects := []Object{
		{core, object("v1", "Service", map[string]any{"name": service, "namespace": namespace}, map[string]any{
			// Without a selector: nobody but us writes the addresses.
			"spec": map[string]any{"ports": []any{map[string]any{"name": "https", "protocol": "TCP", "port": 443, "targetPort": listen.Port()}}},
		})},
		{slice, object("discovery.k8s.io/v1", "EndpointSlice", map[string]any{
			"name": service, "namespace": namespace,
			"labels": map[string]any{"kubernetes.io/service-name": service, "endpointslice.kubernetes.io/managed-by": "flyball-testbed"},
		}, map[string]any{
			"addressType": "IPv4",
			"ports":       []any{map[string]any{"name": "https", "protocol": "TCP", "port": listen.Port()}},
			"endpoints":   []any{map[string]any{"addresses": []any{listen.Addr().String()}, "conditions": map[string]any{"ready": true}}},
		})},
	}
	for _, version := range Versions() {
		objects = append(objects, Object{APIServicePath(version), object(
			"apiregistration.k8s.io/v1", "APIService", map[string]any{"name": version.Version + "." + version.Group}, map[string]any{
				"spec": map[string]any{
					"group": version.Group, "version": version.Version, "groupPriorityMinimum": 100, "versionPriority": 100,
					"service":  map[string]any{"namespace": namespace, "name": service, "port": 443},
					"caBundle": ca, // as base64, like all bytes in JSON
				},
			})})
	}
	return objects
}

func object(version, kind string, metadata, rest map[string]any) map[string]any {
	rest["apiVersion"], rest["kind"], rest["metadata"] = version, kind, metadata
	return rest
}

// Versions are the API versions that the stub serves, in a fixed order.
func Versions() []schema.GroupVersion {
	return slices.SortedFunc(maps.Keys(groups), func(a, b schema.GroupVersion) int {
		return slices.Compare([]string{a.Group, a.Version}, []string{b.Group, b.Version})
	})
}

// APIServicePath is where a version is registered.
func APIServicePath(version schema.GroupVersion) string {
	return "/apis/apiregistration.k8s.io/v1/apiservices/" + version.Version + "." + version.Group
}
