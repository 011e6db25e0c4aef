package prom

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// client reads pods and nodes from an API server. Three requests do not need more
// than the standard library.
type client struct {
	access Access
	http   *http.Client
}

func newClient(access Access) (*client, error) {
	config := &tls.Config{ServerName: access.ServerName, InsecureSkipVerify: access.Insecure}
	if access.CA != "" {
		ca, err := os.ReadFile(access.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("%s holds no certificate", access.CA)
		}
	}
	if access.Cert != "" {
		pair, err := tls.LoadX509KeyPair(access.Cert, access.Key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return &client{access: access, http: &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: config,
	}}}, nil
}

// pod is the part of a pod that discovery reads.
type pod struct {
	Metadata struct {
		Name            string            `json:"name"`
		Namespace       string            `json:"namespace"`
		ResourceVersion string            `json:"resourceVersion"`
		Annotations     map[string]string `json:"annotations"`
	} `json:"metadata"`
	Status struct {
		Phase string `json:"phase"`
		PodIP string `json:"podIP"`
	} `json:"status"`
}

// event is one line of a watch.
type event struct {
	Type   string `json:"type"`
	Object pod    `json:"object"`
}

// list returns the pods of a namespace, and the version from which to watch.
func (c *client) list(ctx context.Context, namespace string) (pods []pod, version string, err error) {
	body, err := c.get(ctx, podsOf(namespace), nil)
	if err != nil {
		return nil, "", err
	}
	defer body.Close()
	var list struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
		Items []pod `json:"items"`
	}
	if err := json.NewDecoder(body).Decode(&list); err != nil {
		return nil, "", fmt.Errorf("list the pods of %s: %w", namespace, err)
	}
	return list.Items, list.Metadata.ResourceVersion, nil
}

// watch calls back for every change after a version. It returns when the server
// ends the stream, which it does from time to time.
func (c *client) watch(ctx context.Context, namespace, version string, seen func(event)) error {
	body, err := c.get(ctx, podsOf(namespace), url.Values{"watch": {"true"}, "resourceVersion": {version}})
	if err != nil {
		return err
	}
	defer body.Close()
	for decoder := json.NewDecoder(body); ; {
		var next event
		if err := decoder.Decode(&next); err != nil {
			return fmt.Errorf("watch the pods of %s: %w", namespace, err)
		}
		if next.Type == "ERROR" { // most likely the version is too old by now
			return fmt.Errorf("watch the pods of %s: the server ended it", namespace)
		}
		seen(next)
	}
}

// nodes returns where the kubelets are.
func (c *client) nodes(ctx context.Context) ([]Node, error) {
	body, err := c.get(ctx, "api/v1/nodes", nil)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	var list struct {
		Items []struct {
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
			Status struct {
				Addresses []struct {
					Type    string `json:"type"`
					Address string `json:"address"`
				} `json:"addresses"`
				DaemonEndpoints struct {
					KubeletEndpoint struct{ Port int } `json:"kubeletEndpoint"`
				} `json:"daemonEndpoints"`
			} `json:"status"`
		} `json:"items"`
	}
	if err := json.NewDecoder(body).Decode(&list); err != nil {
		return nil, fmt.Errorf("list the nodes: %w", err)
	}
	var found []Node
	for _, item := range list.Items {
		for _, address := range item.Status.Addresses {
			if address.Type == "InternalIP" {
				port := strconv.Itoa(item.Status.DaemonEndpoints.KubeletEndpoint.Port)
				found = append(found, Node{Name: item.Metadata.Name, Kubelet: net.JoinHostPort(address.Address, port)})
				break
			}
		}
	}
	return found, nil
}

func podsOf(namespace string) string { return "api/v1/namespaces/" + namespace + "/pods" }

func (c *client) get(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	target := c.access.Server.JoinPath(path)
	target.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", "flyball-testbed-discovery")
	if err := c.authenticate(request); err != nil {
		return nil, err
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		answer.Body.Close()
		return nil, fmt.Errorf("%s answers %s", target.Redacted(), answer.Status)
	}
	return answer.Body, nil
}

// authenticate reads secrets anew each time: a token file may be renewed.
func (c *client) authenticate(request *http.Request) error {
	switch {
	case c.access.Token != "":
		token, err := os.ReadFile(c.access.Token)
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	case c.access.User != "":
		password, err := os.ReadFile(c.access.Pass)
		if err != nil {
			return err
		}
		request.SetBasicAuth(c.access.User, string(password))
	}
	return nil
}
