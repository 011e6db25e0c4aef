package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const goService = `package main

import (
	"fmt"
	"net/http/httptest"
	"os"
	"time"

	"flyball.dev/agent"
)

func main() {
	agent.OnPressure(func(level agent.Level) {
		page := httptest.NewRecorder()
		agent.Handler().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
		fmt.Printf("told %s\n%s", level, page.Body)
		os.Exit(0)
	})
	time.Sleep(time.Minute)
	fmt.Println("told nothing")
	os.Exit(1)
}
`

const promService = `package main

import (
	"fmt"
	"os"
	"time"

	"flyball.dev/agent"
	_ "flyball.dev/agent/prom"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

func main() {
	agent.OnPressure(func(level agent.Level) {
		families, err := prometheus.DefaultGatherer.Gather()
		if err != nil {
			panic(err)
		}
		fmt.Printf("told %s\n", level)
		for _, family := range families {
			expfmt.MetricFamilyToText(os.Stdout, family)
		}
		os.Exit(0)
	})
	time.Sleep(time.Minute)
	fmt.Println("told nothing")
	os.Exit(1)
}
`

// goUser takes modules from the packages, and what these need from what this
// machine has fetched before. Builds are shared with it; modules are not.
func goUser(t *testing.T, proxies ...string) *user {
	t.Helper()
	u := newUser(t)
	return u.with("GOPROXY="+strings.Join(proxies, ","), "GONOSUMDB=flyball.dev", "GOSUMDB=off", "GOTOOLCHAIN=local", "GOENV=off",
		"GOFLAGS=-mod=mod -modcacherw -trimpath", "GOMODCACHE="+filepath.Join(t.TempDir(), "mod"), "GOCACHE="+goEnv(t, "GOCACHE"))
}

func goEnv(t *testing.T, variable string) string {
	t.Helper()
	output, err := exec.Command("go", "env", variable).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(output))
}

func TestAUserOfGo(t *testing.T) {
	t.Parallel()
	u := goUser(t, "file://"+filepath.Join(built(t), "go"))
	u.run("go", "mod", "init", "shop")
	u.write("main.go", goService)
	u.run("go", "get", "flyball.dev/agent@v"+wanted(t, "go"))
	u.run("go", "build", "-o", "shop", ".")
	heard(t, "go", u.told().run("./shop"))
	// Nothing but the agent came along.
	if all := strings.TrimSpace(u.run("go", "list", "-m", "all")); all != "shop\nflyball.dev/agent v"+wanted(t, "go") {
		t.Errorf("the module needs %q", all)
	}
}

func TestAUserOfGoWithARegistry(t *testing.T) {
	t.Parallel()
	u := goUser(t, "file://"+filepath.Join(built(t), "go"), "file://"+filepath.Join(goEnv(t, "GOMODCACHE"), "cache/download"))
	u.run("go", "mod", "init", "shop")
	u.write("main.go", promService)
	u.run("go", "get", "flyball.dev/agent/prom@latest")
	u.run("go", "build", "-o", "shop", ".")
	heard(t, "go", u.told().run("./shop"))
}

// What is tagged is what the package is: the go command makes its own zip of a
// tag, by the page that the module's path leads to.
func TestTheTagIsTheModule(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("git"); err != nil {
		skip(t, "there is no git here")
	}
	u := newUser(t).with("GIT_AUTHOR_NAME=Flyball", "GIT_AUTHOR_EMAIL=flyball@localhost", "GIT_COMMITTER_NAME=Flyball", "GIT_COMMITTER_EMAIL=flyball@localhost",
		"GIT_CONFIG_NOSYSTEM=1")
	tracked, err := exec.Command("git", "-C", source.root, "ls-files", "agents/go", "LICENSE").Output()
	if err != nil {
		skip(t, "this is no clone")
	}
	for _, name := range strings.Fields(string(tracked)) {
		text, err := os.ReadFile(source.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it is about to be removed
		}
		if err != nil {
			t.Fatal(err)
		}
		u.write(name, string(text))
	}
	u.run("git", "init", "--quiet")
	u.run("git", "add", "--all")
	u.run("git", "commit", "--quiet", "--message", "all")
	version := "v" + wanted(t, "go")
	for folder := range goModules {
		u.run("git", "tag", "agents/"+folder+"/"+version)
	}
	pages := vanity(t)
	for folder, name := range goModules {
		direct := goUser(t, "direct").with("http_proxy="+pages, "HTTP_PROXY="+pages, "GOINSECURE=flyball.dev",
			"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url.file://"+u.dir+".insteadOf", "GIT_CONFIG_VALUE_0="+homeRepository)
		tagged := sum(t, direct.run("go", "mod", "download", "-json", name+"@"+version))
		proxied := goUser(t, "file://"+filepath.Join(built(t), "go"))
		if packed := sum(t, proxied.run("go", "mod", "download", "-json", name+"@"+version)); tagged != packed {
			t.Errorf("%s: the tag agents/%s/%s is %s, the package %s: is a file not in git yet?", name, folder, version, tagged, packed)
		}
	}
}
