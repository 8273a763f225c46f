package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"annals/domain"
	"annals/internal/access"
)

// files takes what is uploaded, and answers what is asked for.
type files struct {
	*httptest.Server
	api     *API
	took    chan string // what an upload was, or why there is none
	before  func()      // of each upload, while it is read
	content func() io.ReadCloser
	size    int64
	logs    bytes.Buffer
}

func newFiles(t *testing.T, timeout time.Duration) *files {
	t.Helper()
	f := &files{took: make(chan string, 10)}
	router := mux.NewRouter()
	f.api = New(router, Config{
		Version: "1", Logger: slog.New(slog.NewTextHandler(&f.logs, nil)),
		Authenticate: func(context.Context, string) (*access.Actor, error) { return &access.Actor{Token: "mira"}, nil },
	})
	f.api.timeout = timeout
	op := Op{ID: "put", Method: http.MethodPost, Path: "/files", Summary: "Put", Tag: "files"}
	HandleUpload(f.api, op, 4<<20, func(ctx context.Context, _ *struct{}, u *Upload) (*struct{}, error) {
		err := f.put(ctx, u)
		if err != nil {
			f.took <- err.Error()
		}
		return &struct{}{}, err
	})
	HandleDownload(f.api, Op{ID: "get", Method: http.MethodGet, Path: "/files", Summary: "Get", Tag: "files"}, []string{"image/png"},
		func(context.Context, *struct{}) (*Download, error) {
			return &Download{Name: "a.png", MediaType: "image/png", Size: f.size, Open: func(context.Context) (io.ReadCloser, error) { return f.content(), nil }}, nil
		})
	f.Server = httptest.NewServer(router)
	t.Cleanup(f.Close)
	return f
}

func (f *files) put(ctx context.Context, u *Upload) error {
	file, err := u.File()
	if err != nil {
		return err
	}
	if f.before != nil {
		f.before()
	}
	raw, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	if _, err := u.Again(ctx); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	f.took <- fmt.Sprintf("%s: %d bytes", file.Name, len(raw))
	return nil
}

func (f *files) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", f.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

const post = "POST /files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer mira\r\n"

// TestSlowUploads: who sends so slowly that a connection would be held for hours, or
// stops, is cut off; who is only slower than the time for a small request is not.
func TestSlowUploads(t *testing.T) {
	t.Parallel()
	const timeout = 300 * time.Millisecond
	f := newFiles(t, timeout)
	send := func(chunk, chunks int, pause time.Duration) string {
		conn := f.dial(t)
		_, _ = fmt.Fprintf(conn, "%sContent-Length: %d\r\n\r\n", post, chunk*chunks)
		for range chunks {
			if _, err := conn.Write(make([]byte, chunk)); err != nil {
				break // cut off
			}
			<-time.After(pause)
		}
		select {
		case got := <-f.took:
			return got
		case <-time.After(20 * time.Second):
			return "nothing came of it"
		}
	}
	if got := send(100<<10, 8, timeout/4); got != ": 819200 bytes" { // twice the time of a small request
		t.Errorf("slowly: %s", got)
	}
	for name, got := range map[string]string{
		"a byte now and then": send(1, 100, timeout/10),
		"stops":               send(1, 2, 3*timeout),
		"fast, and then stops": func() string {
			conn := f.dial(t)
			_, _ = fmt.Fprintf(conn, "%sContent-Length: %d\r\n\r\n%s", post, 2<<20, strings.Repeat("x", 1<<20))
			return <-f.took
		}(),
	} {
		if !strings.Contains(got, "did not arrive in time") {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestRightsLostDuringAnUpload: who loses them while a file is on its way does not bring
// it in.
func TestRightsLostDuringAnUpload(t *testing.T) {
	t.Parallel()
	f := newFiles(t, 10*time.Second)
	now, lost := time.Now(), false
	f.api.now = func() time.Time { return now }
	f.api.authenticate = func(context.Context, string) (*access.Actor, error) {
		if lost {
			return nil, domain.Errorf(domain.Unauthorized, "token", "the token is not valid")
		}
		return &access.Actor{Token: "mira"}, nil
	}
	for _, c := range []struct {
		takes time.Duration
		loses bool
		want  string
	}{
		{time.Second, false, ": 1 bytes"},
		{time.Second, true, "the token is not valid"},
	} {
		f.before = func() { now, lost = now.Add(c.takes), c.loses }
		conn := f.dial(t)
		_, _ = io.WriteString(conn, post+"Content-Length: 1\r\nConnection: close\r\n\r\nx")
		if got := <-f.took; got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
		_, _ = io.ReadAll(conn)
	}
}

// endless is so many bytes, and then an end that is none if there is an error.
type endless struct {
	left   int
	err    error
	closed chan struct{}
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, e.err
	}
	n := min(len(p), e.left)
	e.left -= n
	return n, nil
}

func (e *endless) Close() error { close(e.closed); return nil }

// TestDownloadsEnd: a file that does not come to its end is never taken for whole, and
// one that nobody takes is given up.
func TestDownloadsEnd(t *testing.T) {
	t.Parallel()
	f := newFiles(t, 500*time.Millisecond)
	get := func() (int, error) {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, f.URL+"/files", nil)
		req.Header.Set("Authorization", "Bearer mira")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		raw, err := io.ReadAll(res.Body)
		return len(raw), err
	}
	for name, c := range map[string]struct {
		there int
		err   error
		whole bool
	}{
		"whole":          {1 << 20, io.EOF, true},
		"too short":      {1<<20 - 1, io.EOF, false},
		"too long":       {1<<20 + 1, io.EOF, false},
		"fails":          {1 << 19, errors.New("altered"), false},
		"fails too late": {1 << 20, errors.New("altered"), false},
	} {
		e := &endless{c.there, c.err, make(chan struct{})}
		f.size, f.content = 1<<20, func() io.ReadCloser { return e }
		n, err := get()
		if c.whole != (err == nil && n == 1<<20) {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		<-e.closed
	}
	e := &endless{1 << 30, io.EOF, make(chan struct{})}
	f.size, f.content = 1<<30, func() io.ReadCloser { return e }
	_, _ = io.WriteString(f.dial(t), strings.Replace(post, "POST", "GET", 1)+"\r\n") // and reads nothing
	select {
	case <-e.closed:
	case <-time.After(20 * time.Second):
		t.Error("is held for whoever takes nothing")
	}
}

func TestDisposition(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"plain.pdf":  `attachment; filename="plain.pdf"`,
		"two words":  `attachment; filename="two words"`,
		"résumé.pdf": `attachment; filename="r_sum_.pdf"; filename*=UTF-8''r%C3%A9sum%C3%A9.pdf`,
		`a"b\c%41`:   `attachment; filename="a_b_c_41"; filename*=UTF-8''a%22b%5Cc%2541`,
		"a\r\nb: c":  `attachment; filename="ab: c"; filename*=UTF-8''a%0D%0Ab%3A%20c`,
		"契約書.pdf":    `attachment; filename="___.pdf"; filename*=UTF-8''%E5%A5%91%E7%B4%84%E6%9B%B8.pdf`,
		"it's; ok":   `attachment; filename="it's; ok"`,
	} {
		got := disposition(name)
		if got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
		if _, params, err := mime.ParseMediaType(got); err != nil || params["filename"] != name {
			t.Errorf("%q is read as %q: %v", name, params["filename"], err)
		}
	}
}

func FuzzForm(f *testing.F) {
	for _, body := range []string{
		"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nx\r\n--b--\r\n",
		"--b\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nx\r\n--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\ny\r\n--b--",
		"--b--", "", "--b\r\n\r\n--b",
	} {
		f.Add([]byte(body))
	}
	api := New(mux.NewRouter(), Config{Version: "1", Logger: slog.New(slog.DiscardHandler)})
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/files", bytes.NewReader(raw))
		r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		const most = 100
		u, err := api.upload(Op{}, httptest.NewRecorder(), r, most)
		if err != nil {
			return
		}
		u.body.progress = func(bool) {}
		file, err := u.File()
		if err != nil {
			if _, ok := errors.AsType[*Problem](err); !ok {
				t.Errorf("%v is not answered", err)
			}
			return
		}
		read, err := io.ReadAll(file)
		if _, ok := errors.AsType[*Problem](err); err != nil && !ok {
			t.Errorf("%v is not answered", err)
		}
		if err == nil && (len(read) > most || !bytes.Contains(raw, read)) {
			t.Errorf("read %q of %q", read, raw)
		}
	})
}
