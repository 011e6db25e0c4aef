// Package process starts programs that outlive us and ends them again. A
// program is remembered by its pid together with its start time and the boot
// it belongs to, so that a pid that was used again is never signalled.
package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Identity is what a pid file holds.
type Identity struct {
	Pid   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks since boot, field 22 of /proc/PID/stat
	Boot  string `json:"boot"`  // the kernel's boot id
}

// Spec is a program to start.
type Spec struct {
	Name string
	Argv []string
	Env  []string // added to the environment of this process
	Log  string   // file that takes stdout and stderr
}

// Start starts a program that a closing terminal does not reach, and writes its
// pid file at once.
func Start(spec Spec, pidDir string) (Identity, error) {
	log, err := os.Create(spec.Log)
	if err != nil {
		return Identity{}, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	defer log.Close()
	cmd := exec.Command(spec.Argv[0], spec.Argv[1:]...)
	cmd.Env = append(os.Environ(), spec.Env...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return Identity{}, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	// Reap it if it dies while we still run, or it would look alive.
	go func() { _ = cmd.Wait() }()

	id, err := identify(cmd.Process.Pid)
	if err != nil {
		return Identity{}, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	return id, write(pidDir, spec.Name, id)
}

// Alive reports whether the very process that was started still runs.
func (id Identity) Alive() bool {
	now, err := identify(id.Pid)
	return err == nil && now == id
}

// Stop asks the process to end, waits, and after the grace period kills it.
// It returns only when the process is gone.
func (id Identity) Stop(grace time.Duration) error {
	deadline := time.Now().Add(grace)
	signal := syscall.SIGTERM
	for id.Alive() {
		if time.Now().After(deadline) {
			signal = syscall.SIGKILL
			deadline = time.Now().Add(grace)
		}
		if signal != 0 {
			if err := syscall.Kill(id.Pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("stop pid %d: %w", id.Pid, err)
			}
			signal = 0
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

// RSS is the process's resident memory in bytes, or 0 when it is gone.
func (id Identity) RSS() int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", id.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// Load reads every pid file in a folder, by the program's name.
func Load(pidDir string) (map[string]Identity, error) {
	files, err := filepath.Glob(filepath.Join(pidDir, "*.json"))
	if err != nil {
		return nil, err
	}
	ids := map[string]Identity{}
	for _, file := range files {
		var id Identity
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		// A file torn by a crash names no process; the cgroup sweep finds it.
		if json.Unmarshal(data, &id) == nil {
			ids[strings.TrimSuffix(filepath.Base(file), ".json")] = id
		}
	}
	return ids, nil
}

// Forget removes a program's pid file.
func Forget(pidDir, name string) error {
	err := os.Remove(filepath.Join(pidDir, name+".json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func write(pidDir, name string, id Identity) error {
	if err := os.MkdirAll(pidDir, 0o755); err != nil {
		return err
	}
	data, err := json.Marshal(id)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(pidDir, name+".json"), data, 0o644)
}

func identify(pid int) (Identity, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Identity{}, err
	}
	start, state, err := parseStat(string(data))
	if err != nil {
		return Identity{}, fmt.Errorf("pid %d: %w", pid, err)
	}
	if state == "Z" {
		return Identity{}, fmt.Errorf("pid %d is a zombie", pid)
	}
	boot, err := BootID()
	return Identity{Pid: pid, Start: start, Boot: boot}, err
}

// parseStat takes the state and the start time out of /proc/PID/stat. The
// second field is the command in parentheses and may itself hold both spaces
// and parentheses, so counting begins after the last one.
func parseStat(stat string) (start uint64, state string, err error) {
	end := strings.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, "", errors.New("stat has no command")
	}
	fields := strings.Fields(stat[end+1:])
	const stateField, startField = 0, 19 // fields 3 and 22 of the line
	if len(fields) <= startField {
		return 0, "", errors.New("stat is too short")
	}
	start, err = strconv.ParseUint(fields[startField], 10, 64)
	return start, fields[stateField], err
}

// BootID names the current boot of the machine.
func BootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(data)), err
}

// LastLine is the last non-empty line of a log, for a one-line error.
func LastLine(log string) string {
	data, err := os.ReadFile(log)
	if err != nil {
		return "no log"
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
