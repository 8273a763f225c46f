package commands_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"annals/commands"
	"annals/internal/apitest"
	"annals/internal/blobs"
	"annals/internal/eventlog"
)

// with is the same person at another process, with other limits.
func (d desktop) with(t *testing.T, set func(*commands.Documents)) desktop {
	t.Helper()
	other := d.Again(t)
	set(&other.Commands.Documents)
	other.Serve(t)
	d.User = d.At(other)
	return d
}

// raw sends bytes over a connection, with nothing after them, and answers what comes back.
func (d desktop) raw(t *testing.T, bytes string) string {
	t.Helper()
	conn := d.dial(t)
	defer conn.Close()
	_, _ = io.WriteString(conn, bytes) // may be refused on the way
	_ = conn.CloseWrite()
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	answer, err := io.ReadAll(conn)
	if err != nil && len(answer) == 0 {
		t.Fatal(err)
	}
	return string(answer)
}

func (d desktop) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	at, err := url.Parse(d.URL)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", at.Host)
	if err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

func (d desktop) head(path string, headers ...string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: annals\r\nAuthorization: Bearer " + d.Token + "\r\n" + strings.Join(append(headers, "\r\n"), "\r\n")
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(until) {
			t.Fatal("waited in vain: " + what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// TestCutConnections: of a file whose connection is cut there is nothing left, wherever
// it is cut, and however it was sent.
func TestCutConnections(t *testing.T) {
	d := newDesktop(t)
	kept := d.add(t, "kept.txt", "kept")
	file := strings.Repeat("Leeuwenhoek ", 20_000)
	body, mediaType := form(part{"file", "cut.txt", file})
	whole := string(body)
	formHead := d.head(d.path(), "Content-Type: "+mediaType, fmt.Sprintf("Content-Length: %d", len(whole)))
	rawHead := d.head(kept+"/versions", "Content-Type: text/plain", fmt.Sprintf("Content-Length: %d", len(file)))
	chunked := d.head(d.path()+"?name=cut.txt", "Transfer-Encoding: chunked") + fmt.Sprintf("%x\r\n%s\r\n", len(file), file)
	requests := []string{
		formHead, formHead + whole[:40], formHead + whole[:300], formHead + whole[:len(whole)/2], formHead + whole[:len(whole)-3],
		rawHead + file[:1], rawHead + file[:len(file)-1], chunked, chunked + "5\r\nab",
	}
	for _, request := range requests {
		if answer := d.raw(t, request); !strings.HasPrefix(answer, "HTTP/1.1 400 ") {
			t.Errorf("%.200q", answer)
		}
		d.leaves(t, 1)
	}
	for _, request := range requests {
		conn := d.dial(t) // with nobody to take an answer
		_, _ = io.WriteString(conn, request)
		_ = conn.SetLinger(0)
		_ = conn.Close()
	}
	eventually(t, "nothing is left", func() bool { return len(d.stored(t)) == 1 && d.doubts(t) == 0 })
	if n := d.Get(t, d.path()).Text("total.count"); n != "1" {
		t.Errorf("%s documents", n)
	}
	if d.Get(t, kept).Text("version") != "1" {
		t.Error("a version of half a file")
	}
}

// TestTooLarge: what says that it is too large is refused before it is sent, and what
// does not say so when it is.
func TestTooLarge(t *testing.T) {
	const most = 200_000
	d := newDesktop(t).with(t, func(c *commands.Documents) { c.MostBytes = most })
	at := d.path() + "?name=large.bin"
	refused := func(request string) {
		t.Helper()
		if answer := d.raw(t, request); !strings.HasPrefix(answer, "HTTP/1.1 413 ") || !strings.Contains(answer, `"too_large"`) {
			t.Errorf("%.100q", answer)
		}
	}
	// Nothing of it is ever sent: the answer does not wait for it.
	refused(d.head(at, fmt.Sprintf("Content-Length: %d", most+1), "Expect: 100-continue"))
	refused(d.head(at, "Content-Length: 9000000000000000000"))
	refused(d.head(d.path(), "Content-Type: multipart/form-data; boundary=b", fmt.Sprintf("Content-Length: %d", most+(64<<10)+1)))
	chunk := strings.Repeat("x", most/2)
	chunks := strings.Repeat(fmt.Sprintf("%x\r\n%s\r\n", len(chunk), chunk), 2)
	refused(d.head(at, "Transfer-Encoding: chunked", "Connection: close") + chunks + "1\r\nx\r\n0\r\n\r\n")
	body, mediaType := form(part{"file", "large.bin", strings.Repeat("x", most+1)})
	d.Post(t, d.path(), body, "Content-Type", mediaType).Problem(t, http.StatusRequestEntityTooLarge, "too_large")
	d.leaves(t, 0)

	if answer := d.raw(t, d.head(at, "Transfer-Encoding: chunked", "Connection: close")+chunks+"0\r\n\r\n"); !strings.HasPrefix(answer, "HTTP/1.1 201 ") {
		t.Errorf("exactly as large as allowed: %.300q", answer)
	}
	body, mediaType = form(part{"description", "", strings.Repeat("é", 2000)}, part{"file", "large.bin", strings.Repeat("x", most)})
	d.Post(t, d.path(), body, "Content-Type", mediaType).Want(t, http.StatusCreated)
	d.leaves(t, 2)
}

// TestWhoMayNot: who may not is told so, or finds nothing, before any of the file is read.
func TestWhoMayNot(t *testing.T) {
	d := newDesktop(t)
	path := d.add(t, "secret.txt", "secret")
	stranger, auditor := d, d
	stranger.User = d.Employee(t, "Stranger", []string{d.Project(t, "Elsewhere")}, nil)
	auditor.User = d.EmployeeAs(t, "Auditor", []string{"auditor"}, []string{d.project}, nil)
	for _, p := range []string{d.path(), path + "/versions"} {
		for _, who := range []struct {
			desktop
			status string
		}{{stranger, "404 "}, {auditor, "403 "}} {
			if answer := d.raw(t, who.head(p+"?", "Content-Length: 50000000", "Connection: close")); !strings.HasPrefix(answer, "HTTP/1.1 "+who.status) {
				t.Errorf("%s: %.300q", p, answer)
			}
		}
	}
	nobody := &apitest.User{System: d.System}
	nobody.Do(t, "POST", d.path(), apitest.Raw("x"), "Content-Type", "text/plain").Want(t, http.StatusUnauthorized)
	for _, p := range []string{path, path + "/content", path + "/content?version=1", path + "/content?version=9"} {
		stranger.Get(t, p).Problem(t, http.StatusNotFound, "document.absent")
		nobody.Get(t, p).Want(t, http.StatusUnauthorized)
	}
	stranger.Get(t, d.path()).Problem(t, http.StatusNotFound, "client.absent")
	stranger.Patch(t, path, apitest.Map{"name": "x"}).Problem(t, http.StatusNotFound, "client.absent")
	stranger.Do(t, "DELETE", path, nil).Problem(t, http.StatusNotFound, "client.absent")
	auditor.Get(t, path+"/content").Want(t, http.StatusOK)
	auditor.Do(t, "DELETE", path, nil).Problem(t, http.StatusForbidden, "forbidden")

	other := d.Client(t, d.project, "Other")
	elsewhere := strings.Replace(path, d.client, other, 1)
	for _, p := range []string{elsewhere, elsewhere + "/content"} {
		d.Get(t, p).Problem(t, http.StatusNotFound, "document.absent")
	}
	d.bytes(t, elsewhere+"/versions", "x").Problem(t, http.StatusNotFound, "document.absent")
	d.Do(t, "DELETE", elsewhere, nil).Problem(t, http.StatusNotFound, "document.absent")
	d.bytes(t, "/api/v1/clients/"+uuid.NewString()+"/documents?name=x", "x").Problem(t, http.StatusNotFound, "client.absent")
	d.leaves(t, 1)
}

// TestSentAgain: a request sent again under its key makes nothing twice, neither in the
// log nor in storage; another one under the same key is refused.
func TestSentAgain(t *testing.T) {
	d := newDesktop(t)
	key := []string{"Idempotency-Key", uuid.NewString()}
	first := d.upload(t, "a.txt", "content", key...).Want(t, http.StatusCreated)
	path := d.path() + "/" + first.Text("id")
	again := d.upload(t, "a.txt", "content", key...).Want(t, http.StatusCreated)
	if again.Text("id") != first.Text("id") || again.Header.Get("Idempotency-Replayed") != "true" || again.Header.Get("Location") != path {
		t.Error(string(again.Body), again.Header)
	}
	d.upload(t, "a.txt", "other content", key...).Problem(t, 422, "invalid", "Idempotency-Key")
	d.upload(t, "b.txt", "content", key...).Problem(t, 422, "invalid", "Idempotency-Key")
	d.leaves(t, 1)
	version := func() *apitest.Response {
		return d.Post(t, path+"/versions", apitest.Raw("version"), "Content-Type", "text/plain", key[0], key[1])
	}
	if one, two := version().Want(t, 201), version().Want(t, 201); one.Text("revision") != "1" || two.Text("revision") != "1" {
		t.Error(string(one.Body), string(two.Body))
	}
	d.leaves(t, 2)
	var wg sync.WaitGroup
	key[1] = uuid.NewString()
	ids := make([]string, 6)
	for i := range ids {
		wg.Go(func() {
			ids[i] = d.User.At(d.System).Do(t, "POST", d.path()+"?name=at-once.txt", apitest.Raw("x"), append(key, "Content-Type", "text/plain")...).Text("id")
		})
	}
	wg.Wait()
	if ids[0] == "" || len(slices.Compact(ids)) != 1 {
		t.Error(ids)
	}
	d.leaves(t, 3)
	d.remove(t, path, nil, key...).Want(t, http.StatusOK)
	d.remove(t, path, nil, key...).Want(t, http.StatusOK)
	version().Want(t, 404)
	d.leaves(t, 1)
}

// TestVersionsAtOnce: versions that arrive at the same moment all count, and with
// If-Match only one does.
func TestVersionsAtOnce(t *testing.T) {
	d := newDesktop(t)
	path := d.add(t, "a.txt", "first")
	send := func(headers ...string) map[int]int {
		var mu sync.Mutex
		var wg sync.WaitGroup
		statuses := map[int]int{}
		for i := range 5 {
			wg.Go(func() {
				r := d.User.At(d.System).Do(t, "POST", path+"/versions", apitest.Raw(fmt.Sprint("version ", i, headers)), append(headers, "Content-Type", "text/plain")...)
				mu.Lock()
				defer mu.Unlock()
				statuses[r.Status]++
			})
		}
		wg.Wait()
		return statuses
	}
	if diff := cmp.Diff(map[int]int{201: 5}, send()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[int]int{201: 1, 412: 4}, send("If-Match", `"5"`)); diff != "" {
		t.Error(diff)
	}
	d.After = d.headOfLog(t)
	if n := d.Get(t, path).Want(t, 200).Text("version"); n != "7" {
		t.Errorf("%s versions", n)
	}
	d.leaves(t, 7)
}

func (d desktop) headOfLog(t *testing.T) string {
	t.Helper()
	at, err := d.Log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return at.String()
}

func TestLimitsOfDocuments(t *testing.T) {
	d := newDesktop(t)
	path := d.add(t, "a.txt", "first")
	d.add(t, "b.txt", "second")
	d.Get(t, path).Want(t, 200) // and counted from here on
	few := d.with(t, func(c *commands.Documents) { c.MostPerClient, c.MostVersions = 2, 2 })
	few.bytes(t, d.path()+"?name=c.txt", "third").Problem(t, http.StatusConflict, "client.too_many_documents")
	few.bytes(t, path+"/versions", "again").Want(t, http.StatusCreated)
	few.bytes(t, path+"/versions", "once more").Problem(t, http.StatusConflict, "document.too_many_versions")
	few.remove(t, path, nil).Want(t, 200)
	few.Get(t, d.path()).Want(t, 200)
	few.bytes(t, d.path()+"?name=c.txt", "third").Want(t, http.StatusCreated)
	d.leaves(t, 2)
	none := d.with(t, func(c *commands.Documents) { c.Blobs = nil })
	none.bytes(t, d.path()+"?name=c.txt", "x").Problem(t, http.StatusServiceUnavailable, "documents_unavailable")
}

// TestErasedClient: with the client's key the bytes are gone, which no process serves any
// more, even where nothing else is known of it yet.
func TestErasedClient(t *testing.T) {
	d := newDesktop(t)
	path := d.add(t, "a.txt", "personal")
	d.Get(t, path+"/content").Want(t, 200)
	d.Erase(t, d.client)
	d.Get(t, path+"/content").Problem(t, http.StatusNotFound, "document.erased")
	d.bytes(t, d.path()+"?name=more.txt", "more").Problem(t, http.StatusConflict, "erased")
	d.After = d.headOfLog(t)
	eventually(t, "what was known is erased", func() bool { return d.Get(t, path).Text("erased") == "true" })
	if doc := d.Get(t, path).Want(t, 200); doc.Text("name") != "" || doc.Text("versions.0.sha256") != "" || doc.Text("versions.0.stored_sha256") == "" {
		t.Error(string(doc.Body))
	}
	d.leaves(t, 1)
}

// TestTamperedBytes: bytes that were altered in storage are not served. Where that is
// found out on the way, the answer ends before them, and is not whole.
func TestTamperedBytes(t *testing.T) {
	d := newDesktop(t)
	content := strings.Repeat("Leeuwenhoek looked. ", 50_000)
	path := d.add(t, "a.txt", content)
	file := d.stored(t)[0]
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	alter := func(at int) {
		altered := bytes.Clone(raw)
		altered[at] ^= 1
		if err := os.WriteFile(file, altered, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	alter(100)
	d.Get(t, path+"/content").Problem(t, http.StatusInternalServerError, "internal")
	for _, at := range []int{500_000, len(raw) - 1} {
		alter(at)
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, d.URL+path+"/content", nil)
		req.Header.Set("Authorization", "Bearer "+d.Token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err == nil || !strings.HasPrefix(content, string(got)) || len(got) > at {
			t.Errorf("altered at %d: read %d bytes, %v", at, len(got), err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	d.Get(t, path+"/content").Problem(t, http.StatusInternalServerError, "internal")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := d.Get(t, path+"/content").Want(t, 200); string(got.Body) != content {
		t.Error("other bytes")
	}
}

// TestNothingInTheClear: neither the log nor the storage tells what a file is called,
// what is in it or what it is about.
func TestNothingInTheClear(t *testing.T) {
	d := newDesktop(t)
	secret := "Wolfenbuettel" + uuid.NewString()[:8]
	body, mediaType := form(part{"description", "", secret}, part{"file", secret + ".txt", secret})
	id := d.Post(t, d.path(), body, "Content-Type", mediaType).Want(t, 201).Text("id")
	path := d.path() + "/" + id
	d.bytes(t, path+"/versions", secret+secret).Want(t, 201)
	d.Patch(t, path, apitest.Map{"name": secret + "2.txt", "description": secret + "2"}).Want(t, 200)
	for _, file := range d.stored(t) {
		raw, err := os.ReadFile(file)
		if err != nil || bytes.Contains(raw, []byte(secret)) || strings.Contains(file, secret) {
			t.Errorf("%s: %v", file, err)
		}
	}
	d.remove(t, path, apitest.Map{"reason": secret}).Want(t, 200)
	conf, err := esdb.ParseConnectionString(d.EventStore())
	if err != nil {
		t.Fatal(err)
	}
	node, err := esdb.NewClient(conf)
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	events, err := node.ReadStream(t.Context(), "document-"+id, esdb.ReadStreamOptions{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	types := []string{}
	for {
		e, err := events.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		types = append(types, e.Event.EventType)
		if all := string(e.Event.Data) + string(e.Event.UserMetadata); strings.Contains(all, secret) {
			t.Errorf("%s: %s", e.Event.EventType, all)
		}
	}
	if diff := cmp.Diff([]string{"document.added", "document.version_added", "document.renamed", "document.deleted"}, types); diff != "" {
		t.Error(diff)
	}
}

// TestLargeUpload: 50 MiB go in and out again with no more memory than a small file.
func TestLargeUpload(t *testing.T) {
	d := newDesktop(t)
	const size = 96 << 20
	body := io.LimitReader(zeros{}, size)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, d.URL+d.path()+"?name=large.bin", body)
	req.ContentLength = size
	req.Header.Set("Authorization", "Bearer "+d.Token)
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.StatusCode != http.StatusCreated {
		t.Fatal(res, err)
	}
	location := res.Header.Get("Location")
	d.After = res.Header.Get("Annals-Position")
	_ = res.Body.Close()
	d.Get(t, location).Want(t, 200)
	req, _ = http.NewRequestWithContext(t.Context(), http.MethodGet, d.URL+location+"/content", nil)
	req.Header.Set("Authorization", "Bearer "+d.Token)
	if res, err = http.DefaultClient.Do(req); err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	if n != size || err != nil {
		t.Error(n, err)
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > size/2 { // of all tests at once
		t.Errorf("takes %d bytes of memory", grown)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// killed is a log whose process is dead after the append, and reads nothing more either.
type killed struct{ cut }

func (k *killed) Read(ctx context.Context, stream string, from eventlog.Revision) iter.Seq2[eventlog.Record, error] {
	if k.n > 0 {
		return k.cut.Read(ctx, stream, from)
	}
	return func(yield func(eventlog.Record, error) bool) { yield(eventlog.Record{}, errDied) }
}

// TestCrashWhileFiling: wherever a process dies that adds a version or deletes a document,
// the next sweep leaves in storage exactly what the log has.
func TestCrashWhileFiling(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t)
	admin := s.Admin(t)
	d := desktop{admin, "", admin.Client(t, admin.Project(t, "Crashing"), "Crash")}
	for _, after := range []bool{false, true} {
		for _, deleting := range []bool{false, true} {
			name := fmt.Sprintf("deleting %v, after the append %v", deleting, after)
			path := d.add(t, "a.txt", "first")
			before := len(d.stored(t))
			dying := s.Again(t)
			dying.Commands.Store = commands.NewStore(&killed{cut{Log: s.Log, n: 1, after: after}})
			dying.Serve(t)
			there := d
			there.User = d.At(dying)
			if deleting {
				there.Do(t, "DELETE", path, nil).Want(t, http.StatusInternalServerError)
			} else {
				there.bytes(t, path+"/versions", "second").Want(t, http.StatusInternalServerError)
			}
			if d.doubts(t) != 1 {
				t.Errorf("%s: %d doubts", name, d.doubts(t))
			}
			if _, err := s.Commands.SweepDocuments(t.Context()); err != nil || d.doubts(t) != 1 {
				t.Errorf("%s: swept too soon: %v", name, err)
			}
			s.Clock.Advance(2 * time.Hour)
			admin.Session(t)
			if n, err := s.Commands.SweepDocuments(t.Context()); n != 1 || err != nil {
				t.Errorf("%s: swept %d, %v", name, n, err)
			}
			want := before
			switch {
			case deleting && after:
				want--
			case !deleting && after:
				want++
			}
			if got := d.stored(t); len(got) != want || d.doubts(t) != 0 {
				t.Errorf("%s: %d files, want %d; %d doubts", name, len(got), want, d.doubts(t))
			}
			if !deleting || !after {
				d.After = d.headOfLog(t)
				versions := map[bool]string{false: "1", true: "2"}[after]
				if got := d.Get(t, path).Want(t, 200).Text("version"); got != versions {
					t.Errorf("%s: %s versions", name, got)
				}
				d.Get(t, path+"/content").Want(t, 200)
			}
		}
	}
	// A version that arrives while its document is deleted goes as well.
	path := d.add(t, "b.txt", "first")
	id := uuid.MustParse(path[strings.LastIndex(path, "/")+1:])
	name := blobs.Name{Client: uuid.MustParse(d.client), Document: id, Version: uuid.New()}
	if _, err := s.Blobs.Put(t.Context(), name, strings.NewReader("late")); err != nil {
		t.Fatal(err)
	}
	d.remove(t, path, nil).Want(t, 200)
	if _, err := os.Stat(filepath.Join(s.Storage(), d.client, id.String(), name.Version.String())); err != nil {
		t.Fatal(err)
	}
	s.Clock.Advance(2 * time.Hour)
	if n, err := s.Commands.SweepDocuments(context.Background()); n != 1 || err != nil {
		t.Error(n, err)
	}
	if files, _ := os.ReadDir(filepath.Join(s.Storage(), d.client, id.String())); len(files) != 0 {
		t.Errorf("left: %v", files)
	}
}
