package agent

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The agent acts on its process, so it is tested in processes of its own: this
// test binary again, which then does what FLYBALL_TEST_CHILD names.
func TestMain(m *testing.M) {
	switch os.Getenv("FLYBALL_TEST_CHILD") {
	case "":
		os.Exit(m.Run())
	case "idle":
		commands(func(string) {})
	case "knobs": // somebody else's hand on the knobs
		commands(func(command string) {
			n, _ := strconv.Atoi(command)
			debug.SetGCPercent(n)
		})
	case "pressure":
		OnPressure(func(level Level) {
			fmt.Printf("told %s\n", level)
			if level == High {
				panic("no")
			}
		})
		commands(func(string) {})
	case "spiral":
		go allocate(100<<20, 1<<20)
		commands(func(string) {})
	}
}

// commands reads lines until the parent ends.
func commands(do func(string)) {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		do(lines.Text())
		fmt.Println("done")
	}
}

var kept [][]byte

// allocate keeps so much, and makes garbage for ever, so much at a time.
func allocate(live, garbage int) {
	for range live / 4096 {
		kept = append(kept, make([]byte, 4096))
	}
	for {
		for range garbage / 4096 {
			kept[0] = make([]byte, 4096)
		}
		time.Sleep(time.Millisecond)
	}
}

// child is such a process, in a pod of its own.
type child struct {
	t      *testing.T
	dir    string // the mounted one
	state  string
	wrap   []string // a command that becomes the child
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	url    string
	client http.Client
}

func newChild(t *testing.T) *child {
	t.Parallel() // each has a process and folders of its own
	return &child{t: t, dir: t.TempDir(), state: t.TempDir(), client: http.Client{Timeout: time.Minute}}
}

func (c *child) start(what string, env ...string) {
	c.t.Helper()
	c.cmd = exec.Command(os.Args[0])
	if c.wrap != nil {
		c.cmd = exec.Command(c.wrap[0], c.wrap[1:]...)
	}
	c.cmd.Env = append([]string{"FLYBALL_TEST_CHILD=" + what, "FLYBALL_RUNTIME_DIR=" + c.dir, "FLYBALL_STATE_DIR=" + c.state,
		"FLYBALL_METRICS_ADDRESS=127.0.0.1:0", "FLYBALL_WATERMARKS=off", "GOMAXPROCS=2"}, env...)
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		c.t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	logs, err := c.cmd.StderrPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(c.kill)
	c.out = bufio.NewReader(out)
	address := make(chan string, 1)
	go func() {
		defer close(address)
		lines := bufio.NewScanner(logs)
		for lines.Scan() {
			if at, found := strings.CutPrefix(lines.Text(), "flyball: metrics at "); found {
				address <- at
			}
		}
	}()
	c.url = <-address
	if c.url == "" {
		c.t.Fatal("the child serves no metrics")
	}
}

// kill is the end that a container's memory limit makes.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// mount puts the text where the kubelet does, and as it does: a folder of its
// own, and a link to it that takes the old one's place in one step.
func (c *child) mount(text string) {
	c.t.Helper()
	next, err := os.MkdirTemp(c.dir, "..2026_")
	must(c.t, err)
	must(c.t, os.WriteFile(filepath.Join(next, "runtime"), []byte(text), 0o644))
	link := filepath.Join(c.dir, "..data_tmp")
	must(c.t, os.Symlink(filepath.Base(next), link))
	old, _ := os.Readlink(filepath.Join(c.dir, "..data"))
	must(c.t, os.Rename(link, filepath.Join(c.dir, "..data")))
	if old != "" {
		must(c.t, os.RemoveAll(filepath.Join(c.dir, old)))
	} else {
		must(c.t, os.Symlink("..data/runtime", filepath.Join(c.dir, "runtime")))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// line is a line with a lease that outlives the test.
func line(words string) string {
	return fmt.Sprintf("v1 ttl=86400 exp=%d %s", time.Now().Unix()+86400, words)
}

// page are the metrics by their names and labels.
func (c *child) page() map[string]float64 {
	c.t.Helper()
	answer, err := c.client.Get(c.url)
	must(c.t, err)
	defer answer.Body.Close()
	out := map[string]float64{}
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if name, text, found := strings.Cut(lines.Text(), " "); found && name != "#" {
			value, err := strconv.ParseFloat(text, 64)
			must(c.t, err)
			out[strings.TrimPrefix(name, "flyball_agent_")] = value
		}
	}
	return out
}

// until waits for metrics to have these values, however long that takes here.
func (c *child) until(want map[string]float64) {
	c.t.Helper()
	c.await(fmt.Sprint(want), func(page map[string]float64) bool {
		return !slices.ContainsFunc(slices.Collect(maps.Keys(want)), func(name string) bool { return page[name] != want[name] })
	})
}

func (c *child) await(what string, holds func(map[string]float64) bool) map[string]float64 {
	c.t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		page := c.page()
		if holds(page) {
			return page
		}
		if time.Now().After(end) {
			c.t.Fatalf("not within two minutes: %s; the page is %v", what, page)
		}
	}
}

// command is done when it returns.
func (c *child) command(text string) {
	c.t.Helper()
	_, err := io.WriteString(c.in, text+"\n")
	must(c.t, err)
	c.says("done")
}

func (c *child) says(want string) {
	c.t.Helper()
	got, err := c.out.ReadString('\n')
	must(c.t, err)
	if strings.TrimSpace(got) != want {
		c.t.Fatalf("the child says %q, want %q", got, want)
	}
}
