// Command service is what `make bench-runtime` measures: a process that serves
// requests at a fixed rate from a live heap of a given size, each the same work
// whatever collects. It is told what to do on standard input, a line each:
//
//	rate 200   so many requests a second from now on
//	live 300   so many MiB of live heap; it answers when it has them
//	mark       it answers with what it served and used so far
//
// It ends where standard input does.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/bytedance/gopkg/util/gctuner"

	_ "flyball.dev/agent" // off in all processes but Flyball's: FLYBALL_AGENT
)

// Mark is what a process tells of itself, counted from its start.
type Mark struct {
	Requests int64   `json:"requests"`
	Due      int64   `json:"due"` // by the rate
	CPU      float64 `json:"cpu"` // seconds, of user and system
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "service: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	garbage := flag.Int64("garbage", 100<<10, "bytes of garbage that a request makes")
	replace := flag.Int("replace", 8, "entries of the live heap that a request replaces, of 512 bytes each")
	work := flag.Int("work", 0, "KiB that a request computes a sum over")
	limit := flag.Uint64("limit", 0, "the container's limit in bytes, as the tuners are told it")
	tuner := flag.String("tuner", "none", "none, automemlimit or gctuner")
	flag.Parse()
	switch *tuner {
	case "none":
	case "automemlimit": // as its own documentation has it: 0.9 of the limit
		if _, err := memlimit.Set(memlimit.WithProvider(memlimit.Limit(*limit)), memlimit.WithRatio(0.9),
			memlimit.WithLogger(slog.New(slog.DiscardHandler))); err != nil {
			return err
		}
	case "gctuner": // as its own documentation has it: 0.7 of the limit
		gctuner.Tuning(*limit / 10 * 7)
	default:
		return fmt.Errorf("-tuner=%s: say none, automemlimit or gctuner", *tuner)
	}
	s := &service{garbage: *garbage, replace: *replace, work: *work << 10}
	s.resize(1)
	go s.pace(context.Background())
	lines := bufio.NewScanner(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		verb, value, _ := strings.Cut(lines.Text(), " ")
		number, err := strconv.Atoi(value)
		if verb != "mark" && (err != nil || number < 0) {
			return fmt.Errorf("%q is no command: say rate, live or mark", lines.Text())
		}
		switch verb {
		case "rate":
			s.rate.Store(int64(number))
			continue
		case "live":
			s.resize(number)
		case "mark":
		default:
			return fmt.Errorf("%q is no command: say rate, live or mark", lines.Text())
		}
		if err := answers.Encode(s.mark()); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (s *service) mark() Mark {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used) // it fails for no process of its own
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return Mark{Requests: s.served.Load(), Due: s.due.Load(), CPU: seconds(used.Utime) + seconds(used.Stime)}
}
