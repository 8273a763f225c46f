package main

import (
	"context"
	"encoding/json"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
)

// check holds the log against the books, and the read models against the log.
func (s *soak) check(t *testing.T) {
	t.Helper()
	db, err := pgx.Connect(t.Context(), s.database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.WithoutCancel(t.Context()))
	log := readBook(t, db)
	s.checkLedger(t, log)
	for _, args := range [][]string{{"projections", "verify"}, {"log", "verify"}, {"projections", "list"}} {
		cmd := exec.CommandContext(t.Context(), s.bin, args...)
		cmd.Env = s.env
		out, err := cmd.CombinedOutput()
		t.Logf("annals %s:\n%s", strings.Join(args, " "), out)
		if err != nil {
			t.Errorf("annals %s: %v", strings.Join(args, " "), err)
		}
	}
	// The read model that is in use shows each client as its last event left it.
	rows, err := db.Query(t.Context(), `select id::text, revision from annals_read.clients`)
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]int64{}
	var id string
	var revision int64
	if _, err := pgx.ForEachRow(rows, []any{&id, &revision}, func() error { shown[domain.Client+"-"+id] = revision; return nil }); err != nil {
		t.Fatal(err)
	}
	for stream, last := range log.last {
		if got, ok := shown[stream]; strings.HasPrefix(stream, domain.Client+"-") && (!ok || got != last) {
			t.Errorf("the read model has %s at revision %d, the log at %d", stream, got, last)
		}
	}
}

// book is what is in the log.
type book struct {
	events   int
	commands map[uuid.UUID][]entry // what each led to in clients' streams
	last     map[string]int64      // revision by stream
	keys     map[string]int        // events by key stream
}

// readBook reads the log's table itself, and checks revisions, positions and ids.
func readBook(t *testing.T, db *pgx.Conn) book {
	t.Helper()
	b := book{commands: map[uuid.UUID][]entry{}, last: map[string]int64{}, keys: map[string]int{}}
	rows, err := db.Query(t.Context(), `select position, stream, revision, id, convert_from(metadata, 'UTF8') from annals_log.events order by position`)
	if err != nil {
		t.Fatal(err)
	}
	var position, revision, before int64
	var stream, metadata string
	var id uuid.UUID
	ids := map[uuid.UUID]bool{}
	_, err = pgx.ForEachRow(rows, []any{&position, &stream, &revision, &id, &metadata}, func() error {
		if position <= before {
			t.Errorf("position %d follows %d", position, before)
		}
		last, ok := b.last[stream]
		if !ok {
			last = -1
		}
		if revision != last+1 {
			t.Errorf("%s: revision %d follows %d", stream, revision, last)
		}
		if ids[id] {
			t.Errorf("event %s is in the log twice", id)
		}
		var m struct {
			Command uuid.UUID `json:"command_id"`
		}
		if err := json.Unmarshal([]byte(metadata), &m); err != nil && !strings.HasPrefix(stream, "$") {
			t.Errorf("position %d, %s: metadata %q: %v", position, stream, metadata, err)
		}
		switch category, _, _ := strings.Cut(stream, "-"); category {
		case domain.Client:
			b.commands[m.Command] = append(b.commands[m.Command], entry{m.Command, stream, revision, strconv.FormatInt(position, 10)})
		case "key":
			b.keys[stream]++
		}
		before, b.last[stream], ids[id] = position, revision, true
		b.events++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// checkLedger: what was acknowledged is in the log as it was acknowledged, once; and nothing else is.
func (s *soak) checkLedger(t *testing.T, log book) {
	t.Helper()
	known := map[uuid.UUID]bool{}
	lost, twice, other := 0, 0, 0
	complain := func(n *int, format string, args ...any) {
		if *n++; *n <= 10 {
			t.Errorf(format, args...)
		}
	}
	for _, e := range s.ledger.entries {
		known[e.command] = true
		switch found := log.commands[e.command]; {
		case len(found) == 0:
			complain(&lost, "lost: acknowledged at revision %d of %s, position %s, and not in the log", e.revision, e.stream, e.position)
		case len(found) > 1:
			complain(&twice, "twice: %v", found)
		case found[0] != e:
			complain(&other, "acknowledged as %v, and in the log as %v", e, found[0])
		}
	}
	if len(known) != len(s.ledger.entries) {
		t.Errorf("%d entries in the books are of %d commands", len(s.ledger.entries), len(known))
	}
	unknown, clients := 0, 0
	for command, found := range log.commands {
		if !known[command] {
			unknown++
		}
		if found[0].revision == 0 {
			clients++
			if key := "key-" + strings.TrimPrefix(found[0].stream, domain.Client+"-"); log.keys[key] != 1 {
				t.Errorf("%s has %d keys", found[0].stream, log.keys[key])
			}
		}
	}
	if unknown != len(s.where.shared) { // which the test registered itself
		t.Errorf("%d commands are in the log and were never acknowledged", unknown-len(s.where.shared))
	}
	t.Logf("%d events in the log: %d commands acknowledged, %d lost, %d twice, %d otherwise than acknowledged; %d clients, %d keys",
		log.events, len(s.ledger.entries), lost, twice, other, clients, len(log.keys))
}
