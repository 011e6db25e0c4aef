package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// source is this repository.
var source = tree{root: "../..", repository: homeRepository}

// built is the folder that `make packages` filled.
func built(t *testing.T) string { return folder(t, "FLYBALL_PACKAGES") }

func folder(t *testing.T, variable string) string {
	t.Helper()
	name := os.Getenv(variable)
	if name == "" {
		t.Fatalf("%s names no folder of packages: run make test-packages", variable)
	}
	return name
}

// one is the only file of a pattern among the packages; where the tool that
// makes it is missing the test is skipped, and fails if CI=true.
func one(t *testing.T, pattern string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(built(t), pattern))
	if err != nil {
		t.Fatal(err)
	}
	switch len(names) {
	case 1:
		return names[0]
	case 0:
		skip(t, pattern+" was not built, because its tools are not here")
	}
	t.Fatalf("%s is %q: more than one", pattern, names)
	return ""
}

func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("a skipped test is a failure in CI: %s", why)
	}
	t.Skip(why)
}

// user is somebody in an empty folder, with an empty home and without a network.
type user struct {
	t   *testing.T
	dir string
	env []string
}

func newUser(t *testing.T) *user {
	t.Helper()
	home := t.TempDir()
	u := &user{t: t, dir: t.TempDir()}
	u.env = []string{
		"HOME=" + home, "TMPDIR=" + home, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8",
		// Whoever asks a registry all the same is refused at once.
		"http_proxy=http://127.0.0.1:9", "https_proxy=http://127.0.0.1:9", "HTTP_PROXY=http://127.0.0.1:9", "HTTPS_PROXY=http://127.0.0.1:9",
	}
	return u
}

// with is the same user with more in the environment.
func (u *user) with(env ...string) *user {
	return &user{u.t, u.dir, append(append([]string{}, u.env...), env...)}
}

// run runs a command to its end and returns what it printed.
func (u *user) run(name string, args ...string) string {
	u.t.Helper()
	command := exec.Command(name, args...)
	command.Dir, command.Env = u.dir, u.env
	var errors strings.Builder
	command.Stderr = &errors
	output, err := command.Output()
	if err != nil {
		u.t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, output, errors.String())
	}
	return string(output)
}

func (u *user) write(name, text string) {
	u.t.Helper()
	if err := write(filepath.Join(u.dir, name), []byte(text)); err != nil {
		u.t.Fatal(err)
	}
}

// told is the environment of a process whose agent reads a line: pressure is high.
func (u *user) told() *user {
	u.t.Helper()
	u.write("flyball/runtime", fmt.Sprintf("v1 gen=1 ttl=3600 exp=%d pressure=high\n", time.Now().Unix()+3600))
	return u.with("FLYBALL_RUNTIME_DIR=" + filepath.Join(u.dir, "flyball"))
}

// heard checks what a program printed: the level that it was told, and the page
// of metrics, in which the agent names its version.
func heard(t *testing.T, agent, output string) {
	t.Helper()
	version := wanted(t, agent)
	if !strings.HasPrefix(output, "told high\n") {
		t.Errorf("the program was not told of high pressure first:\n%s", output)
	}
	if said := fmt.Sprintf(`agent="%s"`, version); !strings.Contains(output, "\nflyball_agent_info{") || !strings.Contains(output, said) {
		t.Errorf("the metrics do not have flyball_agent_info with %s:\n%s", said, output)
	}
	if !strings.Contains(output, "\nflyball_agent_pressure 2\n") {
		t.Errorf("the metrics do not have flyball_agent_pressure 2:\n%s", output)
	}
}

// wanted is the version that the package of an agent has to have.
func wanted(t *testing.T, agent string) string {
	t.Helper()
	version, err := source.version(agent)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// program is the path of a tool, from the environment or by its name.
func program(variable, name string) string {
	if found := os.Getenv(variable); found != "" {
		return found
	}
	return name
}
