// Package cli is the command line of the test bed.
package cli

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"flyball.dev/testbed/internal/bed"
	"flyball.dev/testbed/internal/layout"
	"flyball.dev/testbed/internal/machine"
)

// Exit codes. Unfit is the code by which test runners know "skipped".
const (
	exitFailure = 1
	exitUsage   = 2
	exitNotUp   = 3
	exitUnfit   = 77
)

const usage = `A Kubernetes cluster on this machine, without Docker.

  testbed up [--bridge NAME] [--subnet CIDR]   bring it up (needs root)
  testbed down                                 end it and give everything back
  testbed status                               0: all run, 1: one is dead, 3: not up
  testbed stop|start COMPONENT                 an outage, for tests
  testbed image --name N:TAG ... --out TAR     build an image from a static binary
  testbed import-image TAR                     bring an image into the cluster
  testbed prometheus up|down --name N ...      a Prometheus beside a cluster
  testbed metrics up|down                      metrics APIs with values that tests set
  testbed gateway up|down                      a real gateway: Gateway API and Traefik
  testbed node-exporter up|down                the machine's memory figures
  testbed runtimes [NAME...]                   how pods run this machine's JVM, Node and Python
  testbed enter COMMAND...                     run a command on the node

  testbed etcd|kube-apiserver|kube-controller-manager|kube-scheduler|
          kubelet|kube-proxy|kubectl ...       the upstream programs themselves

Every command of the first group takes --dir FOLDER (or FLYBALL_TESTBED_DIR; the
default is the folder whose bin holds this program). -h after a command shows its flags.
`

type command func(args []string) error

var commands = map[string]command{
	"up":            up,
	"down":          down,
	"status":        status,
	"stop":          onComponent("stop", bed.Stop),
	"start":         onComponent("start", bed.Start),
	"image":         buildImage,
	"import-image":  importImage,
	"prometheus":    prometheus,
	"metrics":       metrics,
	"gateway":       gateway,
	"node-exporter": nodeExporter,
	"runtimes":      findRuntimes,
	"enter":         enter,
	"launch":        launch,
}

// Run runs one command and returns the exit code.
func Run(args []string) int {
	if len(args) == 0 || args[0] == "-h" || args[0] == "--help" || args[0] == "help" {
		fmt.Print(usage)
		return 0
	}
	run, known := commands[args[0]]
	if !known {
		fmt.Fprintf(os.Stderr, "testbed: there is no command %q: one of %s\n", args[0], strings.Join(names(), ", "))
		return exitUsage
	}
	err := run(args[1:])
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	var code exitCode
	if errors.As(err, &code) {
		return int(code)
	}
	fmt.Fprintf(os.Stderr, "testbed: %v\n", err)
	if errors.As(err, &machine.Unfit{}) {
		return exitUnfit
	}
	if errors.As(err, &usageError{}) {
		return exitUsage
	}
	return exitFailure
}

// exitCode ends the program without a further word.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// usageError is a command line that makes no sense.
type usageError struct{ error }

func names() []string {
	var all []string
	for name := range commands {
		all = append(all, name)
	}
	sort.Strings(all)
	return all
}

// flags is a flag set with the flag that all commands have.
type flags struct {
	*flag.FlagSet
	dir *string
}

func newFlags(name string) flags {
	set := flag.NewFlagSet("testbed "+name, flag.ContinueOnError)
	return flags{set, set.String("dir", defaultDir(), "folder of the test bed")}
}

// defaultDir is the folder whose bin this program was built into, unless the
// environment names another one.
func defaultDir() string {
	if folder := os.Getenv(bed.DirEnv); folder != "" {
		return folder
	}
	self, err := os.Executable()
	if err == nil && filepath.Base(filepath.Dir(self)) == "bin" {
		return filepath.Dir(filepath.Dir(self))
	}
	return ".testbed"
}

// parse reads the command line and opens the folder.
func (f flags) parse(args []string) (layout.Dir, error) {
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return "", err
		}
		return "", exitCode(exitUsage) // the flag package has said why
	}
	return layout.Open(*f.dir)
}

// noArguments refuses what a command would ignore.
func (f flags) noArguments() error {
	if f.NArg() > 0 {
		return usageError{fmt.Errorf("%s takes no argument %q", f.Name(), f.Arg(0))}
	}
	return nil
}

// oneArgument is for commands about one thing.
func (f flags) oneArgument(what string) (string, error) {
	if f.NArg() != 1 {
		return "", usageError{fmt.Errorf("%s takes one argument, %s", f.Name(), what)}
	}
	return f.Arg(0), nil
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "testbed: "+format+"\n", args...) }

const defaultBridge = "flyball0"

func up(args []string) error {
	flags := newFlags("up")
	bridge := flags.String("bridge", defaultBridge, "name of the bridge, and of the control group")
	subnet := flags.String("subnet", "10.213.77.0/24", "pod addresses; Services take the other half of its /23")
	dir, err := flags.parse(args)
	if err != nil {
		return err
	}
	if err := flags.noArguments(); err != nil {
		return err
	}
	prefix, err := netip.ParsePrefix(*subnet)
	if err != nil {
		return usageError{fmt.Errorf("--subnet: %w", err)}
	}
	return bed.Up(dir, bed.Options{Bridge: *bridge, Subnet: prefix.Masked()}, say)
}

func down(args []string) error {
	flags := newFlags("down")
	bridge := flags.String("bridge", defaultBridge, "name of the bridge, if the folder no longer knows it")
	dir, err := flags.parse(args)
	if err != nil {
		return err
	}
	if err := flags.noArguments(); err != nil {
		return err
	}
	return bed.Down(dir, *bridge, say)
}

func status(args []string) error {
	flags := newFlags("status")
	dir, err := flags.parse(args)
	if err != nil {
		return err
	}
	condition, err := bed.Status(dir, os.Stdout)
	switch {
	case err != nil:
		return err
	case condition == bed.NotUp:
		return exitCode(exitNotUp)
	case condition == bed.SomeDead:
		return exitCode(exitFailure)
	}
	return nil
}

func onComponent(name string, act func(layout.Dir, string) error) command {
	return func(args []string) error {
		flags := newFlags(name)
		dir, err := flags.parse(args)
		if err != nil {
			return err
		}
		component, err := flags.oneArgument("the component's name")
		if err != nil {
			return err
		}
		return act(dir, component)
	}
}

func enter(args []string) error {
	flags := newFlags("enter")
	dir, err := flags.parse(args)
	if err != nil {
		return err
	}
	return bed.Enter(dir, flags.Args())
}

// launch is how `up` starts a component; nobody else needs it.
func launch(args []string) error {
	if len(args) == 0 {
		return usageError{errors.New("launch: name the component")}
	}
	dir, err := layout.Open(os.Getenv(bed.DirEnv))
	if err != nil {
		return err
	}
	return bed.Launch(dir, args[0], args[1:])
}
