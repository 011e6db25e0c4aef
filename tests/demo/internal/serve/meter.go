package serve

import (
	"sync"
	"time"
)

// meter adds up how long workers have worked: the area under the number of
// those that work. What is under way is in it, so that a rate over any two
// readings is the true average between them, however long one piece of work is.
type meter struct {
	mu      sync.Mutex
	area    time.Duration // up to the last change
	working int
	changed time.Time
}

// add tells that one worker more works, or one less.
func (m *meter) add(workers int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.area, m.changed = m.upTo(now), now
	m.working += workers
}

// read is the time worked so far.
func (m *meter) read() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.upTo(time.Now())
}

func (m *meter) upTo(now time.Time) time.Duration {
	return m.area + time.Duration(m.working)*now.Sub(m.changed)
}
