package postgres

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// processes answers the ids of those whose command line, zero bytes between arguments, is matched.
func processes(match func(cmdline string) bool) []int {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err == nil && match(cmdline(pid)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func cmdline(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return ""
	}
	// A title that a process gave itself is padded.
	return strings.TrimRight(string(b), "\x00")
}

// alive is false for a zombie too: a process whose parent is gone may wait long for one that reaps it.
func alive(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, ok := bytes.Cut(b[max(0, bytes.LastIndexByte(b, ')')):], []byte(") "))
	return ok && len(rest) > 0 && rest[0] != 'Z' && rest[0] != 'X'
}
