package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/eventschema"
	"annals/internal/audit"
	"annals/internal/eventlog"
	"annals/internal/postgres"
)

// planted is what stands nowhere any more once a person has been erased: each word where
// the name says, long, and of letters that no id, time or base64 holds together by chance.
var planted = map[string]string{
	"first name": "Xanthippe", "last name": "Zuckerkandl", "new last name": "Zuckerkandlwirth", "company": "Kandlwerkstatt", "title": "Kommerzienraetin",
	"email": "xanthippe.z@kandlpost.example", "other email": "zweitpost@kandlpost.example", "phone": "90182077", "website": "kandlwebsite.example",
	"street": "Zuckerbergweg", "city": "Bitterfeldhausen", "billing": "Kandlholding", "external id": "ERPKANDL4711", "meta": "Hamburgermesse", "custom": "Lieblingslila",
	"status reason": "Philomenafragte", "deactivation reason": "Gondwanaumzug", "note": "Notizgeheimnis", "edited note": "Notizverbessert", "action": "Rueckruftestament",
	"request": "Kuendigungswunsch", "call": "Telefongefluester", "subject": "Betreffangebot", "body": "Geehrtefrau", "reply": "Antwortpost",
	"file name": "Testamentsentwurf", "content": "Erbschaftsinhalt", "description": "Notarbeschreibung", "record": "Rechnungssache", "record id": "RKANDL99", "hold": "Rechtsstreitkandl",
	"import": "Importzeile",
}

// found are the words that a text holds, in any case, as text or as the hexadecimal digits
// in which PostgreSQL shows bytes.
func found(text []byte) (all []string) {
	text = bytes.ToLower(text)
	for _, where := range slices.Sorted(maps.Keys(planted)) {
		word := strings.ToLower(planted[where])
		if bytes.Contains(text, []byte(word)) || bytes.Contains(text, fmt.Appendf(nil, "%x", planted[where])) {
			all = append(all, where)
		}
	}
	return all
}

// estate is a running annals with a private PostgreSQL, and a client of whom it knows much.
type estate struct {
	*testing.T
	*caller
	p       *process
	bin     string
	env     []string
	data    string
	project string
	client  string
	items   map[string]string // of the client, by kind
}

func newEstate(t *testing.T) *estate {
	t.Helper()
	e := &estate{T: t, bin: build(t), data: filepath.Join(workDir(t), "data"), items: map[string]string{}}
	e.env = hermetic("ANNALS_LISTEN=127.0.0.1:0", "ANNALS_EVENTSTORE_LISTEN=127.0.0.1:0", "ANNALS_ADMIN_PASSWORD=correct-horse-battery", "ANNALS_DATA="+e.data)
	e.serve()
	t.Cleanup(func() { _ = e.p.stop(syscall.SIGTERM) })
	e.project = e.make("/api/v1/projects", Map{"name": "Harbour"})
	e.make("/api/v1/custom-fields", Map{"key": "colour", "type": "text", "label": "Colour"})
	e.importRow()
	return e
}

// Map is a JSON object.
type Map = map[string]any

func (e *estate) serve() {
	e.Helper()
	var err error
	if e.p, err = launch(e.bin, e.env); err != nil {
		e.Fatal(err)
	}
	if err := e.p.untilReady(e.Context()); err != nil {
		e.Fatal(err)
	}
	if e.caller, err = newCaller(e.p.url).signIn(e.Context(), "admin@annals.localhost", "correct-horse-battery"); err != nil {
		e.Fatal(err)
	}
}

// ask sends a request that has to be answered with that status.
func (e *estate) ask(status int, method, path string, body any) *reply {
	e.Helper()
	res, err := e.send(e.Context(), method, path, body)
	if err != nil {
		e.Fatal(err)
	}
	if res.status != status {
		e.Fatalf("%s %s: %d, want %d: %s", method, path, res.status, status, res.body)
	}
	return res
}

func (e *estate) make(path string, body any) string {
	e.Helper()
	var r receipt
	if err := json.Unmarshal(e.ask(http.StatusCreated, "POST", path, body).body, &r); err != nil {
		e.Fatal(err)
	}
	return r.ID
}

// annals runs a subcommand beside the server.
func (e *estate) annals(args ...string) (string, error) {
	e.Helper()
	cmd := exec.CommandContext(e.Context(), e.bin, args...)
	cmd.Env = append(slices.Clone(e.env), "ANNALS_URL="+e.p.url, "ANNALS_TOKEN="+e.token)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// importRow makes the client from a file.
func (e *estate) importRow() {
	e.Helper()
	file := filepath.Join(workDir(e.T), "clients.csv")
	if err := os.WriteFile(file, []byte("last_name,middle_name\n"+planted["last name"]+","+planted["import"]+"\n"), 0o600); err != nil {
		e.Fatal(err)
	}
	if out, err := e.annals("import", "clients", file, "--project", e.project); err != nil {
		e.Fatalf("import: %v\n%s", err, out)
	}
	var list struct{ Items []struct{ ID string } }
	for len(list.Items) == 0 {
		if err := json.Unmarshal(e.ask(200, "GET", "/api/v1/clients?q="+planted["last name"], nil).body, &list); err != nil {
			e.Fatal(err)
		}
	}
	e.client = list.Items[0].ID
}

// live has everything happen to the client that can.
func (e *estate) live() {
	e.Helper()
	of := "/api/v1/clients/" + e.client
	w := planted
	e.ask(200, "PATCH", of, Map{
		"first_name": w["first name"], "title": w["title"], "company": w["company"], "email": w["email"], "phone": "+49 30 " + w["phone"],
		"other_emails": []Map{{"email": w["other email"]}}, "website": "https://" + w["website"], "address": Map{"street": w["street"] + " 17", "city": w["city"]},
		"billing": Map{"legal_name": w["billing"]}, "external_ids": Map{"erp": w["external id"]}, "meta": Map{"fair": w["meta"]}, "custom": Map{"colour": w["custom"]},
	})
	e.ask(200, "PATCH", of, Map{"last_name": w["new last name"]})
	e.ask(200, "POST", of+"/status", Map{"status": "active", "reason": w["status reason"]})
	e.ask(200, "POST", of+"/deactivate", Map{"reason": w["deactivation reason"]})
	e.ask(200, "POST", of+"/reactivate", nil)
	e.items["notes"] = e.make(of+"/notes", Map{"text": w["note"]})
	e.ask(200, "PATCH", of+"/notes/"+e.items["notes"], Map{"text": w["edited note"]})
	e.items["actions"] = e.make(of+"/actions", Map{"title": w["action"], "due_at": "2099-01-01T00:00:00Z"})
	e.items["requests"] = e.make(of+"/requests", Map{"subject": w["request"], "text": w["request"]})
	e.items["calls"] = e.make(of+"/calls", Map{"direction": "inbound", "number": w["phone"], "outcome": "answered", "text": w["call"]})
	e.items["messages"] = e.make(of+"/messages", Map{"subject": w["subject"], "text": w["body"]})
	e.make(of+"/messages/log", Map{"from": w["email"], "subject": w["subject"], "text": w["reply"]})
	e.items["documents"] = e.upload(of+"/documents?name="+w["file name"]+".txt&description="+w["description"], w["content"])
	e.items["records"] = e.make(of+"/records/transactions", Map{"system": "billing", "external_id": w["record id"], "title": w["record"], "amount": "12.50", "currency": "EUR"})
	e.ask(200, "POST", of+"/hold", Map{"reason": w["hold"]})
	e.ask(409, "POST", of+"/erase", Map{"reason": "asked to be forgotten"})
	for _, path := range []string{"", "/activity", "/history?with=activities", "/erasure", "/documents"} {
		e.ask(200, "GET", of+path, nil)
	}
	e.ask(200, "GET", "/api/v1/clients?q="+strings.ToLower(w["new last name"][:9]), nil)
	e.ask(200, "POST", of+"/release", Map{"reason": w["hold"]})
}

func (e *estate) upload(path, content string) string {
	e.Helper()
	req, err := http.NewRequestWithContext(e.Context(), http.MethodPost, e.url+path, strings.NewReader(content))
	if err != nil {
		e.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	req.Header.Set("Authorization", "Bearer "+e.token)
	res, err := e.http.Do(req)
	if err != nil {
		e.Fatal(err)
	}
	defer res.Body.Close()
	var r receipt
	if err := json.NewDecoder(res.Body).Decode(&r); err != nil || res.StatusCode != http.StatusCreated {
		e.Fatalf("upload: %d, %v", res.StatusCode, err)
	}
	return r.ID
}

// pool is the private database, as our own role has it.
func (e *estate) pool() *pgxpool.Pool {
	e.Helper()
	url, err := postgres.URLFor(filepath.Join(e.data, "postgres"))
	if err != nil {
		e.Fatal(err)
	}
	db, err := pgxpool.New(context.WithoutCancel(e.Context()), url)
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(db.Close)
	return db
}

// inTables are the tables, of all schemas, whose rows hold something that was planted.
func (e *estate) inTables() (all []string) {
	e.Helper()
	db := e.pool()
	rows, _ := db.Query(e.Context(), `select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where c.relkind in ('r', 'm') and n.nspname !~ '^pg_(toast|temp)' and has_table_privilege(c.oid, 'select')`)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 50 {
		e.Fatalf("%d tables: %v", len(tables), err)
	}
	for _, table := range tables {
		rows, _ := db.Query(e.Context(), `select t::text from `+table+` t`)
		texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			e.Fatalf("%s: %v", table, err)
		}
		if got := found([]byte(strings.Join(texts, "\n"))); len(got) > 0 {
			all = append(all, fmt.Sprint(table, ": ", got))
		}
	}
	return all
}

// inFiles are the files below the data directory that hold something that was planted, by
// their contents or names.
func (e *estate) inFiles() (all []string) {
	e.Helper()
	err := filepath.WalkDir(e.data, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // of a server at work
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if got := found(append(raw, path...)); len(got) > 0 {
			all = append(all, fmt.Sprint(strings.TrimPrefix(path, e.data), ": ", got))
		}
		return nil
	})
	if err != nil {
		e.Fatal(err)
	}
	return all
}

// inAnswers are the reads of the API that answer something that was planted: every read
// that there is, of the client, of all that belongs to it, and of everything else.
func (e *estate) inAnswers() (all []string, asked int) {
	e.Helper()
	var doc struct {
		Paths map[string]map[string]any
	}
	if err := json.Unmarshal(e.ask(200, "GET", "/api/openapi.json", nil).body, &doc); err != nil {
		e.Fatal(err)
	}
	for path, methods := range doc.Paths {
		if methods["get"] == nil || strings.HasSuffix(path, "/stream") || strings.Contains(path, "/live") || strings.Contains(path, "/oidc") {
			continue
		}
		items := []string{""}
		if strings.Contains(path, "{item}") {
			items = slices.Sorted(maps.Values(e.items))
		}
		for _, item := range items {
			at := strings.NewReplacer("{id}", e.client, "{item}", item, "{kind}", "transactions", "{level}", "0", "{n}", "000.p/1").Replace(path)
			if strings.Contains(at, "{") {
				continue
			}
			for _, query := range []string{"", "?limit=500", "?with=activities", "?q=" + planted["new last name"]} {
				ctx, cancel := context.WithTimeout(e.Context(), patience)
				res, err := e.send(ctx, "GET", at+query, nil)
				cancel()
				if err != nil {
					e.Fatalf("%s: %v", at, err)
				}
				asked++
				if got := found(bytes.ReplaceAll(res.body, []byte(planted["new last name"]+" names no"), nil)); len(got) > 0 {
					all = append(all, fmt.Sprint(at+query, ": ", got))
				}
			}
		}
	}
	return all, asked
}

// TestErase: of a person who has been erased nothing is left that was known of them, in
// any table, blob, answer or line that the server has written, and once the files of the
// database have been cleaned, in any file; and the history is whole, and proves that it
// was rightly erased.
func TestErase(t *testing.T) {
	e := newEstate(t)
	e.live()
	if before := e.inTables(); len(before) < 5 {
		t.Fatalf("the search finds what was planted only in %v", before)
	}
	if before, asked := e.inAnswers(); len(before) < 5 || asked < 50 {
		t.Fatalf("the search finds what was planted only in %v of %d answers", before, asked)
	}
	of := "/api/v1/clients/" + e.client
	for field, text := range map[string]string{"reason": planted["new last name"] + " wants it", "requested_by": "x@y.example"} {
		body := Map{"reason": "letter of 3 May, case 17"}
		body[field] = text
		if res := e.ask(422, "POST", of+"/erase", body); !strings.Contains(string(res.body), `"`+field+`"`) {
			t.Errorf("%s: %s", field, res.body)
		}
	}
	out, err := e.annals("erase", "client", e.client, "--reason", "letter of 3 May, case 17")
	if err != nil || !strings.Contains(out, "letter of 3 May, case 17") || !strings.Contains(out, "the person") || !strings.Contains(out, "destroyed, with 1 events") {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, at := range e.inTables() {
		t.Errorf("in a table: %s", at)
	}
	answers, asked := e.inAnswers()
	for _, at := range answers {
		t.Errorf("in an answer: %s", at)
	}
	t.Logf("%d answers\n%s", asked, out)
	if left, _ := filepath.Glob(filepath.Join(e.data, "blobs", e.client, "*")); len(left) > 0 {
		t.Errorf("blobs: %v", left)
	}
	for path, body := range map[string]Map{"/notes": {"text": "x"}, "/status": {"status": "lead"}, "/hold": {"reason": "x"}, "/erase": {"reason": "x"}} {
		if code, _ := e.ask(409, "POST", of+path, body).problem(); code != "client.erased" {
			t.Errorf("%s: %s", path, code)
		}
	}
	if out, err := e.annals("projections", "verify"); err != nil {
		t.Errorf("the read models built without the key: %v\n%s", err, out)
	}
	e.proven(e.certificate())

	if before := e.inFiles(); len(before) == 0 {
		t.Error("there is nothing to clean, and this test proves nothing")
	}
	e.ask(202, "POST", "/api/v1/erasures/clean", nil)
	for state := ""; state != "cleaned"; {
		var is struct{ State string }
		if err := json.Unmarshal(e.ask(200, "GET", of+"/erasure", nil).body, &is); err != nil {
			t.Fatal(err)
		}
		state = is.State
	}
	for _, at := range e.inFiles() {
		t.Errorf("in a file: %s", at)
	}
	if got := found([]byte(e.p.logs.String())); len(got) > 0 {
		t.Errorf("the server has written: %v", got)
	}
	for _, at := range e.inTables() {
		t.Errorf("in a table, after all: %s", at)
	}
}

// certified is what a certificate says of where it is proven.
type certified struct {
	Certificate struct {
		Positions map[string]string
	}
}

func (e *estate) certificate() (c certified) {
	e.Helper()
	if err := json.Unmarshal(e.ask(200, "GET", "/api/v1/clients/"+e.client+"/erasure", nil).body, &c); err != nil {
		e.Fatal(err)
	}
	return c
}

// proven holds the log to the audit tree: the events of the certificate are in it, and the
// key that the log does not have any more is known as one that was erased.
func (e *estate) proven(c certified) {
	e.Helper()
	for _, what := range []string{"erased", "key_destroyed", "carried_out"} {
		e.ask(200, "GET", "/api/v1/audit/proof?position="+c.Certificate.Positions[what], nil)
	}
	raw, err := os.ReadFile(filepath.Join(e.data, "running.json"))
	if err != nil {
		e.Fatal(err)
	}
	var r running
	if err := json.Unmarshal(raw, &r); err != nil {
		e.Fatal(err)
	}
	master, err := eventschema.NewLocalMaster(make([]byte, 32)) // nothing is opened
	if err != nil {
		e.Fatal(err)
	}
	log, err := eventlog.Open(eventlog.Config{ConnectionString: r.EventStore, Master: master})
	if err != nil {
		e.Fatal(err)
	}
	defer log.Close()
	store, err := audit.Open(e.Context(), e.pool())
	if err != nil {
		e.Fatal(err)
	}
	st, err := store.State(e.Context())
	if err != nil {
		e.Fatal(err)
	}
	got, err := audit.Comparison{
		Log: log, Leaves: store.All(e.Context(), 0), Size: st.Size, Until: st.At, Report: func(f audit.Finding) { e.Errorf("the log against the tree: %s", f) },
	}.Run(e.Context())
	if err != nil || got.Erased != 1 || got.Leaves != st.Size {
		e.Errorf("%+v, %v", got, err)
	}
}
