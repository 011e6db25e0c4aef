package runtimes

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func TestAMountContainsWhatLiesBelowIt(t *testing.T) {
	got := outermost([]string{"/usr/lib/jvm/17", "/lib/ld.so", "/usr/lib/jvm/17/bin/java", "/usr/lib/jvm/17-other", "/lib/ld.so"})
	if want := []string{"/lib/ld.so", "/usr/lib/jvm/17", "/usr/lib/jvm/17-other"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestVolumesAreNamedAsKubernetesTakesThem(t *testing.T) {
	label := regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	known := map[string]string{}
	for _, path := range []string{
		"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64/ld-linux-x86-64.so.2", "/opt/Üben", "/ü", "/",
		"/" + strings.Repeat("long.", 40),
	} {
		name := volumeName(path)
		if !label.MatchString(name) || name != volumeName(path) {
			t.Errorf("%s: %q", path, name)
		}
		if other, taken := known[name]; taken {
			t.Errorf("%s and %s are both %s", path, other, name)
		}
		known[name] = path
	}
}

func TestAPodSeesAPlaceWhereItIsAndByItsRealPath(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	real, link := filepath.Join(root, "real"), filepath.Join(root, "link")
	if err := os.Mkdir(real, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", link); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(real, "bin", "node")
	got := place{program: program, version: "20.1.0", binds: same(real), env: map[string]string{"A": "b"}}.runtime([]string{link})
	want := Runtime{
		Image: Image, Command: []string{program}, Version: "20.1.0", Env: map[string]string{"A": "b"},
		Mounts: []Mount{{volumeName(link), real, link}, {volumeName(real), real, real}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestAJavaIsKnownByTheFileInIt(t *testing.T) {
	root := t.TempDir()
	kit := func(name, release string) string {
		home := filepath.Join(root, "usr/lib/jvm", name)
		if err := os.MkdirAll(filepath.Join(home, "bin"), 0o755); err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{"bin/java": "", "release": release} {
			if err := os.WriteFile(filepath.Join(home, file), []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		return home
	}
	kit("a-damaged", "")
	kit("b-old", "JAVA_VERSION=\"1.8.0_402\"\n")
	settled := kit("c-17", "IMPLEMENTOR=\"Debian\"\nJAVA_VERSION=\"17.0.15\"\n")
	kit("d-21", "JAVA_VERSION=\"21\"\n")
	// A kit's settings are below /etc, by an absolute link; another link leads to nothing.
	if err := os.MkdirAll(filepath.Join(root, "etc/java-17"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/java-17/jvm.cfg"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"jvm.cfg": "/etc/java-17/jvm.cfg", "src.zip": "/etc/nowhere/src.zip", "docs": "/usr/share/doc"} {
		if err := os.Symlink(target, filepath.Join(settled, link)); err != nil {
			t.Fatal(err)
		}
	}
	at := search{root: root}
	for major, want := range map[string]string{"17": "17.0.15", "21": "21", "1": "1.8.0_402"} {
		if got, err := at.java(major); err != nil || got.version != want {
			t.Errorf("Java %s: %+v (%v), want %s", major, got, err, want)
		}
	}
	for _, major := range []string{"2", "7", "11", "25"} {
		if got, err := at.java(major); err == nil {
			t.Errorf("Java %s: %+v", major, got)
		}
	}
	got, err := at.java("17")
	real, _ := filepath.EvalSymlinks(settled)
	if err != nil || got.program != filepath.Join(real, "bin/java") {
		t.Errorf("%+v (%v)", got, err)
	}
	if want := []bind{{filepath.Join(root, "etc/java-17"), "/etc/java-17"}, {real, real}}; !reflect.DeepEqual(got.binds, want) {
		t.Errorf("%v, want %v", got.binds, want)
	}
}

func TestTheLoadersListIsRead(t *testing.T) {
	got, err := libraryFolders("\tlinux-vdso.so.1 (0x00007ffd)\n\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f2d)\n" +
		"\tlibjli.so => /opt/kit/bin/../lib/libjli.so (0x00007f2e)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f2f)\n")
	if want := []string{"/lib/x86_64-linux-gnu", "/opt/kit/lib"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v (%v), want %v", got, err, want)
	}
	if _, err := libraryFolders("\tlibnode.so.1 => not found\n"); err == nil || !strings.Contains(err.Error(), "libnode.so.1 is not on this machine") {
		t.Errorf("a library that is missing: %v", err)
	}
}

func TestAScriptIsNoProgram(t *testing.T) {
	script := filepath.Join(t.TempDir(), "python3")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Libraries(script, nil); err == nil || !strings.Contains(err.Error(), script) {
		t.Errorf("%v", err)
	}
}

func TestWhatIsPrintedIsOneObject(t *testing.T) {
	var out bytes.Buffer
	found := map[string]Runtime{
		"node": {Missing: "no Node"},
		"java": {Image: Image, Command: []string{"/java"}, Version: "17", Mounts: []Mount{{"a", "/b", "/c"}}},
	}
	if err := Print(&out, found); err != nil {
		t.Fatal(err)
	}
	var read map[string]Runtime
	if err := json.Unmarshal(out.Bytes(), &read); err != nil || !reflect.DeepEqual(read, found) {
		t.Errorf("%s: %v", out.String(), err)
	}
	if lines := strings.Count(out.String(), "\n"); lines != 2 {
		t.Errorf("%d lines for two runtimes:\n%s", lines, out.String())
	}
	if !strings.Contains(out.String(), `{"name":"a","hostPath":"/b","mountPath":"/c"}`) {
		t.Errorf("mounts are written otherwise: %s", out.String())
	}
}
