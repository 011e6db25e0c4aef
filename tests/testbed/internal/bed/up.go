package bed

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"flyball.dev/testbed/internal/layout"
	"flyball.dev/testbed/internal/machine"
	"flyball.dev/testbed/internal/packages"
	"flyball.dev/testbed/internal/render"
)

// Say reports progress to the user.
type Say func(format string, args ...any)

// Up brings a bed up and returns when pods can run in it. A healthy bed is left
// as it is; what is left of a broken one is removed first. The cluster is
// always a new and empty one.
func Up(dir layout.Dir, options Options, say Say) error {
	unlock, err := dir.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	began := time.Now()
	record, err := Load(dir)
	if err != nil {
		return err
	}
	if record != nil && healthy(dir, record) {
		say("the test bed is already up: KUBECONFIG=%s", dir.Kubeconfig())
		return nil
	}
	if err := machine.CheckFit(); err != nil {
		return err
	}
	if record != nil {
		say("removing what is left of a test bed that did not end well")
		if err := clean(dir, record); err != nil {
			return err
		}
	}
	if err := options.checkFree(dir, say); err != nil {
		return err
	}
	if err := prepare(dir, say); err != nil {
		return err
	}
	if record, err = plan(dir, options); err != nil {
		return err
	}
	if err := occupy(dir, record); err != nil {
		return err
	}
	if err := startAll(dir, record, say); err != nil {
		return err
	}
	say("the test bed is up after %.1f s: KUBECONFIG=%s", time.Since(began).Seconds(), dir.Kubeconfig())
	return nil
}

// prepare brings what survives `down`: programs, packages and images.
func prepare(dir layout.Dir, say Say) error {
	if err := linkPrograms(dir); err != nil {
		return fmt.Errorf("link the programs: %w", err)
	}
	err := packages.Ensure(dir, packages.Node, say)
	if errors.Is(err, packages.ErrNoApt) {
		return machine.Unfit{Reason: err.Error()}
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(pauseImage(dir)); err != nil {
		return fmt.Errorf("%s is missing: build it with `make testbed-build`", pauseImage(dir))
	}
	// Logs are those of the present bed.
	if err := os.RemoveAll(dir.Logs()); err != nil {
		return err
	}
	return os.MkdirAll(dir.Logs(), 0o755)
}

// occupy takes what the bed needs of the machine, the record first.
func occupy(dir layout.Dir, record *Record) error {
	if err := record.save(); err != nil {
		return err
	}
	cluster := record.Cluster
	cgroup, err := machine.NewCgroup(cluster.Bridge)
	if err != nil {
		return err
	}
	if err := cgroup.Create(); err != nil {
		return err
	}
	if err := machine.MakeMountPoints(record.MountPoints); err != nil {
		return err
	}
	if err := record.saveCopy(); err != nil {
		return err
	}
	if err := machine.CreateBridge(cluster.Bridge, cluster.GatewayPrefix()); err != nil {
		return err
	}
	if record.FirewallRule {
		if err := machine.AllowForwarding(cluster.Bridge); err != nil {
			return err
		}
	}
	if err := writeCredentials(dir, cluster); err != nil {
		return fmt.Errorf("write the cluster's credentials: %w", err)
	}
	if err := writeConfigs(dir, cluster); err != nil {
		return fmt.Errorf("write the components' configuration: %w", err)
	}
	return nil
}

// startAll starts the components. What does not depend on each other starts
// side by side: etcd and containerd first, the API server while they do, and
// the rest as soon as that answers.
func startAll(dir layout.Dir, record *Record, say Say) error {
	check, err := newProbe(dir, record.Cluster)
	if err != nil {
		return err
	}
	stages := [][]string{
		{"etcd", "containerd"},
		{"kube-apiserver"},
		{"kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"},
	}
	for _, stage := range stages {
		say("starting %s", strings.Join(stage, ", "))
		if err := startStage(dir, record, check, stage); err != nil {
			return err
		}
		if stage[0] == "etcd" {
			if err := importAll(dir, record); err != nil {
				return err
			}
		}
	}
	return check.wait("the node takes pods", check.schedulable, "kube-apiserver", "kube-controller-manager", "kubelet", "containerd")
}

func startStage(dir layout.Dir, record *Record, check *probe, names []string) error {
	var started []render.Component
	for _, name := range names {
		component, err := find(dir, record, name)
		if err != nil {
			return err
		}
		if err := startComponent(dir, component); err != nil {
			return err
		}
		started = append(started, component)
	}
	for _, component := range started {
		if err := check.waitReady(component); err != nil {
			return err
		}
	}
	return nil
}

// healthy tells whether every component runs and answers.
func healthy(dir layout.Dir, record *Record) bool {
	check, err := newProbe(dir, record.Cluster)
	if err != nil {
		return false
	}
	for _, component := range record.Cluster.Components(dir) {
		if check.dead([]string{component.Name}) != "" || check.ready(component) != nil {
			return false
		}
	}
	return check.schedulable() == nil
}

func pauseImage(dir layout.Dir) string { return filepath.Join(dir.Images(), "pause.tar") }

// importAll brings in every image in the bed's folder, the pause image first
// of all: no pod starts without it.
func importAll(dir layout.Dir, record *Record) error {
	archives, err := filepath.Glob(filepath.Join(dir.Images(), "*.tar"))
	if err != nil {
		return err
	}
	return importImages(dir, record, archives)
}

// ImportImage brings an image archive into the running bed.
func ImportImage(dir layout.Dir, archive string) error {
	record, err := running(dir)
	if err != nil {
		return err
	}
	absolute, err := filepath.Abs(archive)
	if err != nil {
		return err
	}
	return importImages(dir, record, []string{absolute})
}

func importImages(dir layout.Dir, record *Record, archives []string) error {
	for _, archive := range archives {
		cmd := exec.Command(dir.Bin("testbed"), "enter", "ctr",
			"--address", record.Cluster.Node.Containerd("containerd.sock"), "--namespace", "k8s.io",
			"images", "import", "--snapshotter", record.Cluster.Snapshotter, archive)
		cmd.Env = append(os.Environ(), DirEnv+"="+string(dir))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("import %s: %w: %s", archive, err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}
