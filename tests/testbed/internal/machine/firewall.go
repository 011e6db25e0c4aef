package machine

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// A machine with Docker drops packets that it would forward, and with them
// every connection from pod to pod. The rule below lets those pass that come
// from the bed's bridge and go back to it. It is only made on such a machine.

func forwardRule(bridge string) []string {
	return []string{"FORWARD", "-i", bridge, "-o", bridge, "-m", "comment", "--comment", "flyball test bed", "-j", "ACCEPT"}
}

// DropsForwarded tells whether the machine's firewall drops what it forwards.
// Without the iptables program there is no such firewall.
func DropsForwarded() (bool, error) {
	if _, err := exec.LookPath("iptables"); err != nil {
		return false, nil
	}
	rules, err := iptables("-S", "FORWARD")
	return strings.HasPrefix(rules, "-P FORWARD DROP"), err
}

// AllowForwarding lets pods reach each other.
func AllowForwarding(bridge string) error {
	_, err := iptables(append([]string{"-I"}, forwardRule(bridge)...)...)
	return err
}

// DisallowForwarding takes the rule away, if it is there.
func DisallowForwarding(bridge string) error {
	_, err := iptables(append([]string{"-C"}, forwardRule(bridge)...)...)
	if errors.As(err, new(*exec.ExitError)) {
		return nil // no such rule
	}
	if err != nil {
		return err
	}
	_, err = iptables(append([]string{"-D"}, forwardRule(bridge)...)...)
	return err
}

func iptables(args ...string) (rules string, err error) {
	cmd := exec.Command("iptables", append([]string{"--wait"}, args...)...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("iptables %s: %w: %s", args[0], err, strings.TrimSpace(complaint.String()))
	}
	return string(out), nil
}
