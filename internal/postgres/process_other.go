//go:build !linux

package postgres

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// processes answers the ids of those whose command line, zero bytes between arguments, is matched. An argument
// with a blank in it is seen as two.
func processes(match func(cmdline string) bool) []int {
	var pids []int
	for line := range strings.Lines(ps("-axo", "pid=,command=")) {
		id, command, _ := strings.Cut(strings.TrimSpace(line), " ")
		pid, err := strconv.Atoi(id)
		if err == nil && (match(command) || match(strings.ReplaceAll(command, " ", "\x00"))) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func cmdline(pid int) string {
	return strings.ReplaceAll(strings.TrimSpace(ps("-p", strconv.Itoa(pid), "-o", "command=")), " ", "\x00")
}

func alive(pid int) bool {
	if syscall.Kill(pid, 0) == syscall.ESRCH { //nolint:errorlint // a bare errno
		return false
	}
	return !strings.HasPrefix(strings.TrimSpace(ps("-p", strconv.Itoa(pid), "-o", "stat=")), "Z")
}

func ps(args ...string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ps", args...).Output() //nolint:gosec // constant but for a number
	if err != nil {
		return ""
	}
	return string(out)
}
