package readapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/internal/accesslog"
)

// clientRequest is a request for a client, as it is or was.
type clientRequest struct {
	ID uuid.UUID `path:"id" format:"uuid"`
	After
	AsOf     string `query:"as_of" doc:"The record as it was at a time, or at the end of a date, of a client that you see now. What the manager is called and what tags stand for is as it is now; there are no warnings, and no ETag" maxLength:"40"`
	Revision int64  `query:"revision" doc:"The record as the event with this revision left it, likewise; -1: as it is" default:"-1" minimum:"-1"`
}

// point is which moment is asked for.
func (r *clientRequest) point() (p point, err error) {
	var f domain.Faults
	if r.AsOf != "" {
		t, err := parseAsOf("as_of", r.AsOf)
		f.Add(err)
		p.at = &t
	}
	if r.Revision >= 0 {
		p.revision = &r.Revision
	}
	if p.at != nil && p.revision != nil {
		f.Add(domain.Fault("revision", "conflict", "is another way to say when than as_of: give one of them"))
	}
	return p, f.Err()
}

var (
	errNotYet     = domain.Errorf(domain.NotFound, "client.not_yet", "there was no such client yet at that moment")
	errNoRevision = domain.Errorf(domain.NotFound, "client.no_revision", "the client has not got as far as that revision")
)

func (p point) absent() error {
	if p.revision != nil {
		return errNoRevision
	}
	return errNotYet
}

// clientThen answers with the client as it was. That has no ETag: a command is about what is.
func (a *API) clientThen(ctx context.Context, in byID, p point) (*one[clientRecord], error) {
	records, fresh, err := a.then(ctx, in, p)
	if err != nil {
		return nil, err
	}
	if records[0] == nil {
		return nil, p.absent()
	}
	if err := a.AccessLog.Record(ctx, accesslog.Look{Kind: accesslog.Record, Clients: []uuid.UUID{in.ID}, AsOf: p.String()}); err != nil {
		return nil, err
	}
	a.opened(ctx, in.ID)
	return &one[clientRecord]{Fresh: fresh, Body: *records[0]}, nil
}

// then reads a client as it was at each point: nil where there was none yet. Each row is found by the primary key of
// the client's row, or of what that was before. Visible is who sees the client now.
func (a *API) then(ctx context.Context, in byID, points ...point) ([]*clientRecord, Fresh, error) {
	var fresh Fresh
	if err := a.wait(ctx, in.After); err != nil {
		return nil, fresh, err
	}
	var b pgx.Batch
	visible(ctx, in.ID)(&b)
	b.Queue(freshness).QueryRow(func(r pgx.Row) error {
		var at position
		err := at.scan(r)
		fresh.Position = at.String()
		return err
	})
	q := visibleClients(ctx)
	q.and("c.id = " + q.bind(in.ID))
	there := false
	b.Queue("select exists (select from annals_read.clients c where "+q.all()+")", q.args...).QueryRow(func(r pgx.Row) error { return r.Scan(&there) })
	out := make([]*clientRecord, len(points))
	for i, p := range points {
		sql, args := p.row(in.ID)
		b.Queue(sql, args...).Query(func(r pgx.Rows) error {
			row, err := pgx.CollectExactlyOneRow(r, pgx.RowToStructByName[clientRecordRow])
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			record := row.record()
			out[i] = &record
			return err
		})
	}
	if err := a.DB.Ask(ctx, &b); err != nil {
		return nil, fresh, fmt.Errorf("read client: %w", err)
	}
	if !there {
		return nil, fresh, domain.Errorf(domain.NotFound, "client.absent", "there is no such client")
	}
	return out, fresh, nil
}

// row is the statement for the client's row at the point.
func (p point) row(id uuid.UUID) (string, []any) {
	q := &query{}
	client := q.bind(id)
	now, past := "true", "false"
	switch {
	case p.at != nil:
		at := q.bind(*p.at)
		now = "since <= " + at
		past = now + " and until > " + at
	case p.revision != nil:
		now = "revision = " + q.bind(*p.revision)
		past = now
	}
	// Of those with a revision the first one is what its event left: the others differ by what belongs to the client.
	table := fmt.Sprintf(`(select * from (select %s from annals_read.clients where id = %s and %s
		union all select %[1]s from annals_read.client_past where id = %[2]s and %[4]s) all_of_it order by since limit 1)`, pastColumns, client, now, past)
	return fmt.Sprintf(`select %s, null::text[] as cursor from %s c
		left join annals_read.projects p on p.id = c.project_id
		left join annals_read.desks d on d.id = c.desk_id
		left join annals_read.names m on m.id = c.manager_id`, wholeSource.columns, table), q.args
}

// clientDiff is how a client differs between two points.
type clientDiff struct {
	ID      uuid.UUID `json:"id" format:"uuid"`
	From    shownAt   `json:"from"`
	To      shownAt   `json:"to"`
	Changes []change  `json:"changes" doc:"By the names of the record, as the record shows it. Tags are added and removed; what only repeats other fields is left out"`
	Erased  bool      `json:"erased,omitempty" doc:"The person has been erased: what identified them is gone, from what was before as well"`
}

// shownAt is what a point came to.
type shownAt struct {
	Revision *int64 `json:"revision" nullable:"true" doc:"Of the client then; null: there was none yet"`
}

type diffRequest struct {
	ID uuid.UUID `path:"id" format:"uuid"`
	After
	From string `query:"from" doc:"A time, a date with all of its day, or a revision; revision 0 when left out" default:"0" maxLength:"40"`
	To   string `query:"to" doc:"Likewise; now when left out" maxLength:"40"`
}

type diffAnswer struct {
	Fresh
	Body clientDiff
}

func (a *API) clientDiff(ctx context.Context, in *diffRequest) (*diffAnswer, error) {
	var f domain.Faults
	from, err := parsePoint("from", cmp.Or(in.From, "0"))
	f.Add(err)
	to := point{}
	if in.To != "" {
		to, err = parsePoint("to", in.To)
		f.Add(err)
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	records, fresh, err := a.then(ctx, byID{in.ID, in.After}, from, to)
	if err != nil {
		return nil, err
	}
	before, after := records[0], records[1]
	for i, p := range []point{from, to} {
		if records[i] == nil && (p.revision != nil || before == after) {
			return nil, p.absent()
		}
	}
	out := &diffAnswer{Fresh: fresh, Body: clientDiff{ID: in.ID, Changes: differences(before, after)}}
	for i, shown := range []*shownAt{&out.Body.From, &out.Body.To} {
		if records[i] != nil {
			shown.Revision = &records[i].Revision
			out.Body.Erased = out.Body.Erased || records[i].Erased
		}
	}
	return out, a.shown(ctx, accesslog.History, in.ID)
}

// repeated are the fields of a record that are no difference of the client itself, or the same as others.
var repeated = []string{"id", "name", "emails", "phones", "addresses", "warnings", "erased", "created_at", "updated_at", "revision"}

// differences are how two records differ, by field. Nil is one without anything.
func differences(from, to *clientRecord) []change {
	was, is := fieldsOf(from), fieldsOf(to)
	all := maps.Clone(was)
	maps.Copy(all, is)
	changes := []change{}
	for _, field := range slices.Sorted(maps.Keys(all)) {
		switch c := (change{Field: field, From: was[field], To: is[field]}); {
		case reflect.DeepEqual(c.From, c.To):
		case field == "tags":
			c.Added, c.Removed = without(c.To, c.From), without(c.From, c.To)
			c.From, c.To = nil, nil
			changes = append(changes, c)
		default:
			changes = append(changes, c)
		}
	}
	return changes
}

// without are the texts of a list that are not in another.
func without(list, other any) (out []string) {
	these, _ := list.([]any)
	those, _ := other.([]any)
	for _, v := range these {
		if s, ok := v.(string); ok && !slices.Contains(those, v) {
			out = append(out, s)
		}
	}
	return out
}

// fieldsOf are the fields of a record that are not empty, an inner one as outer.inner.
func fieldsOf(r *clientRecord) map[string]any {
	out := map[string]any{}
	if r == nil {
		return out
	}
	raw, err := json.Marshal(r)
	if err != nil {
		panic(err) // texts, times and numbers always marshal
	}
	var record map[string]any
	if err := json.Unmarshal(raw, &record); err != nil {
		panic(err) // it has just been written
	}
	for _, name := range repeated {
		delete(record, name)
	}
	flattenInto(out, "", record)
	return out
}

// references are fields of a record that are shown with a name, and differ as a whole.
var references = []string{"project", "desk", "manager"}

func flattenInto(out map[string]any, prefix string, m map[string]any) {
	for name, v := range m {
		switch v := v.(type) {
		case nil:
		case map[string]any:
			if prefix == "" && slices.Contains(references, name) {
				out[name] = v
			} else {
				flattenInto(out, prefix+name+".", v)
			}
		case []any:
			if len(v) > 0 {
				out[prefix+name] = v
			}
		case string:
			if v != "" {
				out[prefix+name] = v
			}
		default:
			out[prefix+name] = v
		}
	}
}
