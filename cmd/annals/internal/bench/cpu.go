package bench

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// serverCPU is the CPU time that the PostgreSQL behind url has used so far, all of
// its processes together. It is known where the server runs on this machine and
// the machine is a Linux; ok is false elsewhere.
func serverCPU(ctx context.Context, url string) (used time.Duration, ok bool) {
	conn, done, err := connect(ctx, url, nil)
	if err != nil {
		return 0, false
	}
	defer done()
	var backend int
	if err := conn.QueryRow(ctx, "select pg_backend_pid()").Scan(&backend); err != nil {
		return 0, false
	}
	self, ok := statOf(strconv.Itoa(backend))
	if !ok || self.name != "postgres" {
		return 0, false
	}
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, false
	}
	for _, e := range entries {
		pid := filepath.Base(e)
		if p, ok := statOf(pid); ok && (pid == self.parent || p.parent == self.parent) {
			used += p.used
		}
	}
	return used, true
}

type processStat struct {
	name, parent string
	used         time.Duration // and what its children used that have ended
}

// tick is the unit of /proc, the same on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// statOf reads /proc/PID/stat, see proc(5).
func statOf(pid string) (processStat, bool) {
	raw, err := os.ReadFile(filepath.Join("/proc", pid, "stat")) //nolint:gosec // pid is a number
	begin, end := bytes.IndexByte(raw, '('), bytes.LastIndexByte(raw, ')')
	if err != nil || begin < 0 || end < begin {
		return processStat{}, false
	}
	f := strings.Fields(string(raw[end+1:])) // f[0] is the third field
	if len(f) < 15 {
		return processStat{}, false
	}
	p := processStat{name: string(raw[begin+1 : end]), parent: f[1]}
	for _, ticks := range f[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(ticks, 10, 64)
		if err != nil {
			return processStat{}, false
		}
		p.used += time.Duration(n) * tick
	}
	return p, true
}
