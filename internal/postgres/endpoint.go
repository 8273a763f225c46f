package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

// endpoint is where a server listens: a folder with its socket, or 127.0.0.1.
type endpoint struct {
	Host string `json:"host"`
	Port int    `json:"port"`
}

// String is the address without any secret.
func (e endpoint) String() string { return e.Host + ":" + strconv.Itoa(e.Port) }

func (e endpoint) socket() bool { return filepath.IsAbs(e.Host) }

func (e endpoint) url(user, password, database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Path: "/" + database}
	q := url.Values{"sslmode": {"disable"}}
	if e.socket() {
		q.Set("host", e.Host)
		q.Set("port", strconv.Itoa(e.Port))
	} else {
		u.Host = net.JoinHostPort(e.Host, strconv.Itoa(e.Port))
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// plain is what PostgreSQL's list of folders, a list of hosts in a URL and a shell all read the same way.
var plain = regexp.MustCompile(`^[A-Za-z0-9/._+ -]+$`)

// longestSocketPath is sun_path of the smallest of our systems (macOS: 104 with the final zero; Linux 108).
const longestSocketPath = 103

// chooseEndpoint prefers a socket in the place itself, then in a short folder among the temporary ones (a
// socket's path is limited to about a hundred bytes), then a TCP port of the loopback interface.
func (p place) chooseEndpoint(ctx context.Context, loopback bool) (endpoint, error) {
	e := endpoint{Host: p.run(), Port: 5432}
	if loopback {
		return p.choosePort()
	}
	if fits(e.Host) {
		return e, nil
	}
	var errs []error
	for _, parent := range []string{os.TempDir(), "/tmp"} {
		e.Host = filepath.Join(parent, "annals-"+p.id())
		if !fits(e.Host) {
			continue
		}
		err := p.shortDir(ctx, e.Host)
		if err == nil {
			return e, nil
		}
		errs = append(errs, err)
	}
	e, err := p.choosePort()
	if err != nil {
		return e, errors.Join(append(errs, err)...)
	}
	return e, nil
}

func fits(dir string) bool {
	return plain.MatchString(dir) && len(filepath.Join(dir, ".s.PGSQL.5432.lock")) <= longestSocketPath
}

// shortDir makes a folder that is the account's alone. One that somebody else put there is refused: they could
// listen in our place.
func (p place) shortDir(ctx context.Context, dir string) error {
	if err := os.Mkdir(dir, 0o700); err == nil {
		if err := p.account.Own(dir); err != nil {
			return err
		}
	} else if !errors.Is(err, os.ErrExist) {
		return err
	}
	st, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	uid, _, err := owner(dir)
	if err != nil {
		return err
	}
	if !st.IsDir() || st.Mode().Perm() != 0o700 || uid != p.account.UID {
		return fmt.Errorf("%s is not a folder that only user %s can enter: not used for the socket", dir, p.account.Name)
	}
	// A private temporary folder of ours may be closed to the account.
	other := p
	other.account.passage = false
	if out, err := other.account.command(ctx, dir, "/bin/sh", "-c", ": >.try && rm .try").CombinedOutput(); err != nil {
		_ = os.Remove(dir)
		return fmt.Errorf("user %s in %s: %w: %s", p.account.Name, dir, err, out)
	}
	return nil
}

// choosePort takes the port of last time if it is free, else any.
func (p place) choosePort() (endpoint, error) {
	last, err := p.published()
	if err != nil || last.socket() {
		last.Port = 0
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(last.Port)) //nolint:noctx // does not block
	if err != nil && last.Port != 0 {
		l, err = net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // does not block
	}
	if err != nil {
		return endpoint{}, fmt.Errorf("a port for the private PostgreSQL: %w", err)
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if err := l.Close(); err != nil || !ok {
		return endpoint{}, fmt.Errorf("a port for the private PostgreSQL: %w", err)
	}
	return endpoint{Host: "127.0.0.1", Port: addr.Port}, nil
}

// publish tells other processes where the server listens.
func (p place) publish(e endpoint) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	file := filepath.Join(p.dir, "endpoint")
	if err := writeFile(file, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return inherit(p.dir, file)
}

func (p place) published() (endpoint, error) {
	var e endpoint
	b, err := os.ReadFile(filepath.Join(p.dir, "endpoint"))
	if errors.Is(err, os.ErrNotExist) {
		return e, fmt.Errorf("annals has not started a private PostgreSQL in %s: start annals serve: %w", p.dir, err)
	}
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(b, &e); err != nil {
		return e, fmt.Errorf("where the private PostgreSQL listens, %s: %w", filepath.Join(p.dir, "endpoint"), err)
	}
	return e, nil
}

// retract removes the short folder, which the server has left empty. The endpoint stays on record for its port.
func (p place) retract(e endpoint) {
	if filepath.Base(e.Host) == "annals-"+p.id() {
		_ = os.Remove(e.Host) // not empty after a kill: the next start uses it
	}
}
