package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The release signs by a script, because Central takes nothing without signatures.
func TestTheBundleIsSigned(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"gpg", "zip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("there is no %s here; only a release needs it", tool)
		}
	}
	u := newUser(t)
	central := unpacked(t, u)
	// A socket's path has to be short, which a test's folder is not.
	keys, err := os.MkdirTemp("", "gpg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		exec.Command("gpgconf", "--homedir", keys, "--kill", "gpg-agent").Run()
		os.RemoveAll(keys)
	})
	u.env = append(u.env, "GNUPGHOME="+keys, "TMPDIR="+os.TempDir())
	u.run("gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "secret", "--quick-generate-key", "Flyball <flyball@localhost>", "ed25519", "sign")
	key := u.run("gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase", "secret", "--armor", "--export-secret-keys")
	script, err := filepath.Abs("sign")
	if err != nil {
		t.Fatal(err)
	}
	u.with("GPG_KEY="+key, "GPG_PASSPHRASE=secret").run(script, "central", "signed.zip")

	files := archived(t, filepath.Join(u.dir, "signed.zip"))
	plain := archived(t, one(t, "*-bundle.zip"))
	signatures := 0
	for name := range plain {
		if files[name] != plain[name] {
			t.Errorf("%s is not what it was", name)
		}
		if strings.HasSuffix(name, ".md5") || strings.HasSuffix(name, ".sha1") {
			continue
		}
		signatures++
		u.write("signature", files[name+".asc"])
		u.run("gpg", "--batch", "--verify", "signature", filepath.Join(central, name))
	}
	if signatures != 8 || len(files) != len(plain)+signatures {
		t.Errorf("%d files are signed and %d are in the bundle, not 8 and %d", signatures, len(files), len(plain)+8)
	}
}
