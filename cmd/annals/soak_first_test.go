package main

import (
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// TestSoakFirstStart kills the first start at random moments, with PostgreSQL or without, until one is let be. Whatever
// was half made is made whole, and the last password that was printed signs in.
func TestSoakFirstStart(t *testing.T) {
	seed, full := soakSize(t)
	bin, data := build(t), filepath.Join(workDir(t), "data")
	env := hermetic("ANNALS_DATA="+data, "ANNALS_LISTEN=127.0.0.1:0", "ANNALS_EVENTSTORE_LISTEN=127.0.0.1:0")
	random := rand.New(rand.NewPCG(seed, 1000))
	kills, printed := 6, ""
	if full {
		kills = 40
	}
	announced := regexp.MustCompile(`first administrator: \S+, password (\S+)`)
	var p *process
	t.Cleanup(func() {
		if err := p.cleanUp(data); err != nil {
			t.Error(err)
		}
	})
	for i := 0; ; i++ {
		var err error
		if p, err = launch(bin, env, "--demo"); err != nil {
			t.Fatal(err)
		}
		if i == kills {
			break
		}
		span := time.Second
		if i >= kills/3 { // before that, while the cluster is being made
			span = 300 * time.Millisecond
			if err := p.untilLogged(t.Context(), "the private PostgreSQL is ready"); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case <-time.After(time.Duration(random.Int64N(int64(span)))):
		case <-p.ready:
		case <-p.ended:
			t.Fatalf("start %d ended by itself: %v\n%s", i, p.err, p.logs.tail())
		}
		pid := postmaster(data)
		if err := p.stop(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if pid != 0 && i%2 == 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL) // gone already is as well
		}
		if m := announced.FindStringSubmatch(p.out.String()); m != nil {
			printed = m[1]
		}
		t.Logf("start %d: killed after %v, PostgreSQL's pid %d, password printed: %v", i, time.Since(p.begun).Round(time.Millisecond), pid, printed != "")
	}
	if err := p.untilReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("ready after %v", p.took.Round(time.Millisecond))
	if m := announced.FindStringSubmatch(p.out.String()); m != nil {
		printed = m[1]
	}
	c, err := newCaller(p.url).signIn(t.Context(), "admin@annals.localhost", printed)
	if err != nil {
		t.Fatal(err)
	}
	list, err := must[struct {
		Total struct{ Count int }
	}](t.Context(), c, "GET", "/api/v1/clients", nil)
	if err != nil || list.Total.Count != 4 {
		t.Errorf("%d clients of the sample data, not 4: %v", list.Total.Count, err)
	}
	if err := p.stop(syscall.SIGTERM); err != nil || p.err != nil {
		t.Errorf("stop: %v, %v\n%s", err, p.err, p.logs.tail())
	}
}
