package heap

import "sync"

// cell is an object of a live heap: of a usual size, and with pointers to
// follow, as those of real services have.
type cell struct {
	next, other *cell
	_           [496]byte
}

const (
	chunk  = 1 << 20
	perOne = chunk / 512 // cells
)

// live is a number of chunks of 1 MiB of cells.
type live struct {
	mu     sync.Mutex
	chunks [][]*cell
}

// resize makes or drops chunks.
func (l *live) resize(bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wanted := int(bytes / chunk)
	for len(l.chunks) < wanted {
		cells := make([]*cell, perOne)
		for i := range cells {
			cells[i] = &cell{next: cells[i/2], other: cells[i/3]}
		}
		l.chunks = append(l.chunks, cells)
	}
	if wanted < len(l.chunks) {
		clear(l.chunks[wanted:])
		l.chunks = l.chunks[:wanted]
	}
}

func (l *live) bytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(len(l.chunks)) * chunk
}

// sink has what was allocated last, so that the compiler can't leave it out.
var sink sync.Pool

// garbage allocates and touches so much, in pieces of up to 8 KiB, and keeps none of it.
func garbage(bytes int64) {
	const piece = 8 << 10
	var last []byte
	for bytes > 0 {
		last = make([]byte, min(bytes, piece))
		for i := 0; i < len(last); i += 4096 {
			last[i] = 1
		}
		bytes -= piece
	}
	sink.Put(&last)
}

// cache is filled by requests, and dropped as a whole.
type cache struct {
	mu      sync.Mutex
	entries [][]byte
	size    int64
}

// add is one entry more, in the place of an older one once the cache is full.
func (c *cache) add(entry, most int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if entry <= 0 || entry > most {
		return
	}
	for len(c.entries) > 0 && c.size+entry > most {
		c.size -= int64(len(c.entries[0]))
		c.entries[0] = nil
		c.entries = c.entries[1:]
	}
	bytes := make([]byte, entry)
	for i := 0; i < len(bytes); i += 4096 {
		bytes[i] = 1
	}
	c.entries = append(c.entries, bytes)
	c.size += entry
}

func (c *cache) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries, c.size = nil, 0
}

func (c *cache) bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size
}
