package bed

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"flyball.dev/testbed/internal/layout"
	"flyball.dev/testbed/internal/machine"
	"flyball.dev/testbed/internal/packages"
	"flyball.dev/testbed/internal/process"
	"flyball.dev/testbed/internal/render"
)

// DirEnv names the variable that holds the bed's folder.
const DirEnv = "FLYBALL_TESTBED_DIR"

// startComponent starts a component by way of `testbed launch`, which puts
// itself where the component belongs and then becomes it.
func startComponent(dir layout.Dir, component render.Component) error {
	_, err := process.Start(process.Spec{
		Name: component.Name,
		Argv: append([]string{dir.Bin("testbed"), "launch", component.Name}, component.Args...),
		Env:  []string{DirEnv + "=" + string(dir)},
		Log:  dir.Log(component.Name),
	}, dir.Pids())
	return err
}

// Launch turns this process into a component of the bed. It only returns with
// an error.
func Launch(dir layout.Dir, name string, args []string) error {
	record, err := running(dir)
	if err != nil {
		return err
	}
	component, err := find(dir, record, name)
	if err != nil {
		return err
	}
	cgroup, err := machine.NewCgroup(record.Cluster.Bridge)
	if err != nil {
		return err
	}
	if err := cgroup.Join(); err != nil {
		return err
	}
	if component.OnNode {
		if err := enterNode(dir, record, name); err != nil {
			return err
		}
	}
	program := dir.Bin(name)
	if name == "containerd" {
		program = dir.Unpacked("usr/bin/containerd")
	}
	return become(program, append([]string{name}, args...), os.Environ())
}

// Enter runs a command as the node sees the machine: with its mounts, and with
// the unpacked programs on the path. It only returns with an error.
func Enter(dir layout.Dir, argv []string) error {
	if len(argv) == 0 {
		return errors.New("enter: name the command to run on the node")
	}
	record, err := running(dir)
	if err != nil {
		return err
	}
	if err := enterNode(dir, record, ""); err != nil {
		return err
	}
	program, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	return become(program, argv, os.Environ())
}

func become(program string, argv, env []string) error {
	return fmt.Errorf("become %s: %w", program, syscall.Exec(program, argv, env))
}

// enterNode puts this process into the mount namespace of any process of the
// node that lives, with the unpacked programs on the path. The first of them,
// whose name is given as starting, makes the namespace.
func enterNode(dir layout.Dir, record *Record, starting string) error {
	for _, setting := range packages.Env(dir) {
		name, value, _ := strings.Cut(setting, "=")
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	pids, err := process.Load(dir.Pids())
	if err != nil {
		return err
	}
	for _, component := range record.Cluster.Components(dir) {
		id, known := pids[component.Name]
		if component.OnNode && component.Name != starting && known && id.Alive() {
			return machine.EnterNamespaceOf(id.Pid)
		}
	}
	if starting == "" {
		return errors.New("the node is not running: see `testbed status`")
	}
	return machine.EnterNewNamespace(dir, record.Cluster.Bridge)
}

// Start starts one component of a running bed, and waits until it is ready.
func Start(dir layout.Dir, name string) error {
	unlock, err := dir.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	record, err := running(dir)
	if err != nil {
		return err
	}
	component, err := find(dir, record, name)
	if err != nil {
		return err
	}
	pids, err := process.Load(dir.Pids())
	if err != nil {
		return err
	}
	if id, known := pids[name]; known && id.Alive() {
		return fmt.Errorf("%s is already running as pid %d", name, id.Pid)
	}
	if err := startComponent(dir, component); err != nil {
		return err
	}
	probe, err := newProbe(dir, record.Cluster)
	if err != nil {
		return err
	}
	return probe.waitReady(component)
}

// Stop stops one component of a running bed, for tests of outages.
func Stop(dir layout.Dir, name string) error {
	unlock, err := dir.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	record, err := running(dir)
	if err != nil {
		return err
	}
	if _, err := find(dir, record, name); err != nil {
		return err
	}
	return stopComponents(dir, name)
}

const grace = 10 * time.Second

// stopComponents stops components side by side, waits for all of them, and
// forgets them.
func stopComponents(dir layout.Dir, names ...string) error {
	pids, err := process.Load(dir.Pids())
	if err != nil {
		return err
	}
	results := make(chan error, len(names))
	for _, name := range names {
		go func() {
			id := pids[name] // the zero Identity is not alive
			if err := id.Stop(grace); err != nil {
				results <- fmt.Errorf("stop %s: %w", name, err)
				return
			}
			results <- process.Forget(dir.Pids(), name)
		}()
	}
	var failures []error
	for range names {
		failures = append(failures, <-results)
	}
	return errors.Join(failures...)
}

func running(dir layout.Dir) (*Record, error) {
	record, err := Load(dir)
	if err == nil && record == nil {
		err = fmt.Errorf("no test bed is up in %s: run `testbed up`", dir)
	}
	return record, err
}

func find(dir layout.Dir, record *Record, name string) (render.Component, error) {
	components := record.Cluster.Components(dir)
	index := slices.IndexFunc(components, func(c render.Component) bool { return c.Name == name })
	if index < 0 {
		return render.Component{}, fmt.Errorf("the test bed has no component %q", name)
	}
	return components[index], nil
}

// linkPrograms gives every upstream program its own name in the bin folder,
// all of them links to this executable.
func linkPrograms(dir layout.Dir) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir.Bin("testbed")), 0o755); err != nil {
		return err
	}
	if self != dir.Bin("testbed") {
		if err := relink(self, dir.Bin("testbed")); err != nil {
			return err
		}
	}
	for _, name := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"} {
		if err := relink("testbed", dir.Bin(name)); err != nil {
			return err
		}
	}
	return nil
}

func relink(target, link string) error {
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(target, link)
}
