package agent

import (
	"fmt"
	"sync"
)

// listeners are the application's functions.
type listeners struct {
	log func(string)
	mu  sync.Mutex
	now Level
	all []*listener
}

// listener is one function, with the levels that it was not told yet.
type listener struct {
	tell    func(Level)
	pending []Level
	told    Level
	busy    bool
}

func (s *listeners) any() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all) > 0
}

func (s *listeners) add(tell func(Level)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &listener{tell: tell}
	s.all = append(s.all, l)
	s.queue(l, s.now)
}

// tell tells everybody of a level that is new.
func (s *listeners) tell(level Level) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = level
	for _, l := range s.all {
		s.queue(l, level)
	}
}

// queue leaves out what a function that takes its time has not heard of and
// what is over: it gets the last level for sure, and no more than a few before.
func (s *listeners) queue(l *listener, level Level) {
	if level == l.told {
		return
	}
	l.told = level
	if len(l.pending) == 8 {
		l.pending[7] = level
	} else {
		l.pending = append(l.pending, level)
	}
	if !l.busy {
		l.busy = true
		go s.deliver(l)
	}
}

func (s *listeners) deliver(l *listener) {
	for {
		s.mu.Lock()
		if len(l.pending) == 0 {
			l.busy = false
			s.mu.Unlock()
			return
		}
		level := l.pending[0]
		l.pending = l.pending[1:]
		s.mu.Unlock()
		s.call(l, level)
	}
}

func (s *listeners) call(l *listener, level Level) {
	defer func() {
		if failure := recover(); failure != nil {
			s.log(fmt.Sprintf("a function of OnPressure failed at %s: %v", level, failure))
		}
	}()
	l.tell(level)
}
