package machine

import (
	"fmt"
	"os"
	"os/exec"
	"strings"

	"flyball.dev/testbed/internal/layout"
	"flyball.dev/testbed/internal/packages"
)

// kube-proxy keeps the translation of Service addresses in these two tables of
// the machine. Nothing else lives in them.
var proxyTables = []string{"ip kube-proxy", "ip6 kube-proxy"}

// CheckProxyTablesFree refuses a machine where another kube-proxy does that.
func CheckProxyTablesFree(dir layout.Dir) error {
	tables, err := nft(dir, "list tables")
	if err != nil {
		return Unfit{fmt.Sprintf("this kernel has no nftables for kube-proxy (%v): use one with CONFIG_NF_TABLES", err)}
	}
	for _, table := range proxyTables {
		if strings.Contains(tables, "table "+table+"\n") {
			return fmt.Errorf("nftables table %q: %w: a node that is already here can't share the machine with a test bed", table, ErrClash)
		}
	}
	return nil
}

// DeleteProxyTables removes what kube-proxy left.
func DeleteProxyTables(dir layout.Dir) error {
	var script strings.Builder
	for _, table := range proxyTables {
		// "add" makes the deletion of a missing table a no-op.
		fmt.Fprintf(&script, "add table %s; delete table %s; ", table, table)
	}
	_, err := nft(dir, script.String())
	return err
}

func nft(dir layout.Dir, script string) (string, error) {
	cmd := exec.Command(dir.Unpacked("usr/sbin/nft"), script)
	cmd.Env = append(os.Environ(), packages.Env(dir)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("nft: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}
