// Package gateway describes a real gateway: Traefik's command line, and what it
// needs in the cluster.
package gateway

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

const (
	// Namespace and Name are those of the Gateway; Name is also the class's.
	Namespace = "flyball-gateway"
	Name      = "flyball"
	// User is who Traefik is to the API server.
	User = "flyball-gateway"

	group      = "gateway.networking.k8s.io"
	controller = "traefik.io/gateway-controller"
	gateways   = "/apis/" + group + "/v1/namespaces/" + Namespace + "/gateways/"
)

// Path is the Gateway's, and ClassPath its class's.
const (
	Path      = gateways + Name
	ClassPath = "/apis/" + group + "/v1/gatewayclasses/" + Name
	rolePath  = "/apis/rbac.authorization.k8s.io/v1/clusterroles/" + User
	boundPath = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/" + User
)

// Object is something to apply at its path.
type Object struct {
	Path string
	Body map[string]any
}

// Objects are what makes a Traefik that listens on a port the cluster's gateway:
// rights as its documentation asks for, a class, and a Gateway that takes routes of all
// namespaces. Traefik knows its entrypoint by the port alone.
func Objects(port int) []Object {
	return []Object{
		{"/api/v1/namespaces/" + Namespace, object("v1", "Namespace", map[string]any{"name": Namespace}, nil)},
		{rolePath, object("rbac.authorization.k8s.io/v1", "ClusterRole", map[string]any{"name": User}, map[string]any{"rules": []any{
			rule("", []string{"namespaces", "services", "secrets", "configmaps"}, "get", "list", "watch"),
			rule("discovery.k8s.io", []string{"endpointslices"}, "get", "list", "watch"),
			rule(group, kinds(""), "get", "list", "watch"),
			rule(group, kinds("/status"), "update"),
		}})},
		{boundPath, object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", map[string]any{"name": User}, map[string]any{
			"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": User},
			"subjects": []any{map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": User}},
		})},
		{ClassPath, object(group+"/v1", "GatewayClass", map[string]any{"name": Name}, map[string]any{
			"spec": map[string]any{"controllerName": controller},
		})},
		{Path, object(group+"/v1", "Gateway", map[string]any{"name": Name, "namespace": Namespace}, map[string]any{
			"spec": map[string]any{
				"gatewayClassName": Name,
				"listeners": []any{map[string]any{
					"name": Entrypoint, "port": port, "protocol": "HTTP",
					"allowedRoutes": map[string]any{"namespaces": map[string]any{"from": "All"}},
				}},
			},
		})},
	}
}

// Removed are the paths to delete when the gateway goes, in this order. The
// namespace stays, since it would be gone only some time later.
func Removed() []string { return []string{Path, ClassPath, boundPath, rolePath} }

func kinds(suffix string) []string {
	var all []string
	for _, kind := range []string{"gatewayclasses", "gateways", "httproutes", "grpcroutes", "tlsroutes", "referencegrants", "backendtlspolicies"} {
		all = append(all, kind+suffix)
	}
	return all
}

func rule(group string, resources []string, verbs ...string) map[string]any {
	return map[string]any{"apiGroups": []string{group}, "resources": resources, "verbs": verbs}
}

func object(version, kind string, metadata, rest map[string]any) map[string]any {
	all := map[string]any{"apiVersion": version, "kind": kind, "metadata": metadata}
	for key, value := range rest {
		all[key] = value
	}
	return all
}

// Definitions reads the custom resource definitions among the YAML files of a folder.
func Definitions(folder string) ([]Object, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return nil, err
	}
	var found []Object
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var body map[string]any
		if err := yaml.Unmarshal(data, &body); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		metadata, _ := body["metadata"].(map[string]any)
		name, _ := metadata["name"].(string)
		if body["kind"] == "CustomResourceDefinition" && name != "" {
			found = append(found, Object{"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/" + name, body})
		}
	}
	if len(found) == 0 {
		return nil, errors.New("there is no custom resource definition in " + folder)
	}
	return found, nil
}
