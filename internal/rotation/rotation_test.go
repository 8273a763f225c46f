package rotation_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pquerna/otp/totp"

	"annals/domain"
	"annals/eventschema"
	"annals/internal/apitest"
	"annals/internal/eventlog"
	"annals/internal/jobs"
	"annals/internal/mail"
	"annals/internal/rotation"
	"annals/projections"
)

func TestMain(m *testing.M) {
	if os.Getenv("ANNALS_ROTATION_LOG") != "" {
		if err := rotate(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// rotate is a process of its own that rotates, until it is killed.
func rotate(ctx context.Context) error {
	master := eventschema.NewMasters(key(2), key(1))
	log, err := eventlog.Open(eventlog.Config{ConnectionString: os.Getenv("ANNALS_ROTATION_LOG"), Master: master})
	if err != nil {
		return err
	}
	db, err := pgxpool.New(ctx, os.Getenv("ANNALS_ROTATION_DATABASE"))
	if err != nil {
		return err
	}
	_, err = rotation.Run(ctx, rotation.Config{Log: log, DB: db, Master: master, Now: time.Now, App: "test"})
	return err
}

// key is a master key.
func key(n byte) *eventschema.LocalMaster {
	k, err := eventschema.NewLocalMaster(bytes.Repeat([]byte{n}, 32))
	if err != nil {
		panic(err)
	}
	return k
}

func run(t *testing.T, s *apitest.System, master *eventschema.Masters) rotation.Summary {
	t.Helper()
	held, release, err := rotation.Alone(t.Context(), s.DB, master)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	sum, err := rotation.Run(held, rotation.Config{Log: s.Log, DB: s.DB, Master: master, Now: s.Clock.Now, App: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// wrapped is by which master keys the log has the key of an aggregate wrapped, one after the other.
func wrapped(t *testing.T, s *apitest.System, id string) (by []string) {
	t.Helper()
	for rec, err := range s.Log.Read(t.Context(), eventlog.Stream(eventschema.Key, uuid.MustParse(id)), 0) {
		if errors.Is(err, eventlog.ErrDeleted) {
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := rec.Event.(type) {
		case eventschema.KeyCreated:
			by = append(by, e.Master)
		case eventschema.KeyRewrapped:
			by = append(by, e.Master)
		}
	}
	return by
}

// TestRotation: with the new master key alone everything can be read that was written with the
// former one, before and while the keys were wrapped anew, and read models come out the same.
func TestRotation(t *testing.T) {
	t.Parallel()
	both := eventschema.NewMasters(key(2), key(1))
	s := apitest.StartUnder(t, both)
	former := s.Under(t, key(1))
	admin := former.Admin(t)
	person := admin.EmployeeWithPassword(t, "Careful", nil, nil)
	project := admin.Project(t, "Retail")
	var clients []string
	for i := range 40 {
		clients = append(clients, admin.Client(t, project, "Client "+strconv.Itoa(i)))
	}
	s.Erase(t, clients[0])

	secret := person.Post(t, "/api/v1/me/second-factor", apitest.Map{"password": apitest.Password}).Want(t, 200).Text("secret")
	code := func(steps int) string {
		c, err := totp.GenerateCode(secret, s.Clock.Now().Add(time.Duration(steps)*30*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	person.Post(t, "/api/v1/me/second-factor/confirm", apitest.Map{"code": code(-1)}).Want(t, 200)
	hook, command := uuid.New(), uuid.New()
	before, err := former.Hooks.MakeKey(t.Context(), hook, command)
	if err != nil {
		t.Fatal(err)
	}
	letter := mailed(t, former, key(1))

	// Clients come and change while the keys are wrapped anew.
	var stopped atomic.Bool
	var wg sync.WaitGroup
	var meanwhile []string
	now := admin.At(s)
	wg.Go(func() {
		for i := 0; !stopped.Load(); i++ {
			meanwhile = append(meanwhile, now.Client(t, project, "Meanwhile "+strconv.Itoa(i)))
			now.Post(t, "/api/v1/clients/"+clients[1+i%39]+"/notes", apitest.Map{"text": "note " + strconv.Itoa(i)}).Want(t, 201)
		}
	})
	sum := run(t, s, both)
	stopped.Store(true)
	wg.Wait()
	if sum != (rotation.Summary{Keys: 41, Factors: 1, Hooks: 1, Mails: 1}) { // an administrator and the person have a key as well
		t.Errorf("%+v", sum)
	}
	if again := run(t, s, both); again != (rotation.Summary{}) {
		t.Errorf("again: %+v", again)
	}

	alone := s.Under(t, key(2))
	reader := admin.At(alone)
	for i, id := range clients[1:] {
		if by := wrapped(t, alone, id); len(by) != 2 || by[0] != key(1).ID() || by[1] != key(2).ID() {
			t.Errorf("%s is wrapped by %v", id, by)
		}
		reader.Post(t, "/api/v1/clients/"+id+"/notes", apitest.Map{"text": "afterwards"}).Want(t, 201)
		if got := reader.Get(t, "/api/v1/clients/"+id).Want(t, 200).Text("name"); got != "Client "+strconv.Itoa(i+1) {
			t.Errorf("is called %q", got)
		}
	}
	for _, id := range meanwhile {
		if by := wrapped(t, alone, id); len(by) != 1 || by[0] != key(2).ID() {
			t.Errorf("%s is wrapped by %v", id, by)
		}
	}
	if r := reader.Get(t, "/api/v1/clients/"+clients[0]).Want(t, 200); r.Text("name") != "" || wrapped(t, alone, clients[0]) != nil {
		t.Errorf("the erased one: %s", r.Body)
	}
	(&apitest.User{System: alone}).Post(t, "/api/v1/session", apitest.Map{"email": person.Email, "password": apitest.Password, "code": code(0)}).Want(t, 200)
	if after, err := alone.Hooks.MakeKey(t.Context(), hook, command); err != nil || fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("the secret of a webhook: %v", err)
	}
	if _, text, _, err := office(t, alone, key(2)).Message(t.Context(), letter); err != nil || text != "a secret" {
		t.Errorf("the mail has %q, %v", text, err)
	}
	for _, p := range projections.All {
		cfg := projections.Config{Database: s.Database, Log: alone.Log, Logger: s.Logs.Logger()}
		if report, err := projections.Verify(t.Context(), cfg, p.Name); err != nil {
			t.Errorf("%s: %+v, %v", p.Name, report, err)
		}
	}
}

func office(t *testing.T, s *apitest.System, master eventschema.Master) *mail.Mailer {
	t.Helper()
	q, err := jobs.Open(t.Context(), s.DB, jobs.Config{Logger: slog.New(slog.DiscardHandler), Now: s.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	m, err := mail.Open(t.Context(), s.DB, q, mail.Config{From: "annals@example.com", Master: master, Logger: slog.New(slog.DiscardHandler), Now: s.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// mailed is a secret message that waits.
func mailed(t *testing.T, s *apitest.System, master eventschema.Master) (id uuid.UUID) {
	t.Helper()
	m := office(t, s, master)
	err := pgx.BeginFunc(t.Context(), s.DB, func(tx pgx.Tx) (err error) {
		id, err = m.Send(t.Context(), tx, mail.Message{To: "ann@example.com", Subject: "Hello", Text: "a secret", Secret: true, Expires: s.Clock.Now().Add(time.Hour)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestKilled: a rotation that is killed again and again comes to its end, and has done nothing
// twice.
func TestKilled(t *testing.T) {
	t.Parallel()
	both := eventschema.NewMasters(key(2), key(1))
	s := apitest.StartUnder(t, both)
	former := s.Under(t, key(1))
	const keys = 400
	ids := make([]string, keys)
	var wg sync.WaitGroup
	for part := range 8 {
		wg.Go(func() {
			for i := part; i < keys; i += 8 {
				id := uuid.New()
				ids[i] = id.String()
				m := domain.Meta{Actor: domain.System, Command: uuid.New(), Correlation: uuid.New(), At: s.Clock.Now().UTC()}
				if _, err := former.Log.Append(t.Context(), eventlog.Stream(domain.Client, id), eventlog.NoStream, m, registered(i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	mailed(t, former, key(1))
	kills := 0
	for patience := 30 * time.Millisecond; ; patience += rand.N(patience / 3) { // a busy machine needs long to begin
		worker := exec.CommandContext(t.Context(), os.Args[0])
		worker.Env = append(os.Environ(), "ANNALS_ROTATION_LOG="+s.EventStore(), "ANNALS_ROTATION_DATABASE="+s.Database)
		worker.Stderr = t.Output()
		if err := worker.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- worker.Wait() }()
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(patience):
			_ = worker.Process.Kill()
			<-done
			kills++
			continue
		}
		break
	}
	t.Logf("killed %d times", kills)
	if sum := run(t, s, both); sum != (rotation.Summary{}) {
		t.Errorf("it left %+v to do", sum)
	}
	for _, id := range ids {
		if by := wrapped(t, s, id); len(by) != 2 || by[1] != key(2).ID() {
			t.Errorf("%s is wrapped by %v", id, by)
		}
	}
	if by := retirements(t, s); by != 1 {
		t.Errorf("the former key was retired %d times", by)
	}
}

func retirements(t *testing.T, s *apitest.System) (n int) {
	t.Helper()
	for _, err := range s.Log.Read(t.Context(), eventlog.Stream(eventschema.Key, eventschema.MastersID), 0) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// TestAlone: a master key is not retired while somebody works with it, and nobody begins to
// while it is.
func TestAlone(t *testing.T) {
	t.Parallel()
	both := eventschema.NewMasters(key(2), key(1), key(3))
	s := apitest.StartUnder(t, both)
	_, one, err := rotation.Use(t.Context(), s.DB, key(1).ID())
	if err != nil {
		t.Fatal(err)
	}
	_, two, err := rotation.Use(t.Context(), s.DB, key(1).ID())
	if err != nil {
		t.Fatal(err)
	}
	for _, release := range []func(){one, two} {
		if _, _, err := rotation.Alone(t.Context(), s.DB, both); !errors.Is(err, rotation.ErrInUse) {
			t.Errorf("in use: %v", err)
		}
		release()
	}
	held, release, err := rotation.Alone(t.Context(), s.DB, both)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range both.Former() {
		if _, _, err := rotation.Use(t.Context(), s.DB, f.ID()); !errors.Is(err, eventlog.ErrRetired) {
			t.Errorf("%s: %v", f.ID(), err)
		}
	}
	if _, end, err := rotation.Use(t.Context(), s.DB, both.ID()); err != nil {
		t.Error(err)
	} else {
		end()
	}
	if held.Err() != nil {
		t.Error(held.Err())
	}
	release()
	if _, end, err := rotation.Use(t.Context(), s.DB, key(1).ID()); err != nil {
		t.Error(err)
	} else {
		end()
	}
}
