package commands_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"annals/commands"
	"annals/internal/apitest"
	"annals/internal/blobs"
	"annals/internal/eventlog"
	"annals/internal/memtest"
)

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

// TestLargeUpload: a large file goes in and out again, and is never in memory as a whole.
func TestLargeUpload(t *testing.T) {
	d := newDesktopAlone(t)
	const size = 96 << 20
	memory := memtest.Start()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, d.URL+d.path()+"?name=large.bin", memory.Reader(size))
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
	n, err := io.Copy(memory.Writer(), res.Body)
	_ = res.Body.Close()
	if n != size || err != nil {
		t.Error(n, err)
	}
	if memory.Most() > size/8 {
		t.Errorf("%d MiB take %d bytes of memory", size>>20, memory.Most())
	}
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
