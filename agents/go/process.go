package agent

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"flyball.dev/agent/internal/cgroup"
	"flyball.dev/agent/internal/contract"
	"flyball.dev/agent/internal/watch"
)

const (
	second     = time.Second
	poll       = 5 * time.Second // of the file, where nothing tells of its change
	idle       = time.Minute     // where there is no file
	maxFile    = 1 << 20         // annotations are 256 KiB in all
	collection = 50 * time.Millisecond
)

// process is the side of the agent that acts: it reads the file, the runtime
// and the control group, has contract.State decide, and does what it says.
type process struct {
	folder, stateFile string
	began             time.Time
	log               func(string)
	group             *cgroup.Group
	listeners         listeners

	// What a page of metrics reads too.
	mu    sync.Mutex
	state *contract.State
	probe probe

	signals  chan struct{} // something to look at: the folder, a listener
	ended    chan struct{} // a collection ended
	armed    atomic.Bool   // ended is wanted
	observed atomic.Bool   // somebody reads the metrics, the level included
	folderOK atomic.Bool   // the folder is watched
	changed  atomic.Bool   // and something changed in it
	clearing atomic.Bool   // a reclaim is under way

	// Of the loop alone.
	due    time.Duration // when the file is to be read
	looked time.Duration // when last
	limit  int64         // the container's
}

// newProcess is nil where the environment says off.
func newProcess(getenv contract.Getenv, root string) *process {
	config, notes := contract.Configure(getenv)
	if config.Disabled {
		return nil
	}
	a := &process{
		folder:  getenv("FLYBALL_RUNTIME_DIR"),
		began:   time.Now(),
		group:   cgroup.Find(root),
		signals: make(chan struct{}, 1),
		ended:   make(chan struct{}, 1),
		log:     func(note string) { _, _ = os.Stderr.WriteString("flyball: " + note + "\n") },
		probe:   newProbe(),
		limit:   cgroup.None,
	}
	if getenv("FLYBALL_LOG") == "off" {
		a.log = func(string) {}
	}
	if a.folder == "" {
		a.folder = "/etc/flyball"
	}
	if dir := getenv("FLYBALL_STATE_DIR"); dir != "" {
		a.stateFile = filepath.Join(dir, "probation")
		config.Marked = marked(a.stateFile)
	}
	a.state = contract.New(config)
	a.listeners.log = a.log
	for _, note := range notes {
		a.log(note)
	}
	return a
}

// marked is the generation in the file of probation; 0 where there is none, or
// something that no agent wrote.
func marked(file string) int64 {
	raw, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	gen, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
	if err != nil {
		return 0
	}
	return gen
}

func (a *process) now() time.Duration { return time.Since(a.began) }

// wake has the agent look at once.
func (a *process) wake() { signal(a.signals) }

// watched tells that somebody reads the metrics, so that the watermarks count.
func (a *process) watched() {
	if !a.observed.Swap(true) {
		a.wake()
	}
}

func signal(to chan struct{}) {
	select {
	case to <- struct{}{}:
	default: // one is waiting already
	}
}

func (a *process) run() {
	timer := time.NewTimer(0)
	for {
		select {
		case <-timer.C:
		case <-a.signals:
		case <-a.ended:
			// Where collections follow each other some of them are left out.
			if a.now()-a.looked >= collection {
				a.look(true)
			}
			continue
		}
		timer.Reset(a.look(false))
	}
}

// look is one look and what it leads to; the time until the next. After a
// collection only the runtime is asked.
func (a *process) look(collected bool) time.Duration {
	now := a.now()
	a.looked = now
	l := contract.Look{Now: now, Wall: time.Now().Unix(), Filled: -1}
	if !collected {
		if a.changed.Swap(false) || now >= a.due {
			l.Read = true
			l.Text, l.Readable = a.file()
		}
		memory := a.group.Read()
		a.limit = memory.Limit
		if memory.WorkingSet >= 0 && memory.Limit != cgroup.None && memory.Limit > 0 {
			l.Filled = 100 * float64(memory.WorkingSet) / float64(memory.Limit)
		}
	}
	l.Container = a.limit

	a.mu.Lock()
	reading, current := a.probe.read(a.limit)
	l.Reading, l.Current = &reading, current
	actions := a.state.Step(l)
	// Before anybody can read that it is applied: who reads that, and ends the
	// process, ends it on probation.
	a.keep(actions)
	a.mu.Unlock()

	a.do(actions, current)

	a.mu.Lock()
	applied, level, readable := a.state.Applied() != 0, a.state.Pressure(), a.state.Readable()
	a.mu.Unlock()
	a.listeners.tell(Level(level))
	a.arm(applied)
	if l.Read {
		a.due = now + idle
		if applied || readable {
			a.due = now + poll
		}
	}
	if applied || level != contract.Normal || a.observed.Load() || a.listeners.any() {
		return second
	}
	return a.due - now
}

// file reads the line, and sees to it that the folder is watched.
func (a *process) file() (string, bool) {
	if !a.folderOK.Load() {
		// First the watch and then the file: a change in between is not missed.
		_, err := watch.Folder(a.folder,
			func() { a.changed.Store(true); a.wake() },
			func() { a.folderOK.Store(false) })
		a.folderOK.Store(err == nil)
	}
	return readFile(filepath.Join(a.folder, "runtime"))
}

// keep writes and removes the file of probation.
func (a *process) keep(actions []contract.Action) {
	for _, action := range actions {
		switch action.Kind {
		case contract.Mark:
			if err := mark(a.stateFile, action.Value); err != nil {
				a.log("no probation for generation " + strconv.FormatInt(action.Value, 10) + ": " + err.Error())
			}
		case contract.Unmark:
			if err := os.Remove(a.stateFile); err != nil && !os.IsNotExist(err) {
				a.log("probation can't be ended: " + err.Error())
			}
		}
	}
}

// do carries out the rest of what was decided. It holds no lock: the runtime
// lets a knob be moved only between collections.
func (a *process) do(actions []contract.Action, current contract.Values) {
	for _, action := range actions {
		switch action.Kind {
		case contract.SetGOGC:
			if was := debug.SetGCPercent(int(action.Value)); int64(was) != current.GOGC {
				debug.SetGCPercent(was)
				a.moved()
				return
			}
		case contract.SetLimit:
			if was := debug.SetMemoryLimit(action.Value); was != current.Limit {
				debug.SetMemoryLimit(was)
				a.moved()
				return
			}
		case contract.Reclaim:
			if !a.clearing.Swap(true) {
				go func() {
					defer a.clearing.Store(false)
					debug.FreeOSMemory()
				}()
			}
		case contract.Log:
			a.log(action.Note)
		}
	}
}

// moved: somebody moved a knob between the look and the write. It is his.
func (a *process) moved() {
	a.mu.Lock()
	actions := a.state.Moved()
	a.keep(actions)
	a.mu.Unlock()
	for _, action := range actions {
		if action.Kind == contract.Log {
			a.log(action.Note)
		}
	}
}

// mark writes the generation so that it is there whole or not at all.
func mark(file string, gen int64) error {
	next := file + ".next"
	if err := os.WriteFile(next, []byte(strconv.FormatInt(gen, 10)+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(next, file)
}

// arm has the agent told of each collection's end, as long as a generation is
// in force.
func (a *process) arm(wanted bool) {
	if a.armed.Swap(wanted) != wanted && wanted {
		a.lay()
	}
}

// lay leaves an object that nobody holds: its cleanup runs after the next
// collection, and lays the next one.
func (a *process) lay() {
	runtime.AddCleanup(&sentinel{of: a}, func(a *process) {
		if a.armed.Load() {
			signal(a.ended)
			a.lay()
		}
	}, a)
}

// sentinel has a pointer, so that the allocator puts it with no others.
type sentinel struct{ of *process }
