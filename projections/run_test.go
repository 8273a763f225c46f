package projections_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/desk"
	"annals/domain/project"
	"annals/eventschema"
	"annals/internal/esnode/esnodetest"
	"annals/internal/eventlog"
	"annals/internal/postgres/pgtest"
	"annals/projections"
)

func TestThin(t *testing.T) {
	begin := time.Now()
	t.Cleanup(func() { t.Log("cleaned", time.Since(begin)) })
	log := openLog(t)
	url := pgtest.Database(t)
	db, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	t.Log("setup", time.Since(begin))
	r := projections.NewRunner(projections.Config{Database: url, Log: log, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	m := domain.Meta{Actor: domain.System, Command: uuid.New(), At: time.Now().UTC().Truncate(time.Microsecond)}
	p, d, c := uuid.New(), uuid.New(), uuid.New()
	log.Append(ctx, eventlog.Stream("desk", d), eventlog.NoStream, m, desk.Created{ProjectID: p, Name: "Default", Default: true})
	log.Append(ctx, eventlog.Stream("project", p), eventlog.NoStream, m, project.Created{Name: "P", DefaultDeskID: d})
	res, err := log.Append(ctx, eventlog.Stream("client", c), eventlog.NoStream, m, client.Registered{Details: client.Details{Type: client.Person, FirstName: "José", LastName: "Núñez", Email: "j@x.se", Phone: "+46 (1) 2"}, Assignment: client.Assignment{ProjectID: p, DeskID: d}, Status: client.Lead})
	if err != nil {
		t.Fatal(err)
	}
	m.Command = uuid.New()
	res, err = log.Append(ctx, eventlog.Stream("client", c), res.Revision, m, client.Edited{From: client.Details{LastName: "Núñez"}, To: client.Details{LastName: "Ångström"}}, client.Retagged{Added: []string{"b", "a"}})
	if err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		var at uint64
		db.QueryRow(ctx, `select commit from annals_read.freshness order by 1 limit 1`).Scan(&at)
		if at >= res.Position.Commit && r.Ready(ctx) == nil {
			break
		}
		if time.Since(start) > 10*time.Second {
			t.Fatal("too slow")
		}
	}
	var out string
	if err := db.QueryRow(ctx, `select (select c::text from annals_read.clients c) || (select json_agg(h)::text from annals_read.history h)`).Scan(&out); err != nil {
		t.Fatal(err)
	}
	t.Log(out)
	t.Log(r.Ready(ctx))
	t.Log(projections.StatusOf(ctx, db, log))
	cancel()
	<-done
	t.Log("done", time.Since(begin))
}

func openLog(t *testing.T) *eventlog.Log {
	master, err := eventschema.NewLocalMaster(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	log, err := eventlog.Open(eventlog.Config{ConnectionString: esnodetest.Start(t), Master: master})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	return log
}
