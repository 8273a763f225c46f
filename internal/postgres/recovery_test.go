package postgres

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// BenchmarkRecovery kills the server just before the checkpoint that its WAL would force, after a load that recovery
// likes least: a log with a random unique index, and updates all over a table. It reports the longest time
// until the server was ready again. The size of the WAL in postgresql.conf is chosen by it.
func BenchmarkRecovery(b *testing.B) {
	dir, err := os.MkdirTemp("/tmp", "annals-bench-") //nolint:usetesting // its own is closed to other users
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cfg := Config{Dir: filepath.Join(dir, "postgres"), Settings: map[string]string{"log_checkpoints": "on"}}
	if size := os.Getenv("MAX_WAL_SIZE"); size != "" {
		cfg.Settings["max_wal_size"] = size
	}
	s, err := Start(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close(b.Context())
	exec := func(sql string) {
		conn, err := pgx.Connect(b.Context(), s.endpoint.url("postgres", superuserSecret(s.secret), "annals"))
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close(b.Context())
		if _, err := conn.Exec(b.Context(), sql); err != nil {
			b.Fatal(err)
		}
	}
	behind := func() (mb, limit int64) {
		url := s.endpoint.url("postgres", superuserSecret(s.secret), "annals")
		conn, err := pgx.Connect(b.Context(), url)
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close(b.Context())
		if err := conn.QueryRow(b.Context(), `SELECT (pg_wal_lsn_diff(pg_current_wal_lsn(), redo_lsn) / 1048576)::bigint,
			pg_size_bytes(current_setting('max_wal_size')) / 1048576 FROM pg_control_checkpoint()`).Scan(&mb, &limit); err != nil {
			b.Fatal(err)
		}
		return mb, limit
	}
	exec(`CREATE TABLE log (pos bigserial PRIMARY KEY, id uuid UNIQUE, data bytea);
		CREATE TABLE rows (id int PRIMARY KEY, n int, t text) WITH (fillfactor = 80);
		CREATE INDEX ON rows (n, t);
		INSERT INTO rows SELECT i, -i, repeat('x', 300) FROM generate_series(1, 500000) i;`)
	worst := time.Duration(0)
	var replayed int64
	for b.Loop() {
		exec("CHECKPOINT")
		most := int64(0)
		for {
			exec(`INSERT INTO log (id, data) SELECT gen_random_uuid(), convert_to(repeat(md5(i::text), 18), 'UTF8') FROM generate_series(1, 10000) i;
				UPDATE rows SET n = n + 1 WHERE id IN (SELECT (random() * 500000)::int FROM generate_series(1, 2000));`)
			mb, limit := behind()
			if most = max(most, mb); mb < most || mb > limit*9/10 { // a checkpoint has ended, or must soon
				break
			}
		}
		before, _ := behind()
		ended := s.proc.ended
		began := time.Now()
		if err := syscall.Kill(s.proc.pid, syscall.SIGKILL); err != nil {
			b.Fatal(err)
		}
		<-ended
		for s.Ping(b.Context()) != nil {
		}
		if took := time.Since(began); took > worst {
			worst, replayed = took, before
		}
		b.Logf("%d MB (most %d) to replay: ready after %v", before, most, time.Since(began))
	}
	b.ReportMetric(worst.Seconds(), "worst-s")
	b.ReportMetric(float64(replayed), "MB-replayed")
	b.ReportMetric(0, "ns/op")
}
