package packages

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"flyball.dev/testbed/internal/layout"
)

// Module is a folder of files in a Go module that nothing is compiled from.
// This program does not require it: that would move versions of what it is
// built of.
type Module struct {
	path, version string
	sum           string // as in go.sum
	folder        string
}

// GatewayAPI are the definitions of the Gateway API's standard channel.
var GatewayAPI = Module{
	path: "sigs.k8s.io/gateway-api", version: "v1.6.3",
	sum:    "h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc=",
	folder: "config/crd/standard",
}

// EnsureModule brings the module into Go's module cache, if it is not there
// yet, and returns the path of its folder.
func EnsureModule(dir layout.Dir, module Module) (string, error) {
	wanted := module.path + "@" + module.version
	cmd := exec.Command("go", "mod", "download", "-json", wanted)
	// Outside of any module, so that no go.mod has a say.
	cmd.Dir = string(dir)
	cmd.Env = append(os.Environ(), "GO111MODULE=on", "GOWORK=off", "GOFLAGS=-mod=mod", "GOTOOLCHAIN=local")
	out, err := cmd.Output()
	return module.read(out, err)
}

// read takes the answer of go mod download.
func (m Module) read(out []byte, failure error) (string, error) {
	var answer struct{ Dir, Sum, Error string }
	if err := json.Unmarshal(out, &answer); err != nil && failure == nil {
		failure = err
	}
	switch {
	case answer.Error != "":
		return "", fmt.Errorf("fetch the Go module %s %s (is there a way to the modules?): %s", m.path, m.version, answer.Error)
	case failure != nil:
		return "", fmt.Errorf("fetch the Go module %s %s: %w", m.path, m.version, failure)
	case answer.Sum != m.sum:
		return "", fmt.Errorf("the Go module %s %s has the sum %s and must have %s: it is not what was released", m.path, m.version, answer.Sum, m.sum)
	}
	return filepath.Join(answer.Dir, filepath.FromSlash(m.folder)), nil
}
