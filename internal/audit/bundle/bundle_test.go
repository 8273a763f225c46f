package bundle_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/note"
	"annals/internal/audit"
	"annals/internal/audit/audittest"
	"annals/internal/audit/bundle"
	"annals/internal/audit/proof"
	"annals/internal/eventlog"
)

// world is a log with clients in two projects, and a tree over it.
type world struct {
	*audittest.World
	source  *bundle.Source
	one     uuid.UUID // a client with many events
	project uuid.UUID
	witness *proof.Cosigner
	half    []byte // an older checkpoint
}

func (w *world) append(stream string, last eventlog.Revision, m domain.Meta, events ...any) {
	w.Helper()
	if _, err := w.Log.Append(context.WithoutCancel(w.Context()), stream, last, m, events...); err != nil {
		w.Fatal(err)
	}
}

func newWorld(t *testing.T, events int) *world {
	t.Helper()
	t.Parallel()
	w := &world{World: audittest.New(t), one: uuid.New(), project: uuid.New()}
	var err error
	if w.witness, err = proof.NewCosigner("witness.test", bytes.Repeat([]byte{7}, 32), time.Now); err != nil {
		t.Fatal(err)
	}
	w.source = &bundle.Source{Log: w.Log, Tree: w.Tree, Key: w.Key, Witnesses: []proof.Witness{w.witness.Witness}, Now: time.Now, App: "test"}
	stop := w.Keep()
	defer stop()
	w.Register(20)
	w.append(eventlog.Stream(domain.Client, w.one), eventlog.NoStream, w.Meta(), client.Registered{
		Details: client.Details{DisplayName: "Ærøskøbing <b>& Söhne</b>"}, Assignment: client.Assignment{ProjectID: w.project}, Status: client.Lead,
	})
	from, to := client.Lead, client.Active
	w.half = w.Grown(42).Note
	n := int64(42)
	for i := range events - 2 {
		m := w.Meta()
		if i%10 == 0 { // what belongs to the client
			m.Subject = w.one
			w.append(eventlog.Stream(domain.Note, uuid.New()), eventlog.NoStream, m, note.Added{ClientID: w.one, Text: "He said: “no”\u2028\n\t\x7f 🙂"})
		} else {
			w.append(eventlog.Stream(domain.Client, w.one), eventlog.Revision(i-1-i/10), m, client.StatusChanged{From: from, To: to, Reason: "because"})
			from, to = to, from
		}
		n++
		if i%50 == 0 {
			w.Register(1)
			n += 2
		}
	}
	c := w.Grown(n)
	signed, _, err := proof.Open(c.Note, w.Key.Verifier)
	if err != nil {
		t.Fatal(err)
	}
	line, err := w.witness.Cosign(signed)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Tree.Cosign(t.Context(), c.Size, w.Key.Verifier, w.witness.Witness, line); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) export(scope bundle.Scope) (string, bundle.Summary) {
	w.Helper()
	dir := filepath.Join(w.TempDir(), "bundle")
	sum, err := w.source.Export(w.Context(), scope, dir)
	if err != nil {
		w.Fatal(err)
	}
	return dir, sum
}

// keyFile is what an auditor was given by another way.
func (w *world) keyFile() string {
	w.Helper()
	path := filepath.Join(w.TempDir(), "keys")
	if err := os.WriteFile(path, []byte(w.Key.Public+"\n"+w.witness.String()+"\n"), 0o600); err != nil {
		w.Fatal(err)
	}
	return path
}

func publicKeys(t *testing.T, keyFile string) bundle.Keys {
	t.Helper()
	text, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := bundle.ParseKeys(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func verify(t *testing.T, dir, keyFile string) *bundle.Verdict {
	t.Helper()
	v, err := bundle.Verify(dir, publicKeys(t, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const script = "../../../docs/verify/verify.py"

// python checks a bundle by the second verifier, and returns what it finds.
func python(t *testing.T, dir, keyFile string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "python3", script, dir, "--key", keyFile).Output()
	found := strings.Split(strings.TrimSpace(string(out)), "\n")
	switch {
	case err == nil && strings.Contains(string(out), "unchanged and complete"):
		return nil
	case err == nil || len(out) == 0:
		t.Fatalf("%v: %q", err, out)
	}
	return found
}

func lines(t *testing.T, path string) [][]byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.SplitAfter(bytes.TrimSuffix(raw, []byte("\n")), []byte("\n"))
}

// Both verifiers find nothing wrong with a bundle of each kind, which has what it is of.
func TestExport(t *testing.T) { //nolint:tparallel // its parts share a log
	w := newWorld(t, 100)
	keyFile := w.keyFile()
	var all int64
	if err := w.DB.QueryRow(t.Context(), `select count(*) from annals_log.events where stream !~ '^[$]'`).Scan(&all); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		scope bundle.Scope
		want  int64
	}{
		"client":  {bundle.Scope{Kind: "client", ID: w.one.String()}, 99},
		"project": {bundle.Scope{Kind: "project", ID: w.project.String()}, 99},
		"period":  {bundle.Scope{Kind: "period", To: time.Now().Add(time.Hour)}, all},
	} {
		t.Run(name, func(t *testing.T) {
			dir, sum := w.export(c.scope)
			if sum.Events != c.want || sum.Cosigns != 1 || sum.Leaves != all {
				t.Errorf("%+v, want %d events of %d", sum, c.want, all)
			}
			v := verify(t, dir, keyFile)
			if len(v.Faults) > 0 || v.Events != c.want || len(v.Cosigned) != 1 || v.Scope != c.scope.String() {
				t.Errorf("%+v", v)
			}
			if found := python(t, dir, keyFile); found != nil {
				t.Errorf("the second verifier: %q", found)
			}
			report, err := os.ReadFile(filepath.Join(dir, "report.html"))
			if err != nil || !bytes.Contains(report, []byte("Ærøskøbing &lt;b&gt;&amp;")) && !bytes.Contains(report, []byte(`Ærøskøbing \u003cb\u003e`)) {
				t.Errorf("the report does not say who it is: %v", err)
			}
			if key := lines(t, filepath.Join(dir, "events.ndjson")); bytes.Contains(bytes.Join(key, nil), []byte(`"wrapped"`)) {
				t.Error("a key was given out")
			}
			for _, line := range lines(t, filepath.Join(dir, "events.ndjson")) {
				var e struct {
					Type       string
					Data       *string
					DataSHA256 string `json:"data_sha256"`
				}
				if err := json.Unmarshal(line, &e); err != nil || (e.Type == "key.created") != (e.Data == nil) {
					t.Fatalf("%s, %v", line, err)
				}
			}
		})
	}
	for name, scope := range map[string]bundle.Scope{
		"nobody":   {Kind: "client", ID: uuid.NewString()},
		"nothing":  {Kind: "project", ID: uuid.NewString()},
		"long ago": {Kind: "period", To: time.Unix(0, 0)},
	} {
		dir := filepath.Join(t.TempDir(), "bundle")
		if _, err := w.source.Export(t.Context(), scope, dir); err == nil {
			t.Errorf("%s: there is a bundle", name)
		}
		if left, _ := filepath.Glob(dir + "*"); len(left) > 0 {
			t.Errorf("%s: left behind: %q", name, left)
		}
	}
}

// A change of any kind and place is found by both verifiers.
func TestTampering(t *testing.T) { //nolint:tparallel // its parts share a bundle
	const events = 1000
	w := newWorld(t, events)
	keyFile := w.keyFile()
	dir, _ := w.export(bundle.Scope{Kind: "client", ID: w.one.String()})
	if v := verify(t, dir, keyFile); len(v.Faults) > 0 || v.Events != events-1 {
		t.Fatalf("%+v", v)
	}
	other, err := audit.LoadKey(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	fork, foreign := forked(t, w, w.Key), forked(t, w, other)
	files := read(t, dir)
	all := bytes.SplitAfter(files["events.ndjson"], []byte("\n"))
	all = all[:len(all)-1]
	with := func(f func([][]byte) [][]byte) map[string][]byte {
		return map[string][]byte{"events.ndjson": bytes.Join(f(slices.Clone(all)), nil)}
	}
	swap := func(i, j int, field string) func([][]byte) [][]byte {
		return func(l [][]byte) [][]byte {
			var a, b map[string]json.RawMessage
			_, _ = json.Unmarshal(l[i], &a), json.Unmarshal(l[j], &b)
			l[i] = bytes.Replace(l[i], a[field], b[field], 1)
			l[j] = bytes.Replace(l[j], b[field], a[field], 1)
			return l
		}
	}
	cases := map[string]struct {
		files map[string][]byte // nil bytes: the file is removed
		want  string
	}{
		"event removed":          {with(func(l [][]byte) [][]byte { return slices.Delete(l, 500, 501) }), "before it is missing"},
		"first event removed":    {with(func(l [][]byte) [][]byte { return l[1:] }), "before it is missing"},
		"last event removed":     {with(func(l [][]byte) [][]byte { return l[:len(l)-1] }), "had 999 when"},
		"event twice":            {with(func(l [][]byte) [][]byte { return slices.Insert(l, 500, l[500]) }), "line 502 (client-"},
		"events reordered":       {with(func(l [][]byte) [][]byte { l[500], l[501] = l[501], l[500]; return l }), "out of order"},
		"data swapped":           {with(swap(502, 503, "data")), "line 503 (client-"},
		"streams swapped":        {with(swap(500, 501, "stream")), "line 501 (note-"},
		"proofs swapped":         {with(swap(502, 503, "proof")), "line 503 (client-"},
		"all events gone":        {map[string][]byte{"events.ndjson": {}}, "it has 0 events"},
		"cut within a line":      {map[string][]byte{"events.ndjson": files["events.ndjson"][:len(files["events.ndjson"])/2]}, "whole line"},
		"rolled back":            {map[string][]byte{"checkpoint.txt": w.half}, "line 2 (note-"},
		"forked":                 {map[string][]byte{"checkpoint.txt": fork}, "not in the tree that was signed"},
		"of another log":         {map[string][]byte{"checkpoint.txt": foreign}, "checkpoint.txt: "},
		"another signature":      {map[string][]byte{"MANIFEST": bytes.Replace(files["MANIFEST"], []byte("\nevents 999"), []byte("\nevents 998"), 1)}, "MANIFEST: "},
		"a file added":           {map[string][]byte{"evil.txt": []byte("x")}, "evil.txt: it is not in the manifest"},
		"report removed":         {map[string][]byte{"report.html": nil}, "report.html: it is missing"},
		"manifest removed":       {map[string][]byte{"MANIFEST": nil}, "MANIFEST: it is missing"},
		"checkpoint removed":     {map[string][]byte{"checkpoint.txt": nil}, "checkpoint.txt: it is missing"},
		"a second signature":     {map[string][]byte{"MANIFEST": append(slices.Clone(files["MANIFEST"]), files["MANIFEST"][bytes.LastIndexByte(files["MANIFEST"][:len(files["MANIFEST"])-1], '\n')+1:]...)}, "MANIFEST: "},
		"history of another":     {map[string][]byte{"history.ndjson": bytes.ReplaceAll(files["history.ndjson"], []byte("because"), []byte("becausf"))}, "history.ndjson: it is not what was signed"},
		"a stream is not listed": {map[string][]byte{"streams.txt": files["streams.txt"][bytes.IndexByte(files["streams.txt"], '\n')+1:]}, "and there should be 0"},
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		c := cases[name]
		t.Run(name, func(t *testing.T) {
			changed(t, dir, c.files, files, func() {
				said := func(by string, found []string) {
					if !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, c.want) }) {
						t.Errorf("%s finds %q, want %q", by, found, c.want)
					}
				}
				said("the verifier", verify(t, dir, keyFile).Faults)
				said("the second verifier", python(t, dir, keyFile))
			})
		})
	}
	t.Run("bytes", func(t *testing.T) { testBytes(t, dir, keyFile, files, 5, 100) })
	t.Run("bytes of events", func(t *testing.T) { testEachByte(t, dir, keyFile) })
	if v := verify(t, dir, keyFile); len(v.Faults) > 0 {
		t.Errorf("afterwards: %+v", v)
	}
}

// read is all files of a bundle.
func read(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			files[name], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// changed has other files in a bundle while f runs.
func changed(t *testing.T, dir string, with, were map[string][]byte, f func()) {
	t.Helper()
	write := func(name string, b []byte) {
		path := filepath.Join(dir, name)
		err := os.Remove(path)
		if b != nil {
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, b := range with {
		write(name, b)
		defer func() { write(name, were[name]) }()
	}
	f()
}

// forked is a signed checkpoint of another history, as large as the world's.
func forked(t *testing.T, w *world, key *audit.Key) []byte {
	t.Helper()
	c, err := w.Tree.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	signed, _, err := proof.Open(c.Note, w.Key.Verifier)
	if err != nil {
		t.Fatal(err)
	}
	var tree proof.Tree
	for i := range signed.Size {
		leaf := proof.Leaf{Commit: uint64(i), Stream: "client-" + strconv.FormatInt(i, 10)}
		tree.Append(leaf.Hash(), nil)
	}
	fork, err := proof.Checkpoint{Origin: key.Name(), Size: tree.Size(), Root: tree.Root()}.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	return fork
}
