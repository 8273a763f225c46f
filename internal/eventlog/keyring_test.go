package eventlog

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/domain/client"
	"annals/eventschema"
	"annals/internal/esnode/esnodetest"
	"annals/internal/postgres/pgtest"
)

// TestOneKey: however many writers meet over a new client, there is one key, and
// all of them can read what is stored.
func TestOneKey(t *testing.T) {
	connection := esnodetest.Start(t)
	logs := make([]*Log, 4)
	for i := range logs {
		logs[i] = openLog(t, connection)
	}
	for range 5 {
		id := uuid.New()
		stream := Stream(domain.Client, id)
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for i := range 12 {
			wg.Go(func() {
				_, err := logs[i%len(logs)].Append(t.Context(), stream, NoStream, by(), kim())
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won++
				} else if !errors.Is(err, ErrConflict) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won != 1 {
			t.Errorf("%d registered the same client", won)
		}
		for _, l := range append(logs, openLog(t, connection)) {
			if keys := all(t, l, Stream(eventschema.Key, id)); len(keys) != 1 {
				t.Errorf("%d keys", len(keys))
			}
			if got := all(t, l, stream); len(got) != 1 || got[0].Event.(client.Registered).Email != kim().Email {
				t.Errorf("read as %+v", got)
			}
		}
	}
}

// TestKeyOfAnEarlierAttempt: a command that made a key and died is sent again, to
// another process.
func TestKeyOfAnEarlierAttempt(t *testing.T) {
	connection := esnodetest.Start(t)
	died, l := openLog(t, connection), openLog(t, connection)
	id, m := uuid.New(), by()
	made, err := died.keys.ensure(t.Context(), id, m, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), Stream(domain.Client, id), NoStream, m, kim()); err != nil {
		t.Fatal(err)
	}
	found, err := l.keys.find(t.Context(), id)
	if err != nil || *found != *made {
		t.Errorf("another key: %v", err)
	}
	if got := all(t, died, Stream(domain.Client, id)); len(got[0].Erased) > 0 {
		t.Errorf("read as %+v", got)
	}
}

// TestNothingPersonalIsStored looks at every byte that the database holds.
func TestNothingPersonalIsStored(t *testing.T) {
	database := pgtest.Database(t)
	node, _ := startNode(t, "127.0.0.1:0", database)
	l := openLog(t, node.ConnectionString())
	stream := Stream(domain.Client, uuid.New())
	m := by()
	m.Request = []byte(`{"email":"kimberly@example.com"}`)
	res, err := l.Append(t.Context(), stream, NoStream, m, kim())
	if err != nil {
		t.Fatal(err)
	}
	to := client.Details{LastName: "Quackenbush", Phone: "+1 212 5550199"}
	mustAppend(t, l, stream, res.Revision, client.Edited{From: client.Details{LastName: "Leeuwenhoek"}, To: to}, client.Deactivated{Reason: "gone to Timbuktu"})

	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	rows, err := conn.Query(t.Context(), `select format('%I.%I', schemaname, tablename) from pg_tables where schemaname !~ '^pg_|^information_schema'`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	var stored bytes.Buffer
	for _, table := range tables {
		if _, err := conn.PgConn().CopyTo(t.Context(), &stored, "copy "+table+" to stdout with (format binary)"); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Contains(stored.Bytes(), []byte(stream)) || !bytes.Contains(stored.Bytes(), []byte("$sealed")) {
		t.Fatal("this is not what is stored")
	}
	for _, secret := range []string{"imberl", "eeuwenhoe", "kimberly@", "example.com", "5550123", "olfenbuet", "uackenbus", "5550199", "imbuktu"} {
		if bytes.Contains(bytes.ToLower(stored.Bytes()), []byte(secret)) {
			t.Errorf("%q stands in the log", secret)
		}
	}
}

// TestErased: once the key is destroyed the history is whole and the person gone.
func TestErased(t *testing.T) {
	connection := esnodetest.Start(t)
	l := openLog(t, connection)
	id := uuid.New()
	stream := Stream(domain.Client, id)
	res := mustAppend(t, l, stream, NoStream, kim(), client.Retagged{Added: []string{"vip"}})

	// Whoever follows the log forgets the key when it hears of it.
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		for item, err := range l.Subscribe(t.Context(), res.Position) {
			if err != nil {
				t.Errorf("subscription: %v", err)
				return
			}
			if rec := item.Record; rec != nil {
				if _, ok := rec.Event.(eventschema.KeyDestroyed); !ok || rec.Stream != Stream(eventschema.Key, id) || rec.Meta.At.IsZero() {
					t.Errorf("heard %+v", rec)
				}
				return
			}
		}
	}()
	if _, err := vendor(t, connection).TombstoneStream(t.Context(), Stream(eventschema.Key, id), esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
		t.Fatal(err)
	}
	<-heard
	for name, l := range map[string]*Log{"who heard of it": l, "who comes later": openLog(t, connection)} {
		got := all(t, l, stream)
		if len(got) != 2 {
			t.Fatalf("%s: %d events", name, len(got))
		}
		want := client.Registered{Details: client.Details{Type: client.Person}, Assignment: kim().Assignment, Status: client.Lead}
		if diff := cmp.Diff(want, got[0].Event); diff != "" || got[0].Err != nil {
			t.Errorf("%s: %v\n%s", name, got[0].Err, diff)
		}
		if diff := cmp.Diff([]string{"first_name", "last_name", "email", "phone", "address.city"}, got[0].Erased); diff != "" || got[1].Erased != nil {
			t.Errorf("%s: %s", name, diff)
		}
		for _, last := range []Revision{res.Revision, NoStream} {
			if _, err := l.Append(t.Context(), stream, last, by(), client.Deactivated{Reason: "x"}); !errors.Is(err, ErrErased) {
				t.Errorf("%s: append after %d: %v", name, last, err)
			}
		}
		// A slow reader of the key does not bring it back.
		if l.keys.gone.Contains(id) {
			l.keys.keep(id, eventschema.NewDataKey())
			if _, ok := l.keys.cache.Get(id); ok {
				t.Error("the key is back")
			}
		}
	}
}
