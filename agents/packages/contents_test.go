package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// archived are the files of a tar or zip archive, by name.
func archived(t *testing.T, name string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	add := func(name string, content io.Reader) {
		text, err := io.ReadAll(content)
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := files[name]; twice {
			t.Errorf("%s is there twice", name)
		}
		files[name] = string(text)
	}
	if strings.HasSuffix(name, "gz") {
		plain, err := gzip.NewReader(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		for archive := tar.NewReader(plain); ; {
			header, err := archive.Next()
			if err == io.EOF {
				return files
			}
			if err != nil {
				t.Fatal(err)
			}
			if header.Typeflag != tar.TypeReg {
				t.Errorf("%s is no plain file", header.Name)
			}
			add(header.Name, archive)
		}
	}
	archive, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range archive.File {
		if strings.HasSuffix(entry.Name, "/") {
			continue
		}
		content, err := entry.Open()
		if err != nil {
			t.Fatal(err)
		}
		add(entry.Name, content)
	}
	return files
}

// synthetic is a class that one compiler makes and another does not.
var synthetic = regexp.MustCompile(`\$[0-9]+\.class$`)

// holds checks that an archive has these files and no other, with the licence
// as it is, and returns them.
func holds(t *testing.T, name, prefix, licence string, want ...string) map[string]string {
	t.Helper()
	files := archived(t, name)
	var has []string
	for file := range files {
		if synthetic.MatchString(file) {
			continue
		}
		below, inside := strings.CutPrefix(file, prefix)
		if !inside {
			t.Errorf("%s: %s is not below %s", filepath.Base(name), file, prefix)
		}
		has = append(has, below)
	}
	slices.Sort(has)
	slices.Sort(want)
	for _, file := range has {
		if !slices.Contains(want, file) {
			t.Errorf("%s has %s, which is not on the list", filepath.Base(name), file)
		}
	}
	for _, file := range want {
		if !slices.Contains(has, file) {
			t.Errorf("%s lacks %s", filepath.Base(name), file)
		}
	}
	text, err := os.ReadFile(source.path("LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	if files[prefix+licence] != string(text) {
		t.Errorf("%s: %s is not the licence of this repository", filepath.Base(name), licence)
	}
	return files
}

// words splits a list over several lines.
func words(text string) []string { return strings.Fields(text) }

func TestWhatIsInThePackageOfNode(t *testing.T) {
	files := holds(t, one(t, "*.tgz"), "package/", "LICENSE", words(`
		LICENSE README.md package.json flyball-agent.js
		lib/agent.js lib/cgroup.js lib/decision.js lib/flag.js lib/line.js lib/metrics.js lib/pressure.js lib/probation.js lib/watermarks.js`)...)
	linked(t, files["package/README.md"])
}

const pythonModules = `flyball_agent/__init__.py flyball_agent/_agent.py flyball_agent/_cgroup.py flyball_agent/_decision.py
	flyball_agent/_line.py flyball_agent/_metrics.py flyball_agent/_probation.py flyball_agent/_watermarks.py `

func TestWhatIsInThePackagesOfPython(t *testing.T) {
	version := wanted(t, "python")
	wheel, info := one(t, "*.whl"), "flyball_agent-"+version+".dist-info/"
	files := holds(t, wheel, "", info+"licenses/LICENSE", append(words(pythonModules),
		"flyball_agent-"+version+".data/data/share/flyball/sitecustomize.py", info+"METADATA", info+"WHEEL", info+"RECORD", info+"licenses/LICENSE")...)
	linked(t, files[info+"METADATA"])

	top := "flyball_agent-" + version + "/"
	files = holds(t, one(t, "*.tar.gz"), top, "LICENSE", words(pythonModules+`sitecustomize.py LICENSE README.md pyproject.toml PKG-INFO`)...)
	linked(t, files[top+"README.md"])
}

// linked checks that a readme which is shown elsewhere has no link into this tree.
func linked(t *testing.T, readme string) {
	t.Helper()
	found := link.FindAllStringSubmatch(readme, -1)
	if len(found) == 0 {
		t.Error("the readme has no links: is it there?")
	}
	for _, one := range found {
		if !strings.HasPrefix(one[1], "https://") && !strings.HasPrefix(one[1], "#") {
			t.Errorf("the readme links to %s, which is nowhere once it is published", one[1])
		}
	}
}

// The tests are in as well: a module is what is tagged.
func TestWhatIsInTheModulesOfGo(t *testing.T) {
	version := "v" + wanted(t, "go")
	proxy := filepath.Join(built(t), "go/flyball.dev/agent")
	holds(t, filepath.Join(proxy, "@v", version+".zip"), "flyball.dev/agent@"+version+"/", "LICENSE", words(`
		LICENSE README.md go.mod agent.go bench_test.go child_test.go cpu_other.go cpu_unix.go group_test.go listeners.go metrics.go probe.go
		proc_linux.go proc_other.go process.go process_test.go
		internal/cgroup/cgroup.go internal/cgroup/cgroup_test.go
		internal/contract/bounds.go internal/contract/breaker.go internal/contract/conformance_test.go internal/contract/line.go
		internal/contract/line_test.go internal/contract/pressure.go internal/contract/pressure_test.go internal/contract/state.go
		internal/contract/state_test.go internal/contract/table.go internal/contract/view.go internal/contract/write.go
		internal/law/law.go internal/law/law_test.go internal/law/price.go internal/law/setpoint.go
		internal/page/page.go internal/page/page_test.go
		internal/watch/native_linux.go internal/watch/watch_linux.go internal/watch/watch_other.go`)...)
	holds(t, filepath.Join(proxy, "prom/@v", version+".zip"), "flyball.dev/agent/prom@"+version+"/", "LICENSE",
		words(`LICENSE README.md go.mod go.sum prom.go prom_test.go`)...)
}

func TestWhatIsInTheBundleOfJava(t *testing.T) {
	version := wanted(t, "java")
	u := newUser(t)
	central := unpacked(t, u)
	var want []string
	for _, artifact := range []string{"flyball-agent", "flyball-api"} {
		for _, kind := range []string{".pom", ".jar", "-sources.jar", "-javadoc.jar"} {
			name, err := filepath.Rel(central, jar(central, artifact, version, kind))
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, name, name+".md5", name+".sha1")
		}
	}
	var has []string
	for name := range archived(t, one(t, "*-bundle.zip")) {
		has = append(has, name)
	}
	slices.Sort(want)
	slices.Sort(has)
	if !slices.Equal(want, has) {
		t.Errorf("the bundle has\n%s, not\n%s", strings.Join(has, "\n"), strings.Join(want, "\n"))
	}

	in := func(kind, names string) []string {
		list := []string{"META-INF/MANIFEST.MF", "META-INF/LICENSE"}
		for _, name := range strings.Fields(names) {
			list = append(list, "dev/flyball/"+name+kind)
		}
		return list
	}
	const api = `api/Flyball api/Level `
	const agent = api + `agent/Agent agent/AgentBean agent/AgentMXBean agent/Cgroup agent/Decision agent/Evidence agent/FlightRecording agent/HotSpot
		agent/Hub agent/KernelFile agent/Knob agent/Line agent/Log agent/Metrics agent/MetricsServer agent/Premain agent/ProcessMemory agent/Reason
		agent/Refused agent/Settings agent/Snapshot agent/StateFile agent/Watermarks agent/World `
	const inner = `api/Flyball$ByName agent/Agent$Later agent/FlightRecording$Failed agent/Hub$Listener agent/Line$Form agent/Line$Key`
	licence := "META-INF/LICENSE"
	holds(t, jar(central, "flyball-agent", version, ".jar"), "", licence, in(".class", agent+inner)...)
	holds(t, jar(central, "flyball-agent", version, "-sources.jar"), "", licence, in(".java", agent)...)
	holds(t, jar(central, "flyball-api", version, ".jar"), "", licence, in(".class", api+`api/Flyball$ByName`)...)
	holds(t, jar(central, "flyball-api", version, "-sources.jar"), "", licence, in(".java", api)...)

	// What javadoc adds beside the pages of classes is its own.
	for artifact, pages := range map[string][]string{
		"flyball-agent": {"agent/AgentMXBean", "agent/Premain", "agent/package-summary"}, "flyball-api": {"api/Flyball", "api/Level", "api/package-summary"},
	} {
		files := archived(t, jar(central, artifact, version, "-javadoc.jar"))
		for _, page := range pages {
			if files["dev/flyball/"+page+".html"] == "" {
				t.Errorf("%s has no page of %s", artifact, page)
			}
		}
	}
}
