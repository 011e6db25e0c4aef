package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"flyball.dev/testbed/internal/layout"
	"flyball.dev/testbed/internal/prom"
)

var prometheusCommands = map[string]command{
	"up":        prometheusUp,
	"down":      prometheusDown,
	"discovery": prometheusDiscovery,
}

func prometheus(args []string) error {
	if len(args) > 0 {
		if run, known := prometheusCommands[args[0]]; known {
			return run(args[1:])
		}
	}
	return usageError{errors.New("prometheus: say up or down")}
}

// prometheusUp prints the server's URL, and nothing else, on stdout.
func prometheusUp(args []string) error {
	flags := newFlags("prometheus up")
	name := flags.String("name", "", "name of the server")
	kubeconfig := flags.String("kubeconfig", defaultKubeconfig(), "credentials for the cluster; its current context is used")
	address := flags.String("address", "127.0.0.1", "address to listen on")
	var settings prom.Settings
	flags.StringVar(&settings.Namespace, "namespace", "default", "namespace whose pods are scraped")
	flags.BoolVar(&settings.ViaAPIServer, "via-apiserver", false, "scrape through the API server, for a cluster whose pods can't be reached")
	flags.DurationVar(&settings.ScrapeInterval, "scrape-interval", 2*time.Second, "how often to scrape and to evaluate rules")
	flags.StringVar(&settings.Rules, "rules", "", "file with rules")
	flags.BoolVar(&settings.Kubelet, "kubelet", false, "scrape the kubelets too: memory and processor time of the containers of all namespaces")
	flags.Func("target", "something else to scrape at /metrics, as [JOB=]HOST:PORT (repeatable; the job is "+prom.DefaultJob+" if it is not said)", func(value string) error {
		target, err := prom.ParseTarget(value)
		settings.Targets = append(settings.Targets, target)
		return err
	})
	dir, err := flags.parse(args)
	if err != nil {
		return err
	}
	if err := flags.noArguments(); err != nil {
		return err
	}
	url, err := prom.Up(dir, *name, *kubeconfig, *address, settings, say)
	if err != nil {
		return err
	}
	fmt.Println(url)
	return nil
}

func prometheusDown(args []string) error {
	dir, name, err := namedPrometheus("prometheus down", args)
	if err != nil {
		return err
	}
	return prom.Down(dir, name)
}

// prometheusDiscovery is the process beside a server; `up` starts it.
func prometheusDiscovery(args []string) error {
	dir, name, err := namedPrometheus("prometheus discovery", args)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return prom.Discover(ctx, dir, name)
}

func namedPrometheus(command string, args []string) (layout.Dir, string, error) {
	flags := newFlags(command)
	name := flags.String("name", "", "name of the server")
	dir, err := flags.parse(args)
	if err != nil {
		return "", "", err
	}
	return dir, *name, flags.noArguments()
}

// defaultKubeconfig is the file that kubectl would take, if it is one file.
func defaultKubeconfig() string {
	if file := os.Getenv("KUBECONFIG"); file != "" {
		return file
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".kube", "config")
}
