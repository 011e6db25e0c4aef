// Command bench measures what the agent costs a small program: processor time,
// resident memory and time to start, without it and with it, in the order ABBA
// so that a drift of the machine falls on both. It prints medians, and asserts
// nothing.
//
//	go run . -seconds 60 -rounds 5
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	seconds := flag.Int("seconds", 30, "how long one run is")
	rounds := flag.Int("rounds", 3, "rounds of ABBA: two runs of each kind")
	starts := flag.Int("starts", 40, "rounds of ABBA for the time to start")
	flag.Parse()
	if err := run(time.Duration(*seconds)*time.Second, *rounds, *starts); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// variant is a program in an environment.
type variant struct {
	name, program string
	env           []string
	cpu, resident []float64 // percent of a core, bytes
	start         []float64 // seconds
}

func run(length time.Duration, rounds, starts int) error {
	dir, err := os.MkdirTemp("", "flyball-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	without, with := filepath.Join(dir, "without"), filepath.Join(dir, "with")
	for program, tags := range map[string]string{without: "", with: "flyball"} {
		build := exec.Command("go", "build", "-buildvcs=false", "-tags", tags, "-o", program, "flyball.dev/agent/bench/small")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("building: %w", err)
		}
	}
	line := fmt.Sprintf("v1 gen=1 ttl=86400 exp=%d lambda=1e-9 memlimit=1073741824\n", time.Now().Unix()+86400)
	if err := os.WriteFile(filepath.Join(dir, "runtime"), []byte(line), 0o644); err != nil {
		return err
	}
	base := &variant{name: "without", program: without}
	others := []*variant{
		{name: "with, nothing mounted", program: with, env: []string{"FLYBALL_RUNTIME_DIR=" + dir + "/nothing"}},
		{name: "with, a line in force and metrics", program: with,
			env: []string{"FLYBALL_RUNTIME_DIR=" + dir, "FLYBALL_STATE_DIR=" + dir, "FLYBALL_METRICS_ADDRESS=127.0.0.1:0"}},
	}
	for _, other := range others {
		for range rounds {
			for _, v := range []*variant{base, other, other, base} {
				if err := v.live(length); err != nil {
					return err
				}
				_ = os.Remove(filepath.Join(dir, "probation")) // the kill is no crash
			}
		}
		for range starts {
			for _, v := range []*variant{base, other, other, base} {
				if err := v.begin(); err != nil {
					return err
				}
				_ = os.Remove(filepath.Join(dir, "probation"))
			}
		}
	}
	fmt.Printf("medians of %d runs of %s, and of %d starts\n\n", 2*rounds, length, 2*starts)
	fmt.Printf("%-36s %14s %14s %12s\n", "", "CPU, % of one", "resident, MB", "start, ms")
	for _, v := range append([]*variant{base}, others...) {
		fmt.Printf("%-36s %14.3f %14.2f %12.2f\n", v.name, median(v.cpu), median(v.resident)/1e6, 1000*median(v.start))
	}
	return nil
}

func (v *variant) launch() (*exec.Cmd, io.Closer, error) {
	cmd := exec.Command(v.program)
	cmd.Env = append([]string{"FLYBALL_LOG=off"}, v.env...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	if text, err := bufio.NewReader(out).ReadString('\n'); err != nil || text != "ready\n" {
		return nil, nil, fmt.Errorf("%s says %q: %v", v.name, text, err)
	}
	return cmd, in, nil
}

// begin measures one start, up to the line that says ready.
func (v *variant) begin() error {
	began := time.Now()
	cmd, in, err := v.launch()
	if err != nil {
		return err
	}
	v.start = append(v.start, time.Since(began).Seconds())
	_ = in.Close()
	return cmd.Wait()
}

// live measures a run; the first second is that of its start.
func (v *variant) live(length time.Duration) error {
	cmd, in, err := v.launch()
	if err != nil {
		return err
	}
	time.Sleep(time.Second)
	before, err := used(cmd.Process.Pid)
	if err != nil {
		return err
	}
	time.Sleep(length)
	resident, err := resident(cmd.Process.Pid)
	if err != nil {
		return err
	}
	after, err := used(cmd.Process.Pid)
	if err != nil {
		return err
	}
	v.cpu = append(v.cpu, 100*(after-before).Seconds()/length.Seconds())
	v.resident = append(v.resident, resident)
	_ = in.Close()
	return cmd.Wait()
}

// used is the processor time of all threads so far, to the nanosecond.
func used(pid int) (time.Duration, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(tasks) == 0 {
		return 0, fmt.Errorf("no schedstat of process %d: %v", pid, err)
	}
	var sum time.Duration
	for _, task := range tasks {
		raw, err := os.ReadFile(task)
		if err != nil {
			return 0, err
		}
		first, _, _ := strings.Cut(string(raw), " ")
		n, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n)
	}
	return sum, nil
}

func resident(pid int) (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseFloat(strings.Fields(string(raw))[1], 64)
	return pages * float64(syscall.Getpagesize()), err
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return (values[len(values)/2] + values[(len(values)-1)/2]) / 2
}
