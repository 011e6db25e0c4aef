package bed

import (
	"fmt"
	"io"
	"text/tabwriter"

	"flyball.dev/testbed/internal/layout"
	"flyball.dev/testbed/internal/process"
)

// Condition is the answer of Status in one word.
type Condition int

const (
	AllRunning Condition = iota
	SomeDead
	NotUp
)

// Status prints one line per component.
func Status(dir layout.Dir, out io.Writer) (Condition, error) {
	record, err := Load(dir)
	if err != nil {
		return SomeDead, err
	}
	if record == nil {
		fmt.Fprintf(out, "no test bed is up in %s\n", dir)
		return NotUp, nil
	}
	pids, err := process.Load(dir.Pids())
	if err != nil {
		return SomeDead, err
	}
	condition := AllRunning
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	var names []string
	for _, component := range record.Cluster.Components(dir) {
		names = append(names, component.Name)
	}
	for _, name := range []string{metricsName, gatewayName, nodeExporterName} {
		if _, wanted := pids[name]; wanted {
			names = append(names, name)
		}
	}
	for _, name := range names {
		id, known := pids[name]
		switch {
		case known && id.Alive():
			fmt.Fprintf(table, "%s\trunning\tpid %d\t%d MB\n", name, id.Pid, id.RSS()/1_000_000)
		case known:
			condition = SomeDead
			fmt.Fprintf(table, "%s\tDEAD\tpid %d\t%s\n", name, id.Pid, process.LastLine(dir.Log(name)))
		default:
			condition = SomeDead
			fmt.Fprintf(table, "%s\tstopped\t\t\n", name)
		}
	}
	if err := table.Flush(); err != nil {
		return condition, err
	}
	fmt.Fprintf(out, "API server %s, pods %s, services %s\nKUBECONFIG=%s\n",
		record.Cluster.Server(), record.Cluster.Subnet, record.Cluster.Services, dir.Kubeconfig())
	return condition, nil
}
