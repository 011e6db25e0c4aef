package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const base = "https://example.com/releases/v1.2.3/"

// The names of the archives in the template, and a folder with a file for each.
func archives(t *testing.T, template, release string) (string, []string) {
	t.Helper()
	folder, names := t.TempDir(), []string{}
	for _, found := range digest.FindAllStringSubmatch(template, -1) {
		name := "flyball-" + release + "-" + found[1]
		if err := os.WriteFile(filepath.Join(folder, name), []byte(found[1]), 0o600); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return folder, names
}

func template(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("flyball.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What krew's own index asks of a manifest, but for fetching the archives.
func TestKrewTakesIt(t *testing.T) {
	folder, names := archives(t, template(t), "v1.2.3")
	filled, err := fill(template(t), "v1.2.3", base, folder)
	if err != nil {
		t.Fatal(err)
	}
	// sha256sum of the suffix, which is the file's content.
	for _, expect := range []string{
		"version: v1.2.3\n",
		"uri: https://example.com/releases/v1.2.3/" + names[0] + "\n",
		"sha256: e10de2905fcd159cd822974e85043956109afc6cb177ac383f8e3e501daad98f\n",
	} {
		if !strings.Contains(filled, expect) {
			t.Errorf("%q is not in\n%s", expect, filled)
		}
	}
	check := func(manifest string, taken bool) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "flyball.yaml")
		if err := os.WriteFile(path, []byte(manifest), 0o600); err != nil {
			t.Fatal(err)
		}
		validator := exec.Command("go", "tool", "validate-krew-manifest", "-manifest", path, "-skip-install")
		if said, err := validator.CombinedOutput(); (err == nil) != taken {
			t.Errorf("taken: %v, expected %v: %s", err == nil, taken, said)
		}
	}
	check(filled, true)
	// The validator would see.
	check(strings.Replace(filled, "bin: flyball\n", "binary: flyball\n", 1), false)
	check(template(t), false)
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	folder, names := archives(t, template(t), "v1.2.3")
	for _, wrong := range []struct{ version, base, expect string }{
		{"1.2.3", base, "write it as v1.2.3"},
		{"v1.2.3", "http://example.com", "https://"},
		{"v1.2.4", base, "make cross"},
	} {
		_, err := fill(template(t), wrong.version, wrong.base, folder)
		if err == nil || !strings.Contains(err.Error(), wrong.expect) {
			t.Errorf("%v: %v", wrong, err)
		}
	}
	if len(names) != 3 {
		t.Errorf("%d archives", len(names))
	}
}
