package prom

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const head = `
current-context: b
contexts:
- {name: a, context: {cluster: other, user: other}}
- {name: b, context: {cluster: mine, user: me}}
clusters:
- {name: other, cluster: {server: "https://other"}}
`

// read writes a kubeconfig and takes it apart.
func read(t *testing.T, text string) (Access, string, error) {
	t.Helper()
	base := t.TempDir()
	path, folder := filepath.Join(base, "config"), filepath.Join(base, "out")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(head+text), 0o600); err != nil {
		t.Fatal(err)
	}
	access, err := ReadAccess(path, folder)
	return access, base, err
}

func TestEmbeddedSecretsBecomePrivateFiles(t *testing.T) {
	access, _, err := read(t, `
- name: mine
  cluster: {server: "https://10.0.0.1:6443/prefix", certificate-authority-data: Y2E=, tls-server-name: kube}
users:
- name: me
  user: {client-certificate-data: Y2VydA==, client-key-data: a2V5, token: secret}
`)
	if err != nil {
		t.Fatal(err)
	}
	if access.Server.String() != "https://10.0.0.1:6443/prefix" || access.ServerName != "kube" || access.Insecure {
		t.Errorf("%+v", access)
	}
	for file, want := range map[string]string{access.CA: "ca", access.Cert: "cert", access.Key: "key", access.Token: "secret"} {
		data, err := os.ReadFile(file)
		if err != nil || string(data) != want {
			t.Errorf("%s holds %q, %v, want %q", file, data, err, want)
		}
		if info, err := os.Stat(file); err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", file, info.Mode())
		}
	}
}

func TestFilesAreRelativeToTheKubeconfig(t *testing.T) {
	access, base, err := read(t, `
- {name: mine, cluster: {server: "https://x", certificate-authority: pki/ca.crt}}
users:
- {name: me, user: {client-certificate: /abs/me.crt, client-key: me.key, tokenFile: token}}
`)
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		access.CA: base + "/pki/ca.crt", access.Cert: "/abs/me.crt", access.Key: base + "/me.key", access.Token: base + "/token",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestWhatPrometheusCannotDoIsRefusedInOneLine(t *testing.T) {
	const mine = `- {name: mine, cluster: {server: "https://x"}}` + "\n"
	for name, text := range map[string]string{
		"plugin":        mine + `users: [{name: me, user: {exec: {command: cloud-login}}}]`,
		"auth-provider": mine + `users: [{name: me, user: {auth-provider: {name: oidc}}}]`,
		"impersonates":  mine + `users: [{name: me, user: {as: admin}}]`,
		"proxy":         `- {name: mine, cluster: {server: "https://x", proxy-url: "http://p"}}`,
		"base64":        mine + `users: [{name: me, user: {client-key-data: "%%"}}]`,
		"no URL":        `- {name: mine, cluster: {server: "localhost"}}`,
		"does not have": `- {name: unrelated, cluster: {server: "https://x"}}`,
	} {
		_, _, err := read(t, text)
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
