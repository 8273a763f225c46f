package postgres

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestTakesOverFromAKilledProcess(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(temp(t), "postgres")
	url, cmd, _ := another(t, dir, nil)
	pid := postmaster(dir)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	s, log := start(t, Config{Dir: dir})
	if s.URL() != url || s.proc.pid != pid || !strings.Contains(log.String(), "adopted=true") {
		t.Fatalf("not adopted: %d, was %d\n%s", s.proc.pid, pid, log)
	}
	// An adopted server is watched too.
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	log.awaitRestart()
	if err := s.Ping(t.Context()); err != nil || s.URL() != url {
		t.Fatal(err)
	}
	pid = s.proc.pid
	if err := s.Close(t.Context()); err != nil || alive(pid) {
		t.Fatal("an adopted server is not stopped:", err)
	}
}

func TestRestartsAKilledServer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(temp(t), "postgres")
	s, log := start(t, Config{Dir: dir})
	url := s.URL()
	run(t, url, "CREATE TABLE a (b int); INSERT INTO a VALUES (1)")
	for range 3 {
		// A backend that is busy outlives its postmaster, and holds its shared memory.
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			_, err := conn.Exec(context.Background(), "SELECT count(*) FROM generate_series(1, 1e12)")
			ended <- err
		}()
		for query[int64](t, url, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%generate_series(1, 1e12)' AND state = 'active'") == 0 {
		}
		log.mu.Lock()
		log.buf.Reset()
		log.mu.Unlock()
		killed := time.Now()
		if err := syscall.Kill(postmaster(dir), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		log.awaitRestart()
		if took := time.Since(killed); took > 5*time.Second {
			t.Errorf("down for %v", took)
		} else {
			t.Logf("down for %v", took)
		}
		if err := <-ended; err == nil {
			t.Error("the orphan went on")
		}
		if n := query[int64](t, url, "SELECT count(*) FROM a"); n != 1 {
			t.Error("lost a row")
		}
	}
	if !strings.Contains(log.String(), "killed") {
		t.Error("no reason logged:", log)
	}
}

func TestStartsAfterBothWereKilled(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(temp(t), "postgres")
	_, cmd, _ := another(t, dir, nil)
	pid := postmaster(dir)
	_ = cmd.Process.Kill()
	_ = syscall.Kill(pid, syscall.SIGKILL)
	_ = cmd.Wait()
	began := time.Now()
	s, log := start(t, Config{Dir: dir})
	if strings.Contains(log.String(), "adopted=true") || s.proc.pid == pid {
		t.Error("adopted a dead one")
	}
	t.Logf("ready after %v", time.Since(began))
}

func TestAPidFileOfSomebodyElseIsNoServer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(temp(t), "postgres")
	s, _ := start(t, Config{Dir: dir})
	file := filepath.Join(s.place.data(), "postmaster.pid")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	// After a reboot the pid may be another program's of the same user, and PostgreSQL would not start.
	sleeper := s.place.account.command(t.Context(), "/", "sleep", "600")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer sleeper.Wait()
	defer sleeper.Process.Kill()
	_, rest, _ := strings.Cut(string(b), "\n")
	if err := os.WriteFile(file, []byte(strconv.Itoa(sleeper.Process.Pid)+"\n"+rest), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.place.account.Own(file); err != nil {
		t.Fatal(err)
	}
	s, _ = start(t, Config{Dir: dir})
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !alive(sleeper.Process.Pid) {
		t.Error("the other program was killed")
	}
}

func TestAnInterruptedInitdbIsThrownAway(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(temp(t), "postgres")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "TEST_POSTGRES_HELPER="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	helper := child(cmd)
	for { // until initdb is at work
		if half, _ := filepath.Glob(filepath.Join(dir, "init-*", "data", "base")); len(half) > 0 {
			break
		}
		select {
		case <-helper.ended:
			t.Fatal("the helper ended too soon:", helper.reason())
		case <-time.After(time.Millisecond):
		}
	}
	_ = cmd.Process.Kill()
	<-helper.ended
	if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
		t.Fatal("the cluster is there before it is whole")
	}
	s, _ := start(t, Config{Dir: dir})
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "init-*")); len(left) != 0 {
		t.Error("left behind:", left)
	}
}
