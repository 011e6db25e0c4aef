package machine

import (
	"fmt"
	"os"
	"strings"
)

// kernelSettings are the settings of the whole machine that the kubelet, the
// bridge plugin or kube-proxy change on their own; `down` puts them back.
var kernelSettings = []string{
	"/proc/sys/kernel/keys/root_maxbytes",
	"/proc/sys/kernel/keys/root_maxkeys",
	"/proc/sys/kernel/panic",
	"/proc/sys/kernel/panic_on_oops",
	"/proc/sys/net/ipv4/ip_forward",
	"/proc/sys/vm/overcommit_memory",
	"/proc/sys/vm/panic_on_oom",
}

// ReadKernelSettings returns the present values.
func ReadKernelSettings() (map[string]string, error) {
	values := map[string]string{}
	for _, file := range kernelSettings {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read a kernel setting: %w", err)
		}
		values[file] = strings.TrimSpace(string(data))
	}
	return values, nil
}

// RestoreKernelSettings writes back those values that have changed.
func RestoreKernelSettings(before map[string]string) error {
	for file, value := range before {
		now, err := os.ReadFile(file)
		if err == nil && strings.TrimSpace(string(now)) == value {
			continue
		}
		if err := os.WriteFile(file, []byte(value), 0o644); err != nil {
			return fmt.Errorf("restore a kernel setting: %w", err)
		}
	}
	return nil
}
