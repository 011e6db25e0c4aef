package packages

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func wheelOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	for name, text := range files {
		file, err := archive.Create(name)
		if err == nil {
			_, err = file.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestOnlyTheReleasedWheelIsUnpacked(t *testing.T) {
	wheel := Wheel{name: "proxy", version: "1", program: "proxy.data/scripts/proxy"}
	good := wheelOf(t, map[string]string{"proxy.data/scripts/proxy": "#!/bin/true\n", "METADATA": ""})
	other := wheelOf(t, map[string]string{"METADATA": ""})
	sum := func(data []byte) string {
		is := sha256.Sum256(data)
		return hex.EncodeToString(is[:])
	}
	for name, c := range map[string]struct {
		archive []byte
		sum     string
		want    string // in the error; empty: none
	}{
		"as released":             {good, sum(good), ""},
		"another file":            {good, sum(other), "must be " + sum(other)},
		"without the program":     {other, sum(other), "it holds METADATA"},
		"not a wheel, but pinned": {[]byte("no"), sum([]byte("no")), "not a valid zip file"},
	} {
		path := filepath.Join(t.TempDir(), "below", "proxy")
		err := wheel.unpack(c.archive, c.sum, path)
		info, statErr := os.Stat(path)
		if c.want == "" {
			if err != nil || statErr != nil || info.Mode().Perm() != 0o755 {
				t.Errorf("%s: %v, %v", name, err, statErr)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || statErr == nil {
			t.Errorf("%s: error %v, want one with %q, and nothing unpacked (%v)", name, err, c.want, statErr)
		}
	}
}

func TestOnlyTheReleasedModuleIsTaken(t *testing.T) {
	module := Module{path: "example.com/api", version: "v1.0.0", sum: "h1:right", folder: "config/crd"}
	for name, c := range map[string]struct {
		out     string
		failure error
		want    string // the folder, or what the error has
	}{
		"there":        {`{"Dir":"/cache/api@v1.0.0","Sum":"h1:right"}`, nil, "/cache/api@v1.0.0/config/crd"},
		"another":      {`{"Dir":"/cache/api@v1.0.0","Sum":"h1:wrong"}`, nil, "must have h1:right"},
		"no way to it": {`{"Error":"dial tcp: no route to host"}`, errors.New("exit status 1"), "no route to host"},
		"no Go":        {"", errors.New("executable file not found"), "executable file not found"},
		"no answer":    {"", nil, "unexpected end of JSON"},
	} {
		folder, err := module.read([]byte(c.out), c.failure)
		if got := folder; err != nil {
			if got = err.Error(); folder != "" || !strings.Contains(got, c.want) {
				t.Errorf("%s: %q and error %v, want %q", name, folder, err, c.want)
			}
		} else if folder != c.want {
			t.Errorf("%s: %q, want %q", name, folder, c.want)
		}
	}
}

func TestNamesAreReadFromAptsUris(t *testing.T) {
	const said = `Reading package lists...
The following NEW packages will be installed:
  libuv1 nodejs
'http://deb.example/pool/main/n/nodejs/nodejs_18.13.0+dfsg1-1_amd64.deb' nodejs_18.13.0+dfsg1-1_amd64.deb 319000 SHA256:00
'http://deb.example/pool/main/libu/libuv1/libuv1_1.44_amd64.deb' libuv1_1.44_amd64.deb 136000 SHA256:00
`
	if got, want := archived(said), []string{"nodejs", "libuv1"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := archived("0 upgraded, 0 newly installed\n"); len(got) != 0 {
		t.Errorf("nothing is to be installed, and %v is fetched", got)
	}
}
