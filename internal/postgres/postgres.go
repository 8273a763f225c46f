// Package postgres finds, starts and supervises a private PostgreSQL, so that one command runs everything.
//
// The server belongs to one folder and to one annals process at a time. It runs as an ordinary user even when
// root starts it, listens on a Unix socket that only its user and root can reach, asks for a
// password nevertheless, is restarted when it dies, and is taken over when the process that
// started it was killed. What is promised here is proved with real processes and SIGKILL in the package's tests.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrInUse is what [Start] answers when another process runs the server of the folder.
var ErrInUse = errors.New("in use by another annals process")

// Config says where the private PostgreSQL lives and how big it may be. Only Dir is required.
type Config struct {
	// Dir holds everything: the data, the password, the log. It is created when it is missing.
	Dir    string
	Logger *slog.Logger
	// User is the ordinary user of the operating system that runs the server when we are root. Empty: the
	// owner of the data if there is any, else "postgres" if it exists, else "nobody".
	User string
	// MaxConnections is 200 when it is zero.
	MaxConnections int
	// Loopback makes the server listen on a TCP port of 127.0.0.1 instead of a Unix socket.
	Loopback bool
	// Settings are added to postgresql.conf and win over ours. A file custom.conf in Dir wins over both.
	Settings map[string]string

	// refuge is where the data goes when the server's user cannot reach Dir.
	refuge string
	// noCapability acts as a system that does not let us hand down a capability.
	noCapability bool
}

// Server is a running private PostgreSQL, or one that another process runs (see [Attach]).
type Server struct {
	cfg      Config
	log      *slog.Logger
	place    place
	lock     *os.File // nil: attached
	bin      installation
	secret   string
	endpoint endpoint

	mu   sync.Mutex
	proc *process
	err  error // why it is not running, while it is not

	closing   context.Context
	close     context.CancelFunc
	watching  sync.WaitGroup
	closeOnce sync.Once
	closed    error
}

// Start runs the server of cfg.Dir and answers when it accepts connections and has our database. A server that a
// killed process left behind is adopted. ctx bounds the starting, not the running: that ends with
// [Server.Close]. The error wraps [ErrNotFound] when there is no PostgreSQL, [ErrInUse] when another process
// has the folder, and ends with the server's own last words when it does not start.
func Start(ctx context.Context, cfg Config) (_ *Server, err error) {
	if cfg.Dir == "" {
		return nil, errors.New("private PostgreSQL: no folder given")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxConnections == 0 {
		cfg.MaxConnections = 200
	}
	if cfg.refuge == "" {
		cfg.refuge = "/var/lib/annals"
	}
	s := &Server{cfg: cfg, log: cfg.Logger}
	defer func() {
		if err != nil {
			err = fmt.Errorf("private PostgreSQL in %s: %w", cfg.Dir, err)
			s.unlock()
		}
	}()
	if s.place.dir, err = makeDir(cfg.Dir); err != nil {
		return nil, err
	}
	if s.lock, err = acquire(ctx, s.place.dir); err != nil {
		return nil, err
	}
	if err = s.open(ctx); err != nil {
		return nil, err
	}
	s.closing, s.close = context.WithCancel(context.WithoutCancel(ctx))
	s.watching.Go(s.supervise)
	return s, nil
}

// open brings the server up and puts our role and database into it.
func (s *Server) open(ctx context.Context) error {
	if err := s.place.settle(ctx, s.cfg, s.log); err != nil {
		return err
	}
	major, err := s.place.major()
	if err != nil {
		return err
	}
	if s.bin, err = find(ctx, major); err != nil {
		return err
	}
	if s.secret, err = s.place.password(major != 0); err != nil {
		return err
	}
	if major == 0 {
		s.log.InfoContext(ctx, "creating the private PostgreSQL", "dir", s.place.data(), "version", s.bin.major, "user", s.place.account.Name)
		if err := s.initialise(ctx); err != nil {
			return err
		}
	}
	adopted, err := s.adopt(ctx)
	if err != nil {
		return err
	}
	if !adopted {
		if s.endpoint, err = s.place.chooseEndpoint(ctx, s.cfg.Loopback); err != nil {
			return err
		}
		if err := s.launch(ctx); err != nil {
			return err
		}
	}
	err = s.provision(ctx)
	if err == nil {
		err = s.place.publish(s.endpoint)
	}
	if err != nil {
		return errors.Join(err, s.proc.stop(context.WithoutCancel(ctx)))
	}
	s.log.InfoContext(ctx, "the private PostgreSQL is ready", "pid", s.proc.pid, "version", s.bin.major, "adopted", adopted,
		"user", s.place.account.Name, "at", s.endpoint.String())
	return nil
}

// URL is the postgres:// URL of our database, with its password. It stays the same while the server is restarted.
func (s *Server) URL() string { return s.endpoint.url("annals", s.secret, "annals") }

// Bindir is the folder of the PostgreSQL that runs.
func (s *Server) Bindir() string { return s.bin.dir }

// Err tells why the server is not running at the moment, or nil.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Ping opens a connection and asks for an answer.
func (s *Server) Ping(ctx context.Context) error {
	if err := s.Err(); err != nil {
		return err
	}
	return ping(ctx, s.URL())
}

func ping(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connect to the private PostgreSQL: %w", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing is lost
	if err := conn.Ping(ctx); err != nil {
		return fmt.Errorf("ask the private PostgreSQL: %w", err)
	}
	return nil
}

// Close stops the server, adopted or not, cleanly if that takes less than 20 s and ctx allows, else at once (it
// loses nothing, but recovers at the next start). A server that another process runs is left alone.
func (s *Server) Close(ctx context.Context) error {
	s.closeOnce.Do(func() {
		if s.lock == nil {
			return
		}
		s.close()
		s.watching.Wait()
		s.mu.Lock()
		proc := s.proc
		s.err = errors.New("the private PostgreSQL is closed")
		s.mu.Unlock()
		s.closed = proc.stop(ctx)
		s.place.retract(s.endpoint)
		s.unlock()
		s.log.InfoContext(ctx, "the private PostgreSQL has stopped", "dir", s.place.dir)
	})
	return s.closed
}

func (s *Server) unlock() {
	if s.lock != nil {
		_ = s.lock.Close() // closing is what releases it
	}
}

// URLFor answers the URL of the server that a running annals process keeps for dir. It needs the right to
// read the password there, and does not connect.
func URLFor(dir string) (string, error) {
	s, err := attached(dir)
	if err != nil {
		return "", err
	}
	return s.URL(), nil
}

// Attach uses the server that another annals process runs for dir, and waits up to 10 s for it to be ready. It
// is not supervised, and closing it does nothing.
func Attach(ctx context.Context, dir string) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		s, err := attached(dir)
		if err == nil {
			if err = s.Ping(ctx); err == nil {
				return s, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the private PostgreSQL in %s does not answer; is annals serve running? %w", dir, err)
		case <-time.After(50 * time.Millisecond):
		}
		if !held(dir) {
			return nil, fmt.Errorf("no annals process runs the private PostgreSQL in %s: start annals serve", dir)
		}
	}
}

// Open is [Start], or [Attach] when another process runs the server already.
func Open(ctx context.Context, cfg Config) (*Server, error) {
	s, err := Start(ctx, cfg)
	if errors.Is(err, ErrInUse) {
		return Attach(ctx, cfg.Dir)
	}
	return s, err
}

func attached(dir string) (*Server, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("folder of the private PostgreSQL: %w", err)
	}
	s := &Server{place: place{dir: dir, base: dir}}
	if s.endpoint, err = s.place.published(); err != nil {
		return nil, err
	}
	if s.secret, err = s.place.password(true); err != nil {
		return nil, err
	}
	return s, nil
}
