package pgtest_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"annals/internal/postgres/pgtest"
)

func TestDatabaseIsFreshAndEmpty(t *testing.T) {
	for range 2 {
		conn := connect(t, pgtest.Database(t))
		if _, err := conn.Exec(t.Context(), "CREATE TABLE a (b text); CREATE EXTENSION pg_trgm"); err != nil {
			t.Fatal(err)
		}
		if s := scan[string](t, conn, "SELECT lower('ÄÉŁ')"); s != "äéł" {
			t.Error(s)
		}
	}
}

func TestDatabaseIsDropped(t *testing.T) {
	var gone string
	t.Run("test", func(t *testing.T) { gone = pgtest.Database(t) })
	if conn, err := pgx.Connect(t.Context(), gone); err == nil {
		conn.Close(t.Context())
		t.Fatal("it is still there")
	}
}

func TestDurableFlushes(t *testing.T) {
	if s := scan[string](t, connect(t, pgtest.Durable(t)), "SHOW fsync"); s != "on" {
		t.Error(s)
	}
}

func TestGivenServerIsUsed(t *testing.T) {
	given := pgtest.Database(t)
	t.Setenv(pgtest.Env, given)
	conn := connect(t, pgtest.Database(t))
	if name := scan[string](t, conn, "SELECT current_database()"); !strings.HasPrefix(name, "t_testgivenserverisused_") || strings.Contains(given, name) {
		t.Error(name)
	}
}

// TestHelper is not a test: TestNothingIsLeftBehind runs it in a process of its own.
func TestHelper(t *testing.T) {
	end := os.Getenv("PGTEST_HELPER")
	if end == "" {
		return
	}
	conn := connect(t, pgtest.Database(t))
	os.Stdout.WriteString("server " + scan[string](t, conn,
		"SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1) || ' ' || current_setting('data_directory')") + "\n")
	switch end {
	case "panic":
		panic("as a test may")
	case "exit":
		os.Exit(3)
	case "hang":
		select {}
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"return", "panic", "exit", "hang"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, exe, "-test.run=^TestHelper$")
			cmd.Env = append(os.Environ(), "PGTEST_HELPER="+end, pgtest.Env+"=")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			f := strings.Fields(line)
			if len(f) != 3 {
				t.Fatal(line)
			}
			pid, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			if end == "hang" {
				_ = cmd.Process.Kill()
			}
			_ = cmd.Wait()
			for {
				_, dirErr := os.Stat(f[2])
				pidErr := syscall.Kill(pid, 0)
				if os.IsNotExist(dirErr) && pidErr != nil {
					return
				}
				select {
				case <-ctx.Done():
					t.Fatal("left behind:", line)
				case <-time.After(10 * time.Millisecond):
				}
			}
		})
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func scan[T any](t *testing.T, conn *pgx.Conn, sql string) T {
	t.Helper()
	var v T
	if err := conn.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}
