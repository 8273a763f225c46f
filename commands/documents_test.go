package commands_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"annals/internal/apitest"
)

// desktop is somebody who puts documents on a client.
type desktop struct {
	*apitest.User
	project, client string
}

func newDesktop(t *testing.T) desktop {
	t.Helper()
	t.Parallel()
	return newDesktopAlone(t)
}

// newDesktopAlone is newDesktop for a test that no other may run beside.
func newDesktopAlone(t *testing.T) desktop {
	t.Helper()
	s := apitest.Shared(t)
	admin := s.Admin(t)
	project := admin.Project(t, "Filing")
	return desktop{admin, project, admin.Client(t, project, "Leeuwenhoek")}
}

func (d desktop) path() string { return "/api/v1/clients/" + d.client + "/documents" }

// part is one of a form.
type part struct{ name, file, content string }

// form is a request's body of these parts, and its media type.
func form(parts ...part) (body apitest.Raw, mediaType string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		h := textproto.MIMEHeader{}
		if p.file == "" {
			h.Set("Content-Disposition", fmt.Sprintf(`form-data; name=%q`, p.name))
		} else {
			h.Set("Content-Disposition", fmt.Sprintf(`form-data; name="%s"; filename="%s"`, p.name, strings.ReplaceAll(p.file, `"`, "%22"))) // as browsers do
			h.Set("Content-Type", "image/png")
		}
		out, _ := w.CreatePart(h)
		_, _ = io.WriteString(out, p.content)
	}
	_ = w.Close()
	return apitest.Raw(b.String()), w.FormDataContentType()
}

func (d desktop) upload(t *testing.T, name, content string, headers ...string) *apitest.Response {
	t.Helper()
	body, mediaType := form(part{"file", name, content})
	return d.Post(t, d.path(), body, append([]string{"Content-Type", mediaType}, headers...)...)
}

func (d desktop) add(t *testing.T, name, content string) (path string) {
	t.Helper()
	return d.path() + "/" + d.upload(t, name, content).Want(t, http.StatusCreated).Text("id")
}

func (d desktop) bytes(t *testing.T, path, content string) *apitest.Response {
	t.Helper()
	return d.Post(t, path, apitest.Raw(content), "Content-Type", "application/octet-stream")
}

// stored are the files in storage that belong to the client.
func (d desktop) stored(t *testing.T) []string {
	t.Helper()
	var files []string
	_ = filepath.WalkDir(filepath.Join(d.Storage(), d.client), func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, path)
		}
		return nil
	})
	return files
}

func (d desktop) doubts(t *testing.T) (n int) {
	t.Helper()
	if err := d.DB.QueryRow(t.Context(), `select count(*) from annals_documents.doubts where client_id = $1`, d.client).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// leaves expects so many files in storage, and no doubt about any.
func (d desktop) leaves(t *testing.T, files int) {
	t.Helper()
	if got := d.stored(t); len(got) != files || d.doubts(t) != 0 {
		t.Errorf("in storage: %v, want %d; in doubt: %d", got, files, d.doubts(t))
	}
}

const png = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"

// TestDocuments: a document from its first upload to the end.
func TestDocuments(t *testing.T) {
	d := newDesktop(t)
	first := "%PDF-1.7\nFirst"
	body, mediaType := form(part{"description", "", " As signed \n"}, part{"file", "résumé \"2\".pdf", first})
	made := d.Post(t, d.path(), body, "Content-Type", mediaType).Want(t, http.StatusCreated)
	path := d.path() + "/" + made.Text("id")
	if made.Header.Get("Location") != path || made.Header.Get("Etag") != `"0"` {
		t.Error(made.Header)
	}
	sum := sha256.Sum256([]byte(first))
	got := d.Get(t, path).Want(t, http.StatusOK)
	for field, want := range map[string]string{
		"name": "résumé _2_.pdf", "description": "As signed", "version": "1", "size": strconv.Itoa(len(first)), "media_type": "application/pdf",
		"preview": "pdf", "actor.id": d.ID, "revision": "0", "versions.0.number": "1", "versions.0.sha256": hex.EncodeToString(sum[:]), "versions.0.actor.name": "Ada Admin",
	} {
		if got.Text(field) != want {
			t.Errorf("%s = %q, want %q", field, got.Text(field), want)
		}
	}

	second := "%PDF-1.7\nSecond, and more"
	d.bytes(t, path+"/versions", second).Want(t, http.StatusCreated)
	same := d.bytes(t, path+"/versions", second).Want(t, http.StatusCreated)
	if same.Text("revision") != "1" {
		t.Error("the same bytes made another version")
	}
	d.leaves(t, 2)
	got = d.Get(t, path).Want(t, http.StatusOK)
	if diff := cmp.Diff([]string{"2", "1"}, []string{got.Text("versions.0.number"), got.Text("versions.1.number")}); diff != "" || got.Text("size") != strconv.Itoa(len(second)) {
		t.Error(diff, string(got.Body))
	}
	for query, want := range map[string]string{"": second, "?version=2": second, "?version=1": first} {
		r := d.Get(t, path+"/content"+query).Want(t, http.StatusOK)
		if string(r.Body) != want {
			t.Errorf("content%s: %q", query, r.Body)
		}
	}
	d.Get(t, path+"/content?version=3").Problem(t, http.StatusNotFound, "document.no_such_version")
	d.Get(t, path+"/content?version=0").Want(t, http.StatusUnprocessableEntity)

	d.Patch(t, path, apitest.Map{"name": "../Lebenslauf.pdf"}).Want(t, http.StatusOK)
	d.Patch(t, path, apitest.Map{"name": ".."}).Problem(t, http.StatusUnprocessableEntity, "invalid", "name")
	got = d.Get(t, path).Want(t, http.StatusOK)
	if got.Text("name") != "Lebenslauf.pdf" || got.Text("description") != "As signed" {
		t.Error(string(got.Body))
	}

	other := d.add(t, "other.txt", "Dear Kim")
	list := d.Get(t, d.path()).Want(t, http.StatusOK)
	if diff := cmp.Diff([]string{"other.txt", "Lebenslauf.pdf"}, list.Column("name")); diff != "" {
		t.Error(diff)
	}
	page := d.Get(t, d.path()+"?limit=1").Want(t, http.StatusOK)
	next := d.Get(t, d.path()+"?limit=1&cursor="+page.Text("next_cursor")).Want(t, http.StatusOK)
	if diff := cmp.Diff([]string{"Lebenslauf.pdf"}, next.Column("name")); diff != "" {
		t.Error(diff)
	}

	d.Do(t, "DELETE", path, apitest.Map{"reason": "signed again"}, "If-Match", `"1"`).Problem(t, http.StatusPreconditionFailed, "revision")
	gone := d.remove(t, path, apitest.Map{"reason": "signed again"}).Want(t, http.StatusOK)
	if gone.Text("revision") != "3" {
		t.Error(string(gone.Body))
	}
	d.leaves(t, 1)
	for _, p := range []string{path, path + "/content"} {
		d.Get(t, p).Problem(t, http.StatusNotFound, "document.absent")
	}
	d.bytes(t, path+"/versions", "more").Problem(t, http.StatusNotFound, "document.absent")
	d.Patch(t, path, apitest.Map{"name": "x"}).Problem(t, http.StatusNotFound, "document.absent")
	if diff := cmp.Diff([]string{"other.txt"}, d.Get(t, d.path()).Column("name")); diff != "" {
		t.Error(diff)
	}

	feed := d.Get(t, "/api/v1/clients/"+d.client+"/activity?kind=document").Want(t, http.StatusOK)
	if diff := cmp.Diff([]string{"other.txt", "Lebenslauf.pdf"}, feed.Column("name")); diff != "" {
		t.Error(diff)
	}
	if feed.Text("items.1.deleted_at") == "" || feed.Text("items.0.deleted_at") != "" || feed.Text("items.1.deletion_reason") != "signed again" || len(feed.List("items.1.versions")) != 2 {
		t.Error(string(feed.Body))
	}
	if diff := cmp.Diff([]string{"client.registered", "document.added", "document.version_added", "document.renamed", "document.added", "document.deleted"},
		d.Get(t, "/api/v1/clients/"+d.client+"/history?with=activities").Want(t, http.StatusOK).Column("type")); diff != "" {
		t.Error(diff)
	}
	d.remove(t, other, nil).Want(t, http.StatusOK)
	d.leaves(t, 0)
	if d.Get(t, d.path()).Want(t, http.StatusOK); d.Get(t, d.path()).Text("total.count") != "0" {
		t.Error("there are documents left")
	}
}

func (d desktop) remove(t *testing.T, path string, body any, headers ...string) *apitest.Response {
	t.Helper()
	r := d.Do(t, http.MethodDelete, path, body, headers...)
	if at := r.Header.Get("Annals-Position"); at != "" {
		d.After = at
	}
	return r
}

// TestFormsOfUpload: a form with a file and what stands before it, or the bytes alone,
// and nothing else.
func TestFormsOfUpload(t *testing.T) {
	d := newDesktop(t)
	send := func(mediaType string, body apitest.Raw, more ...string) *apitest.Response {
		return d.Do(t, "POST", d.path(), body, append([]string{"Content-Type", mediaType}, more...)...)
	}
	good, formType := form(part{"name", "", "named.txt"}, part{"file", "file.txt", "x"})
	boundary := strings.TrimPrefix(formType, "multipart/form-data; boundary=")
	sendForm := func(parts ...part) *apitest.Response {
		body, mediaType := form(parts...)
		return send(mediaType, body)
	}
	send(formType, good).Want(t, http.StatusCreated)
	d.Post(t, d.path()+"?name=raw.txt&description=Raw", apitest.Raw("raw"), "Content-Type", "text/html").Want(t, http.StatusCreated)
	d.Post(t, d.path()+"?name=chosen.txt", good, "Content-Type", formType).Want(t, http.StatusCreated)
	names := d.Get(t, d.path()).Want(t, http.StatusOK).Column("name")
	if diff := cmp.Diff([]string{"chosen.txt", "raw.txt", "named.txt"}, names); diff != "" {
		t.Error(diff)
	}

	sendForm(part{"file", "a.txt", ""}).Problem(t, 422, "invalid", "file")
	send("application/octet-stream", "", "Content-Length", "0").Problem(t, 422, "invalid", "name")
	d.bytes(t, d.path(), "no name").Problem(t, 422, "invalid", "name")
	sendForm(part{"file", "", "no name"}).Problem(t, 422, "invalid", "name")
	sendForm(part{"name", "", "only.txt"}).Problem(t, 400, "malformed", "file")
	sendForm(part{"file", "a.txt", "x"}, part{"name", "", "late.txt"}).Problem(t, 400, "malformed", "form")
	sendForm(part{"file", "a.txt", "x"}, part{"file", "b.txt", "y"}).Problem(t, 400, "malformed", "form")
	sendForm(part{"name", "", "a"}, part{"name", "", "b"}, part{"file", "b.txt", "y"}).Problem(t, 400, "malformed", "name")
	sendForm(part{"more", "", "a"}, part{"file", "b.txt", "y"}).Problem(t, 400, "malformed", "form")
	sendForm(part{"description", "", strings.Repeat("x", 70<<10)}, part{"file", "b.txt", "y"}).Problem(t, 400, "malformed", "form")
	sendForm(part{"description", "", strings.Repeat("x", 3000)}, part{"file", "b.txt", "y"}).Problem(t, 422, "invalid", "description")
	sendForm(part{"name", "", "\xff"}, part{"file", "b.txt", "y"}).Problem(t, 400, "malformed", "name")
	send(formType, good[:len(good)-8]).Problem(t, 400, "malformed", "body")
	send(formType, "no form").Problem(t, 400, "malformed", "file")
	send("multipart/form-data", good).Problem(t, 415, "media_type")
	send("multipart/mixed; boundary="+boundary, good).Problem(t, 415, "media_type")
	send("application/octet-stream", "x", "Content-Encoding", "gzip").Problem(t, 415, "content_encoding")
	encoded := "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Transfer-Encoding: base64\r\n\r\neA==\r\n--b--\r\n"
	send("multipart/form-data; boundary=b", apitest.Raw(encoded)).Problem(t, 400, "malformed", "file")
	d.Do(t, "POST", d.path()+"?title=x", apitest.Raw("x"), "Content-Type", "text/plain").Problem(t, 422, "invalid")
	d.leaves(t, 3)
}

// TestHostileFiles: what a file is called, what it says that it is, and what it is, makes
// no difference to where it is kept, and it is not served as what a browser runs.
func TestHostileFiles(t *testing.T) {
	d := newDesktop(t)
	bomb := func() string {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		f, _ := w.Create("bomb.txt")
		zeros := make([]byte, 1<<20)
		for range 20 {
			_, _ = f.Write(zeros)
		}
		_ = w.Close()
		return b.String()
	}
	cases := []struct{ name, content, wantName, served, preview string }{
		{"../../../../etc/passwd", "root", "passwd", "text/plain; charset=utf-8", "text"},
		{`..\..\windows\system32\x.ini`, "[boot]", "x.ini", "text/plain; charset=utf-8", "text"},
		{"/etc/cron.d/x", "* * * * * root id", "x", "text/plain; charset=utf-8", "text"},
		{"invoice\u202efdp.exe", "MZ\x90\x00\x03" + strings.Repeat("\x00", 100), "invoicefdp.exe", "application/octet-stream", "none"},
		{"photo.png", "<html><script>alert(1)</script>", "photo.png", "application/octet-stream", "none"},
		{"page.html", "<!DOCTYPE html><script>alert(1)</script>", "page.html", "application/octet-stream", "none"},
		{"image.svg", `<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`, "image.svg", "application/octet-stream", "none"},
		{"photo.png", png + "<script>alert(1)</script>", "photo.png", "image/png", "image"},
		{"photo.html", png, "photo.html", "application/octet-stream", "image"},
		{"both.gif", "GIF89a/*<svg/onload=alert(1)>*/=1;alert(1)//" + strings.Repeat("\x00", 40), "both.gif", "image/gif", "image"},
		{"archive.zip", bomb(), "archive.zip", "application/octet-stream", "none"},
		{"a\r\nSet-Cookie: x=1.txt", "text", "aSet-Cookie_ x=1.txt", "text/plain; charset=utf-8", "text"},
		{strings.Repeat("語", 80) + ".txt", "long", strings.Repeat("語", 80) + ".txt", "text/plain; charset=utf-8", "text"},
		{"nul.txt", "device", "_nul.txt", "text/plain; charset=utf-8", "text"},
		{"semi;colon='\".txt", "quotes", "semi;colon='_.txt", "text/plain; charset=utf-8", "text"},
	}
	for _, c := range cases {
		r := d.Post(t, d.path()+"?name="+url.QueryEscape(c.name), apitest.Raw(c.content), "Content-Type", "text/html")
		r.Want(t, http.StatusCreated)
		path := d.path() + "/" + r.Text("id")
		doc := d.Get(t, path).Want(t, http.StatusOK)
		if doc.Text("name") != c.wantName || doc.Text("preview") != c.preview {
			t.Errorf("%q is called %q, and shown as %s", c.name, doc.Text("name"), doc.Text("preview"))
		}
		got := d.Get(t, path+"/content").Want(t, http.StatusOK)
		sum := sha256.Sum256([]byte(c.content))
		for name, want := range map[string]string{
			"Content-Type": c.served, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Accept-Ranges": "none",
			"Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'", "Content-Length": strconv.Itoa(len(c.content)),
			"ETag": `"` + doc.Text("versions.0.id") + `"`, "Repr-Digest": "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":",
		} {
			if got.Header.Get(name) != want {
				t.Errorf("%q: %s is %q, want %q", c.name, name, got.Header.Get(name), want)
			}
		}
		kind, params, err := mime.ParseMediaType(got.Header.Get("Content-Disposition"))
		if err != nil || kind != "attachment" || params["filename"] != c.wantName {
			t.Errorf("%q is saved as %s: %q, %v", c.name, kind, params["filename"], err)
		}
		if string(got.Body) != c.content {
			t.Errorf("%q: other bytes", c.name)
		}
	}
	files := d.stored(t)
	d.leaves(t, len(cases))
	for _, file := range files {
		at := strings.Split(strings.TrimPrefix(file, d.Storage()+"/"), "/")
		if len(at) != 3 || at[0] != d.client || slices.ContainsFunc(at, func(s string) bool { return len(s) != 36 }) {
			t.Errorf("in storage as %v", at)
		}
	}
	for _, name := range []string{"..", "/", `\`, "\u202e", " ", "x\xff", strings.Repeat("語", 90)} {
		d.Post(t, d.path()+"?name="+url.QueryEscape(name), apitest.Raw("x"), "Content-Type", "text/html").Problem(t, 422, "invalid", "name")
	}
	d.leaves(t, len(cases))
}
