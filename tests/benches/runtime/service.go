package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// entry is a part of the live heap, as one of a cache: 8 objects of 64 bytes,
// each with pointers to follow, to what is its own and to what all share.
type entry struct {
	next   *entry
	shared *entry
	_      [48]byte
}

const objects = 8

const perMiB = 1 << 20 / 512

type service struct {
	garbage int64
	replace int
	work    int

	rate, served, due atomic.Int64

	mu   sync.Mutex
	live []*entry
	at   int // the entry that was replaced last
}

// common is what entries share; it is never replaced, so that nothing old lives on by it.
var common [1024]entry

// resize makes or drops entries until there are so many MiB.
func (s *service) resize(mib int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := max(mib, 1) * perMiB
	sized := append(make([]*entry, 0, wanted), s.live[:min(wanted, len(s.live))]...)
	for len(sized) < wanted {
		sized = append(sized, fresh(len(sized)))
	}
	s.live, s.at = sized, s.at%wanted
}

func fresh(at int) *entry {
	var e *entry
	for i := range objects {
		e = &entry{next: e, shared: &common[(at+i)%len(common)]}
	}
	return e
}

// pace starts the requests that are due, whether or not earlier ones are done.
func (s *service) pace(ctx context.Context) {
	const step = 20 * time.Millisecond // each wakes the process, which costs as well
	tick := time.NewTicker(step)
	defer tick.Stop()
	last, owed := time.Now(), 0.0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		owed += now.Sub(last).Seconds() * float64(s.rate.Load())
		last = now
		for ; owed >= 1; owed-- {
			go s.serve(s.due.Add(1))
		}
	}
}

// node is a piece of what a request builds and forgets.
type node struct {
	next *node
	data []byte
}

// sum keeps the compiler from leaving the work out.
var sum atomic.Uint64

// serve is one request: the same allocations and the same computing for each number.
func (s *service) serve(number int64) {
	sizes := [...]int64{256, 1024, 512, 4096, 128, 8192, 2048, 512}
	var list *node
	total := uint64(number)
	for left, i := s.garbage, 0; left > 0; i++ {
		size := min(left, sizes[i%len(sizes)])
		list = &node{next: list, data: make([]byte, size)}
		list.data[0], list.data[size-1] = byte(i), byte(number)
		left -= size
	}
	for done := 0; done < s.work; {
		for at := list; at != nil && done < s.work; at = at.next {
			for _, b := range at.data {
				total = total*1099511628211 ^ uint64(b)
			}
			done += len(at.data)
		}
	}
	s.mu.Lock()
	for range s.replace {
		s.at = (s.at + 1) % len(s.live)
		s.live[s.at] = fresh(s.at)
	}
	s.mu.Unlock()
	sum.Add(total)
	s.served.Add(1)
}
