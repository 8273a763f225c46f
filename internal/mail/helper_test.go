package mail

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"annals/internal/jobs"
)

// helper sends what is in the database until it is killed.
func helper(t *testing.T, url, smtp string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	q, err := jobs.Open(ctx, pool, jobs.Config{Logger: slog.Default(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	m, err := Open(ctx, pool, q, Config{SMTP: smtp, From: "annals@example.com", Logger: slog.Default(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	archive{pool}.add(t, m)
	if err := q.Run(ctx); err != nil {
		t.Fatal(err)
	}
}
