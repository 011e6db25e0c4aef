package serve

import "time"

// pool is a fixed number of workers behind a bounded queue: the part of a
// service that saturates. Its latency is the time in the queue plus the time of
// the work, so it grows without bound as arrivals approach workers divided by
// service time.
type pool struct {
	queue chan job
	busy  meter
}

type job struct {
	work func()
	done chan struct{}
}

// newPool starts the workers. They end when the queue is closed.
func newPool(workers, queue int) *pool {
	p := &pool{queue: make(chan job, queue)}
	for range workers {
		go func() {
			for job := range p.queue {
				p.busy.add(1)
				job.work()
				p.busy.add(-1)
				close(job.done)
			}
		}()
	}
	return p
}

// do queues the work and waits until it is done. It reports false, at once, if
// the queue is full. Work that was accepted is done even if nobody waits for
// the answer any more, as in most services.
func (p *pool) do(work func()) bool {
	job := job{work: work, done: make(chan struct{})}
	select {
	case p.queue <- job:
		<-job.done
		return true
	default:
		return false
	}
}

func (p *pool) close() { close(p.queue) }

// serviceTime is how long one piece of work takes: the base, spread evenly by
// the jitter to both sides. The random number is in [0, 1).
func serviceTime(base, jitter time.Duration, random float64) time.Duration {
	return max(0, base+time.Duration((2*random-1)*float64(jitter)))
}
