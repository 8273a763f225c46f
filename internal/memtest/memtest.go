// Package memtest measures, in tests, how much memory is alive at once while something
// streams: not what was ever allocated, nor what the garbage collector has yet to take.
//
// The whole process is measured, so that such a test must not run in parallel with others.
package memtest

import (
	"io"
	"runtime"
)

// every is how many bytes pass between two looks at the memory.
const every = 8 << 20

// Meter knows the most memory that was alive at a moment it looked.
type Meter struct{ before, most uint64 }

// Start returns a Meter that counts from what is alive now.
func Start() *Meter {
	m := &Meter{before: live()}
	m.most = m.before
	return m
}

func live() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools keep, and what was made during a collection, is taken by the second one
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// Look measures now.
func (m *Meter) Look() { m.most = max(m.most, live()) }

// Most is how many bytes more than at the start were alive at once.
func (m *Meter) Most() int { return int(m.most - m.before) } //nolint:gosec // memory is less than 8 EiB

// Reader returns n zero bytes, and looks as they are read.
func (m *Meter) Reader(n int64) io.Reader { return io.LimitReader(&stream{meter: m}, n) }

// Writer takes all bytes, and looks as they are written.
func (m *Meter) Writer() io.Writer { return &stream{meter: m} }

type stream struct {
	meter *Meter
	since int
}

func (s *stream) Read(p []byte) (int, error) {
	clear(p)
	return s.Write(p)
}

func (s *stream) Write(p []byte) (int, error) {
	if s.since += len(p); s.since >= every {
		s.since = 0
		s.meter.Look()
	}
	return len(p), nil
}
