package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// launch starts the postmaster and waits until it accepts connections, which after a crash is when it has recovered.
func (s *Server) launch(ctx context.Context) error {
	if err := s.configure(ctx); err != nil {
		return err
	}
	const patience = 100
	for try := 1; ; try++ {
		if err := s.place.clearOrphans(ctx); err != nil {
			return err
		}
		if err := s.place.clearLocks(s.endpoint); err != nil {
			return err
		}
		proc, said, err := s.spawn(ctx)
		if err == nil {
			s.mu.Lock()
			s.proc, s.err = proc, nil
			s.mu.Unlock()
			return nil
		}
		file, broken := s.place.mend(said)
		if broken != nil {
			return errors.Join(err, broken)
		}
		if file != "" && try < patience {
			s.log.WarnContext(ctx, "removed what is left of an unlogged table, which kept PostgreSQL from starting", "file", file)
			continue
		}
		// Both pass when the last postmaster and its backends are quite gone.
		lingering := strings.Contains(said, "shared memory block") || strings.Contains(said, `"postmaster.pid" already exists`)
		if !lingering || try == patience {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// spawn starts the postmaster once. said is what it wrote when it did not come up.
func (s *Server) spawn(ctx context.Context) (_ *process, said string, err error) {
	if err := s.place.boundLog(); err != nil {
		return nil, "", err
	}
	out, err := os.OpenFile(s.place.logs(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, "", err
	}
	defer out.Close() //nolint:errcheck // the server has its own
	st, err := out.Stat()
	if err != nil {
		return nil, "", err
	}
	// The process outlives ctx, which bounds the starting.
	cmd := s.place.account.command(context.WithoutCancel(ctx), s.place.base, filepath.Join(s.bin.dir, "postgres"),
		"-D", s.place.data(), "-c", "config_file="+s.place.conf())
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, "", fmt.Errorf("start PostgreSQL as user %s: %w", s.place.account.Name, err)
	}
	proc := child(cmd)
	for {
		select {
		case <-proc.ended:
			said = s.place.tail(st.Size())
			return nil, said, fmt.Errorf("PostgreSQL ended while starting (%s); it said:\n%s", proc.reason(), said)
		case <-ctx.Done():
			said = s.place.tail(st.Size())
			err := fmt.Errorf("PostgreSQL was not ready in time: %w; it said:\n%s", context.Cause(ctx), said)
			return nil, "", errors.Join(err, proc.stop(ctx))
		case <-time.After(5 * time.Millisecond):
		}
		if f, err := readPidFile(s.place.data()); err == nil && f.pid == proc.pid && f.status == "ready" {
			return proc, "", nil
		}
	}
}

// clearLocks removes the lock files of a postmaster that is no more, when its pid is another program's, or that of a
// process nobody has reaped: PostgreSQL would take it for a postmaster. We hold the lock of the place, so
// nobody else starts one.
func (p place) clearLocks(e endpoint) error {
	var stale []string
	if e.socket() {
		stale = append(stale, filepath.Join(e.Host, ".s.PGSQL."+strconv.Itoa(e.Port)+".lock"))
	}
	f, err := readPidFile(p.data())
	if err == nil && !errors.Is(syscall.Kill(f.pid, 0), syscall.ESRCH) {
		stale = append(stale, filepath.Join(p.data(), "postmaster.pid"))
	}
	for _, file := range stale {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove a stale lock file: %w", err)
		}
	}
	return nil
}

// adopt takes over a postmaster that serves the place already. One that does not answer is stopped.
func (s *Server) adopt(ctx context.Context) (bool, error) {
	f, err := readPidFile(s.place.data())
	if err != nil || !alive(f.pid) || !s.place.isPostmaster(cmdline(f.pid)) {
		return false, nil //nolint:nilerr // nothing to adopt
	}
	proc := found(context.WithoutCancel(ctx), f.pid)
	for f.status == "starting" || f.status == "" {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-proc.ended:
			return false, nil
		case <-time.After(10 * time.Millisecond):
		}
		if f, err = readPidFile(s.place.data()); err != nil {
			f.status = "gone"
		}
	}
	if f.status == "ready" {
		s.endpoint = f.endpoint
		err = s.sameServer(ctx, f.pid)
	} else {
		err = fmt.Errorf("it is %s", f.status)
	}
	if err == nil {
		// Its settings may be those of an earlier version of ours; what can change while it runs does.
		if err := s.configure(ctx); err != nil {
			return false, err
		}
		_ = syscall.Kill(f.pid, syscall.SIGHUP)
		s.proc = proc
		return true, nil
	}
	s.log.WarnContext(ctx, "the PostgreSQL that an earlier process left behind cannot be used: stopping it", "pid", proc.pid, "error", err)
	return false, proc.stop(ctx)
}

// sameServer asks who answers whether it is the process that serves the place.
func (s *Server) sameServer(ctx context.Context, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := s.superuser(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing is lost
	var answer int
	err = conn.QueryRow(ctx, `SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1)::int`).Scan(&answer)
	if err == nil && answer != pid {
		err = fmt.Errorf("pid %d answers, not %d", answer, pid)
	}
	return err
}

func (s *Server) superuser(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, s.endpoint.url("postgres", superuserSecret(s.secret), "postgres"))
	if err != nil {
		return nil, fmt.Errorf("connect as superuser: %w", err)
	}
	return conn, nil
}

// provision makes our roles and database unless they are there. Neither role is a superuser: an error in our SQL
// must not become the reading of files.
func (s *Server) provision(ctx context.Context) error {
	err := s.complete(ctx)
	refused, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return err
	}
	switch refused.Code {
	case "28000", "28P01", "3D000", "22023", "42501": // no such role, another password, no database; no reader, or not ours
	default:
		return err
	}
	conn, err := s.superuser(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing is lost
	var trigrams, role, reader, finder, database bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm'),
		EXISTS (SELECT FROM pg_roles WHERE rolname = 'annals'), EXISTS (SELECT FROM pg_roles WHERE rolname = $1), EXISTS (SELECT FROM pg_roles WHERE rolname = $2),
		EXISTS (SELECT FROM pg_database WHERE datname = 'annals')`, Reader, Finder,
	).Scan(&trigrams, &role, &reader, &finder, &database); err != nil {
		return fmt.Errorf("look for the roles and database: %w", err)
	}
	if !trigrams {
		return fmt.Errorf("PostgreSQL in %s has no contrib modules (pg_trgm): install postgresql-contrib for it", s.bin.dir)
	}
	var statements []string
	if !role {
		statements = append(statements, "CREATE ROLE annals LOGIN", "GRANT pg_monitor TO annals")
	}
	if !reader {
		statements = append(statements, "CREATE ROLE "+Reader+" NOLOGIN")
	}
	if !finder {
		statements = append(statements, "CREATE ROLE "+Finder+" NOLOGIN")
	}
	// The secret is letters and digits.
	statements = append(statements, "GRANT "+Reader+", "+Finder+" TO annals", "ALTER ROLE annals PASSWORD '"+s.secret+"'")
	if !database {
		statements = append(statements, "CREATE DATABASE annals OWNER annals")
	}
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("make the roles and database: %w", err)
		}
	}
	return s.complete(ctx)
}

// complete is nil when our role can use our database and take those of readers on.
func (s *Server) complete(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.URL())
	if err != nil {
		return fmt.Errorf("connect to the private PostgreSQL: %w", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing is lost
	if err := takeOn(ctx, conn); err != nil {
		return fmt.Errorf("read as %s: %w", Reader, err)
	}
	return nil
}

// supervise restarts the postmaster whenever it ends, until the server is closed.
func (s *Server) supervise() {
	ctx := s.closing
	tidy := time.NewTicker(30 * time.Second)
	defer tidy.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tidy.C:
			if err := s.place.boundLog(); err != nil {
				s.log.ErrorContext(ctx, "cannot bound PostgreSQL's log", "error", err)
			}
		case <-s.proc.ended:
			s.restart(ctx)
		}
	}
}

func (s *Server) restart(ctx context.Context) {
	s.mu.Lock()
	s.err = fmt.Errorf("the private PostgreSQL is being restarted; it ended: %s", s.proc.reason())
	s.mu.Unlock()
	s.log.ErrorContext(ctx, "the private PostgreSQL ended: restarting it", "pid", s.proc.pid, "reason", s.proc.reason())
	// At once the first time, then ever slower: a full disk does not go away in a second.
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := s.launch(ctx)
		if err == nil {
			s.log.InfoContext(ctx, "the private PostgreSQL is ready again", "pid", s.proc.pid)
			return
		}
		if ctx.Err() != nil {
			return
		}
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
		s.log.ErrorContext(ctx, "the private PostgreSQL does not start: trying again", "in", wait, "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}
