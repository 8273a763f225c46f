package commands_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"annals/commands"
	"annals/internal/apitest"
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
