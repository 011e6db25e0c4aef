package agent

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"flyball.dev/agent/internal/contract"
	"flyball.dev/agent/internal/page"
)

// benched is an agent that nobody started, with a line in force.
func benched(b *testing.B) *process {
	b.Helper()
	dir := b.TempDir()
	text := fmt.Sprintf("v1 gen=1 ttl=3600 exp=%d gogc=100", time.Now().Unix()+3600)
	if err := os.WriteFile(filepath.Join(dir, "runtime"), []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
	a := newProcess(func(name string) string {
		return map[string]string{"FLYBALL_RUNTIME_DIR": dir, "FLYBALL_LOG": "off"}[name]
	}, "/")
	a.look(false)
	if a.state.Applied() != 1 {
		b.Fatal("no line is in force")
	}
	a.armed.Store(false) // nobody takes what the collections tell
	return a
}

// A look once a second, and its largest part, that of a line being read.
func BenchmarkLook(b *testing.B) {
	a := benched(b)
	for name, due := range map[string]time.Duration{"second": 1 << 62, "file": 0} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				a.due = due
				a.look(false)
			}
		})
	}
	b.Run("collection", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			a.look(true)
		}
	})
}

func BenchmarkPage(b *testing.B) {
	a := benched(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := page.Write(io.Discard, a.gather()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, reason := contract.Parse("v1 gen=7 ttl=3600 exp=1795000000 gogc=200 memlimit=1073741824 pressure=normal"); reason != "" {
			b.Fatal(reason)
		}
	}
}
