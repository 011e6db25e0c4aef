// Package agent lets Flyball's controller move this process's garbage
// collector, within local bounds and for as long as a lease runs, and tells the
// application when memory is short. A blank import is enough:
//
//	import _ "flyball.dev/agent"
//
// It reads one line from a file that the pod mounts. Where nothing is mounted,
// nothing changes.
package agent

import (
	"net/http"
	"os"

	"flyball.dev/agent/internal/contract"
	"flyball.dev/agent/internal/page"
)

// Release is the agent's own version, in flyball_agent_info.
const Release = "0.1.0"

// Level is how short memory is, of the container or of its node.
type Level int

// The levels, in rising order. Normal is told when a higher one ends.
const (
	Normal    = Level(contract.Normal)
	Warning   = Level(contract.Warning)
	High      = Level(contract.High)
	Emergency = Level(contract.Emergency)
)

// String is the level's word in a line.
func (l Level) String() string { return contract.Level(l).String() }

// running is the agent of this process; nil with FLYBALL_AGENT=off.
var running *process

func init() {
	running = newProcess(os.Getenv, "/")
	if running == nil {
		return
	}
	page.Gather, page.Watched = running.gather, running.watched
	if address := os.Getenv("FLYBALL_METRICS_ADDRESS"); address != "" {
		running.observed.Store(true)
		go serve(address, handler(running.gather), running.log)
	}
	go running.run()
}

// OnPressure registers a function that is told when memory gets short, to drop
// caches or to shed load, and when it is over. It is called with each new level,
// in order and never twice at a time; where the level is not normal by now, at once.
func OnPressure(tell func(Level)) {
	if running == nil || tell == nil {
		return
	}
	running.listeners.add(tell)
	running.wake()
}

// Handler serves the agent's metrics, in Prometheus' text form. With
// FLYBALL_METRICS_ADDRESS the agent serves them itself, at /metrics; for
// client_golang's default registry import flyball.dev/agent/prom.
func Handler() http.Handler {
	if running != nil {
		running.watched()
	}
	return handler(page.Gather)
}
