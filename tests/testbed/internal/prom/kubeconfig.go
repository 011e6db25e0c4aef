package prom

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// Access is how Prometheus reaches an API server. Secrets are files, since
// Prometheus takes them by name.
type Access struct {
	Server     *url.URL
	CA         string // file; empty: the system's authorities
	ServerName string // to expect in the certificate, if not the host
	Insecure   bool
	Cert, Key  string // files of a client certificate
	Token      string // file of a bearer token
	User, Pass string // name, and file of the password
}

// kubeconfig is the part of a kubeconfig that is about access.
type kubeconfig struct {
	CurrentContext string `json:"current-context"`
	Contexts       []struct {
		Name    string `json:"name"`
		Context struct {
			Cluster string `json:"cluster"`
			User    string `json:"user"`
		} `json:"context"`
	} `json:"contexts"`
	Clusters []struct {
		Name    string  `json:"name"`
		Cluster cluster `json:"cluster"`
	} `json:"clusters"`
	Users []struct {
		Name string `json:"name"`
		User user   `json:"user"`
	} `json:"users"`
}

type cluster struct {
	Server   string `json:"server"`
	CA       string `json:"certificate-authority"`
	CAData   string `json:"certificate-authority-data"`
	Insecure bool   `json:"insecure-skip-tls-verify"`
	TLSName  string `json:"tls-server-name"`
	ProxyURL string `json:"proxy-url"`
}

type user struct {
	Cert         string `json:"client-certificate"`
	CertData     string `json:"client-certificate-data"`
	Key          string `json:"client-key"`
	KeyData      string `json:"client-key-data"`
	Token        string `json:"token"`
	TokenFile    string `json:"tokenFile"`
	Username     string `json:"username"`
	Password     string `json:"password"`
	Exec         any    `json:"exec"`
	AuthProvider any    `json:"auth-provider"`
	Impersonate  string `json:"as"`
}

// ReadAccess takes the current context of a kubeconfig apart and stores its
// secrets as files of mode 0600 in the given folder.
func ReadAccess(path, folder string) (Access, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Access{}, fmt.Errorf("read the kubeconfig: %w", err)
	}
	var config kubeconfig
	if err := yaml.Unmarshal(data, &config); err != nil {
		return Access{}, fmt.Errorf("read the kubeconfig %s: %w", path, err)
	}
	cluster, user, err := config.current()
	if err == nil {
		err = refuse(cluster, user)
	}
	if err != nil {
		return Access{}, fmt.Errorf("kubeconfig %s: %w", path, err)
	}
	server, err := url.Parse(cluster.Server)
	if err != nil || server.Host == "" {
		return Access{}, fmt.Errorf("kubeconfig %s: the server %q is no URL", path, cluster.Server)
	}
	access := Access{Server: server, ServerName: cluster.TLSName, Insecure: cluster.Insecure, User: user.Username}
	secrets := extraction{base: filepath.Dir(path), folder: folder}
	access.CA = secrets.encoded("ca.crt", cluster.CA, cluster.CAData)
	access.Cert = secrets.encoded("client.crt", user.Cert, user.CertData)
	access.Key = secrets.encoded("client.key", user.Key, user.KeyData)
	access.Token = secrets.plain("token", user.TokenFile, user.Token)
	access.Pass = secrets.plain("password", "", user.Password)
	if secrets.err != nil {
		return Access{}, fmt.Errorf("kubeconfig %s: %w", path, secrets.err)
	}
	return access, nil
}

// refuse names what Prometheus can't do by itself.
func refuse(cluster cluster, user user) error {
	const way = "give one with a certificate or a token, such as of a service account (kubectl create token)"
	switch {
	case user.Exec != nil:
		return errors.New("its user is authenticated by a plugin (exec), which Prometheus can't run: " + way)
	case user.AuthProvider != nil:
		return errors.New("its user is authenticated by an auth-provider, which Prometheus can't run: " + way)
	case user.Impersonate != "":
		return errors.New("its user impersonates another, which Prometheus can't do: " + way)
	case cluster.ProxyURL != "":
		return errors.New("its cluster is behind a proxy (proxy-url), which is not supported: give one that reaches the server directly")
	}
	return nil
}

// current finds the cluster and the user of the current context.
func (k kubeconfig) current() (cluster, user, error) {
	var context struct{ cluster, user string }
	found := false
	for _, c := range k.Contexts {
		if c.Name == k.CurrentContext {
			context.cluster, context.user, found = c.Context.Cluster, c.Context.User, true
		}
	}
	if !found {
		return cluster{}, user{}, fmt.Errorf("its current context %q does not exist: choose one with kubectl config use-context", k.CurrentContext)
	}
	var who user
	for _, u := range k.Users {
		if u.Name == context.user {
			who = u.User
		}
	}
	for _, c := range k.Clusters {
		if c.Name == context.cluster {
			return c.Cluster, who, nil
		}
	}
	return cluster{}, user{}, fmt.Errorf("its current context names the cluster %q, which it does not have", context.cluster)
}

// extraction turns values into files, and keeps the first error.
type extraction struct {
	base   string // of relative file names: the kubeconfig's own folder
	folder string // where extracted values go
	err    error
}

// encoded is for values in base64; a value inside the kubeconfig wins over a
// file, as it does for kubectl.
func (e *extraction) encoded(name, file, value string) string {
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value))
	if err != nil && e.err == nil {
		e.err = fmt.Errorf("the value for %s is not base64: %w", name, err)
	}
	return e.plain(name, file, string(decoded))
}

func (e *extraction) plain(name, file, value string) string {
	switch {
	case value != "":
		path := filepath.Join(e.folder, name)
		if err := os.WriteFile(path, []byte(value), 0o600); err != nil && e.err == nil {
			e.err = err
		}
		return path
	case file != "" && !filepath.IsAbs(file):
		return filepath.Join(e.base, file)
	}
	return file
}
