package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"annals/internal/postgres"
)

// How much TestSoak kills: ANNALS_SOAK=full is what make soak does, anything else a tenth of it.
const (
	soakKills         = 100
	soakDatabaseKills = 20
	soakWriters       = 16
	soakRestart       = 5 * time.Second // until ready again, at most
)

// TestSoak kills annals and its PostgreSQL with SIGKILL at random moments, under concurrent writers who keep book of
// what was acknowledged, and then holds the log against the books. ANNALS_SOAK_SEED repeats a run's choices.
func TestSoak(t *testing.T) {
	seed, full := soakSize(t)
	kills, databaseKills := soakKills/10, soakDatabaseKills/10
	if full {
		kills, databaseKills = soakKills, soakDatabaseKills
	}
	s := newSoak(t, seed)
	s.start(t)
	s.prepare(t)
	var writers sync.WaitGroup
	writing, finish := context.WithCancel(t.Context())
	defer func() { finish(); writers.Wait() }()
	for i := range soakWriters {
		w := s.newWriter(i)
		writers.Go(func() { w.work(writing) })
	}
	for i, k := range s.plan(kills, databaseKills) {
		if err := s.strike(k); err != nil {
			t.Fatalf("kill %d (%+v): %v", i, k, err)
		}
		if err := context.Cause(s.broken); err != nil {
			t.Fatalf("after kill %d (%+v): %v", i, k, err)
		}
	}
	finish() // what is under way is carried to its end
	writers.Wait()
	if err := context.Cause(s.broken); err != nil {
		t.Fatal(err)
	}
	s.report(t)
	s.check(t)
	if err := s.now.stop(syscall.SIGTERM); err != nil || s.now.err != nil {
		t.Fatalf("stop: %v, %v", err, s.now.err)
	}
}

// soakSize says what decides a run's choices, and whether it is to be a full one.
func soakSize(t *testing.T) (seed uint64, full bool) {
	t.Helper()
	seed = uint64(time.Now().UnixNano())
	if s := os.Getenv("ANNALS_SOAK_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("ANNALS_SOAK_SEED: %v", err)
		}
	}
	t.Logf("ANNALS_SOAK_SEED=%d", seed)
	return seed, os.Getenv("ANNALS_SOAK") == "full"
}

// soak is one run.
type soak struct {
	bin, data string
	env       []string
	seed      uint64
	random    *rand.Rand // of the schedule

	now    *process               // touched by the schedule only
	server atomic.Pointer[caller] // where annals listens, the last we know
	acked  chan struct{}          // each acknowledgement, as far as somebody waits for one
	broken context.Context        // ended by the first that is wrong
	wrong  context.CancelCauseFunc
	where  places
	ledger ledger

	restarts, recoveries []time.Duration
}

func newSoak(t *testing.T, seed uint64) *soak {
	t.Helper()
	s := &soak{
		bin: build(t), data: filepath.Join(workDir(t), "data"), seed: seed,
		random: rand.New(rand.NewPCG(seed, 0)),
		acked:  make(chan struct{}, 1),
	}
	s.broken, s.wrong = context.WithCancelCause(t.Context())
	s.env = hermetic("ANNALS_DATA="+s.data, "ANNALS_LISTEN=127.0.0.1:0", "ANNALS_EVENTSTORE_LISTEN=127.0.0.1:0",
		"ANNALS_ADMIN_PASSWORD="+soakPassword)
	t.Cleanup(func() {
		s.wrong(errors.New("the test has ended"))
		if s.now == nil {
			return
		}
		if t.Failed() {
			t.Logf("the last of annals' log:\n%s", s.now.logs.tail())
		}
		if err := s.now.cleanUp(s.data); err != nil {
			t.Error(err)
		}
	})
	return s
}

const soakPassword = "kill me softly"

// start is the first start, which makes everything.
func (s *soak) start(t *testing.T) {
	t.Helper()
	if err := s.launch(true); err != nil {
		t.Fatal(err)
	}
	c, err := newCaller(s.now.url).signIn(t.Context(), "admin@annals.localhost", soakPassword)
	if err != nil {
		t.Fatal(err)
	}
	s.server.Store(c)
}

// launch starts annals, and may wait until it is ready.
func (s *soak) launch(wait bool) (err error) {
	if s.now, err = launch(s.bin, s.env); err != nil {
		return err
	}
	if !wait {
		return nil
	}
	if err := s.now.untilReady(s.broken); err != nil {
		return err
	}
	if c := s.server.Load(); c != nil {
		moved := *c
		moved.url = s.now.url
		s.server.Store(&moved)
	}
	return nil
}

// kill is one entry of the schedule: what happens between one death of annals and the next.
type kill struct {
	Ready    bool          // annals is ready before it is killed; otherwise it is killed while it starts
	After    time.Duration // that, or the start
	Database time.Duration // when PostgreSQL is killed, after annals is ready; negative: it is not
	Recover  bool          // annals lives until a command has been acknowledged again
}

// plan draws the schedule. It ends with a start.
func (s *soak) plan(kills, databaseKills int) []kill {
	all := make([]kill, kills)
	for i := range all {
		all[i] = kill{Ready: i%4 != 3, Database: -1}
		span := 2 * time.Second
		if !all[i].Ready {
			span = 500 * time.Millisecond
		}
		all[i].After = time.Duration(s.random.Int64N(int64(span)))
	}
	s.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for n := databaseKills; n > 0; {
		k := &all[s.random.IntN(len(all))]
		if !k.Ready || k.Database >= 0 {
			continue
		}
		k.Database = time.Duration(s.random.Int64N(int64(time.Second)))
		k.Recover = n%4 != 0 // else annals dies soon after its PostgreSQL
		n--
	}
	return all
}

// strike carries out one entry: annals runs as it begins, and is ready again as it ends.
func (s *soak) strike(k kill) error {
	if k.Ready && k.Database >= 0 {
		if err := s.pause(k.Database); err != nil {
			return err
		}
		if err := s.killDatabase(k.Recover); err != nil {
			return err
		}
	}
	if k.Ready {
		if err := s.pause(k.After); err != nil {
			return err
		}
	}
	if err := s.killAnnals(); err != nil {
		return err
	}
	if !k.Ready {
		// Twice: the one that is starting gets it too.
		if err := s.launch(false); err != nil {
			return err
		}
		if err := s.pause(k.After); err != nil {
			return err
		}
		if err := s.killAnnals(); err != nil {
			return err
		}
	}
	if err := s.launch(true); err != nil {
		return err
	}
	s.restarts = append(s.restarts, s.now.took)
	return nil
}

func (s *soak) pause(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-s.now.ended:
		return fmt.Errorf("annals serve has ended by itself: %w\n%s", s.now.err, s.now.logs.tail())
	case <-s.broken.Done():
		return context.Cause(s.broken)
	}
}

func (s *soak) killAnnals() error {
	if err := s.now.stop(syscall.SIGKILL); err != nil {
		return err
	}
	if logs := s.now.logs.String(); strings.Contains(logs, "DATA RACE") || strings.Contains(logs, "panic") {
		return fmt.Errorf("annals has said:\n%s", logs)
	}
	return nil
}

// killDatabase kills PostgreSQL under annals, and measures how long it takes until a command is acknowledged that
// was sent after that.
func (s *soak) killDatabase(recovers bool) error {
	pid := postmaster(s.data)
	if pid == 0 {
		return errors.New("there is no PostgreSQL to kill")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill PostgreSQL, pid %d: %w", pid, err)
	}
	if !recovers {
		return nil
	}
	began := time.Now()
	s.ledger.await(began)
	late := time.After(patience)
	for {
		select {
		case <-s.acked:
			s.recoveries = append(s.recoveries, time.Since(began))
			return nil
		case <-s.now.ended:
			return fmt.Errorf("annals serve has ended after its PostgreSQL: %w\n%s", s.now.err, s.now.logs.tail())
		case <-late:
			return fmt.Errorf("nothing is acknowledged after PostgreSQL was killed\n%s", s.now.logs.tail())
		case <-s.broken.Done():
			return context.Cause(s.broken)
		}
	}
}

// report prints the figures of the run, and fails it when a restart took too long.
func (s *soak) report(t *testing.T) {
	t.Helper()
	t.Logf("%d commands acknowledged, %d of them when sent again; %d attempts failed; answers that were no outcome: %v",
		s.ledger.count(), s.ledger.repeated.Load(), s.ledger.failed.Load(), s.ledger.statuses())
	for _, m := range []struct {
		what string
		took []time.Duration
	}{
		{"annals killed, until ready", s.restarts},
		{"PostgreSQL killed, until a command was acknowledged", s.recoveries},
	} {
		if len(m.took) == 0 {
			continue
		}
		slices.Sort(m.took)
		longest := m.took[len(m.took)-1]
		t.Logf("%s: p50 %v, max %v, of %d", m.what, m.took[len(m.took)/2].Round(time.Millisecond), longest.Round(time.Millisecond), len(m.took))
		if longest > soakRestart*slowdown {
			t.Errorf("%s: took %v, and at most %v are allowed", m.what, longest, soakRestart*slowdown)
		}
	}
}

// database is the URL of the private PostgreSQL.
func (s *soak) database(t *testing.T) string {
	t.Helper()
	url, err := postgres.URLFor(filepath.Join(s.data, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	return url
}
