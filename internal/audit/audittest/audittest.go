// Package audittest gives tests a log with the tree over it.
package audittest

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/domain"
	"annals/domain/client"
	"annals/eventschema"
	"annals/internal/audit"
	"annals/internal/esnode"
	"annals/internal/eventlog"
	"annals/internal/postgres/pgtest"
)

// patience is how long a test waits for what has to happen.
const patience = time.Minute

// World is a log on a real node, and the tree over it in the node's database.
type World struct {
	*testing.T
	URL  string
	DB   *pgxpool.Pool
	Log  *eventlog.Log
	Tree *audit.Store
	Key  *audit.Key
	stop func() // ends the node
}

// New returns a world of its own.
func New(t *testing.T) *World {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	w := &World{T: t, URL: pgtest.Database(t)}
	w.start()
	var err error
	if w.DB, err = pgxpool.New(ctx, w.URL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.DB.Close)
	if w.Tree, err = audit.Open(ctx, w.DB); err != nil {
		t.Fatal(err)
	}
	if w.Key, err = audit.LoadKey(t.TempDir(), ""); err != nil {
		t.Fatal(err)
	}
	return w
}

// start starts the node.
func (w *World) start() {
	w.Helper()
	ctx := context.WithoutCancel(w.Context())
	node, err := esnode.Start(ctx, esnode.Config{Listen: "127.0.0.1:0", Database: w.URL, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.Fatal(err)
	}
	master, err := eventschema.NewLocalMaster(make([]byte, 32))
	if err != nil {
		w.Fatal(err)
	}
	if w.Log, err = eventlog.Open(eventlog.Config{ConnectionString: node.ConnectionString(), Master: master}); err != nil {
		w.Fatal(err)
	}
	log := w.Log
	w.stop = sync.OnceFunc(func() {
		log.Close()
		_ = node.Close(ctx)
	})
	w.Cleanup(w.stop)
}

// Restart ends the node and starts it again.
func (w *World) Restart() {
	w.stop()
	w.start()
}

// Meta is that of a command that nobody gave.
func (w *World) Meta() domain.Meta {
	return domain.Meta{Actor: domain.System, Command: uuid.New(), Correlation: uuid.New(), At: time.Now().UTC()}
}

// Register appends n clients: their keys, and their first events.
func (w *World) Register(n int) (ids []uuid.UUID) {
	w.Helper()
	var wg sync.WaitGroup
	for range n {
		id := uuid.New()
		ids = append(ids, id)
		wg.Go(func() {
			if _, err := w.Log.Append(w.Context(), eventlog.Stream(domain.Client, id), eventlog.NoStream, w.Meta(), client.Registered{Status: client.Lead}); err != nil {
				w.Error(err)
			}
		})
	}
	wg.Wait()
	return ids
}

// Keep runs a keeper; what it returns ends it.
func (w *World) Keep() (stop func()) {
	w.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
	keeper := audit.NewKeeper(w.Tree, w.Log, w.Key, time.Now, slog.New(slog.NewTextHandler(w.Output(), nil)))
	done := make(chan error, 1)
	go func() { done <- keeper.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.Error(err)
		}
	})
	w.Cleanup(stop)
	return stop
}

// Until waits for something.
func (w *World) Until(what string, f func() bool) {
	w.Helper()
	for deadline := time.Now().Add(patience); !f(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("waited %v for: %s", patience, what)
		}
	}
}

// Grown waits until the tree has n leaves, and they are signed.
func (w *World) Grown(n int64) audit.Issued {
	w.Helper()
	var c audit.Issued
	w.Until(fmt.Sprintf("%d leaves", n), func() bool {
		var err error
		c, err = w.Tree.Checkpoint(w.Context())
		return err == nil && c.Size >= n
	})
	if c.Size != n {
		w.Fatalf("the tree has %d leaves, want %d", c.Size, n)
	}
	return c
}

// Exec changes something in the database; that nothing was changed is an error.
func (w *World) Exec(sql string, args ...any) {
	w.Helper()
	ct, err := w.DB.Exec(w.Context(), sql, args...)
	if err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
	if ct.RowsAffected() == 0 {
		w.Fatalf("%s: nothing was changed", sql)
	}
}
