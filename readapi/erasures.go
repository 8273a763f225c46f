package readapi

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/accesslog"
	"annals/internal/eventlog"
)

// erasureState is whether a client can be erased, has been, and what was done.
type erasureState struct {
	State       string       `json:"state" enum:"none,held,requested,carried_out,cleaned" doc:"none: not erased; held: cannot be erased; requested: is being erased; carried_out: nobody can read any more what was known of the person; cleaned: the database's files hold nothing of it either"`
	Hold        *legalHold   `json:"hold,omitempty" doc:"Why the client cannot be erased"`
	Certificate *certificate `json:"certificate,omitempty" doc:"Of an erased client"`
	Position    string       `json:"position" doc:"The answer shows everything up to this position of the log"`
}

type legalHold struct {
	At     time.Time `json:"at"`
	By     named     `json:"by"`
	Reason string    `json:"reason"`
}

// certificate says who erased a client, why, and what was done. It holds nothing of the
// person.
type certificate struct {
	ClientID    uuid.UUID      `json:"client_id" format:"uuid"`
	EventID     uuid.UUID      `json:"event_id" format:"uuid" doc:"Of client.erased"`
	At          time.Time      `json:"at" doc:"When it was decided"`
	By          named          `json:"by" doc:"Who had it carried out"`
	Basis       string         `json:"basis" enum:"request,retention,obligation,other"`
	Reason      string         `json:"reason"`
	RequestedBy string         `json:"requested_by,omitempty"`
	Positions   proofPositions `json:"positions" doc:"Of the events that prove it: see /api/v1/audit/proof"`
	KeyGoneAt   *time.Time     `json:"key_destroyed_at,omitempty" doc:"Since then nobody can decrypt what was known of the person, in copies of the log neither"`
	DoneAt      *time.Time     `json:"carried_out_at,omitempty"`
	Done        *whatWasDone   `json:"done,omitempty"`
	CleanBy     *time.Time     `json:"clean_by,omitempty" doc:"Until then the files of the database, such as the write-ahead log, may hold what it has deleted. Backups of the database keep what they have until they are deleted"`
	CleanedAt   *time.Time     `json:"cleaned_at,omitempty"`
	Cleaning    *howItWasClean `json:"cleaning,omitempty"`
}

// proofPositions are where in the log it stands; missing is what has not happened yet.
type proofPositions struct {
	Erased     string `json:"erased" doc:"client.erased, which holds the leaves of the key's events"`
	Key        string `json:"key_destroyed,omitempty" doc:"The end of the stream of the key"`
	CarriedOut string `json:"carried_out,omitempty" doc:"erasure.carried_out"`
	Cleaned    string `json:"cleaned,omitempty" doc:"erasure.cleaned"`
}

type whatWasDone struct {
	KeyEvents int            `json:"key_events" doc:"Events of the data key that left the log"`
	Rows      map[string]int `json:"rows" doc:"Rows of the read models that were of the person and show nothing of them any more, by table"`
	Mails     int            `json:"mails" doc:"E-mails to the person that waited to be sent, and were given up"`
	Jobs      int            `json:"jobs" doc:"What was to be done for the person at a time to come, and was given up"`
}

type howItWasClean struct {
	Rewritten []string `json:"rewritten" doc:"Tables of which new files were made"`
	Freed     []string `json:"freed,omitempty" doc:"Tables that are too large for that: their space is free, and is overwritten by what comes next; annals projections rebuild makes new files of them at once"`
	WAL       bool     `json:"wal" doc:"Whether the write-ahead log of the time before is deleted; otherwise that is up to who runs the database"`
}

type erasureRequest struct {
	ID uuid.UUID `path:"id" format:"uuid"`
	After
}

type erasureAnswer struct {
	Fresh
	Body erasureState
}

// erasure answers how far a client's erasure is, to whoever may erase or hold the client
// or sees what others did.
func (a *API) erasure(ctx context.Context, in *erasureRequest) (*erasureAnswer, error) {
	if err := a.wait(ctx, in.After); err != nil {
		return nil, err
	}
	out, place, err := a.erasureOf(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	who := access.Authority(ctx)
	if !who.May(domain.AuditView, place) && !who.May(domain.ClientsErase, place) && !who.May(domain.ClientsHold, place) {
		return nil, domain.ErrForbidden
	}
	return out, a.shown(ctx, accesslog.History, in.ID)
}

// erasureOf is how far the erasure of a client is whom the caller sees, and where the
// client belongs.
func (a *API) erasureOf(ctx context.Context, client uuid.UUID) (*erasureAnswer, domain.Place, error) {
	var b pgx.Batch
	out, place := &erasureAnswer{}, (*domain.Place)(nil)
	visible(ctx, client)(&b)
	b.Queue(freshness).QueryRow(func(r pgx.Row) error {
		var at position
		err := at.scan(r)
		out.Position = at.String()
		return err
	})
	b.Queue(`select project_id, desk_id, manager_id from annals_read.clients where id = nullif(current_setting('annals.client', true), '')::uuid`).
		QueryRow(func(row pgx.Row) error {
			var project, desk, manager uuid.NullUUID
			err := row.Scan(&project, &desk, &manager)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			place = &domain.Place{Project: project.UUID, Desk: desk.UUID, Manager: manager.UUID}
			return err
		})
	b.Queue(`select h.at, h.actor_id, n.name, h.reason from annals_read.holds h left join annals_read.names n on n.id = h.actor_id where h.client_id = $1`, client).
		QueryRow(func(row pgx.Row) error {
			h, by, name := legalHold{}, uuid.Nil, (*string)(nil)
			err := row.Scan(&h.At, &by, &name, &h.Reason)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			h.By = actor(by, name)
			out.Body.Hold = &h
			return err
		})
	b.Queue(`select e.client_id, e.event_id, e.at, e.actor_id, n.name, e.basis, e.reason, e.requested_by, e.position, e.key_position, e.key_destroyed_at,
			e.done_position, e.done_at, e.done, e.clean_position, e.cleaned_at, e.cleaning
		from annals_read.erasures e left join annals_read.names n on n.id = e.actor_id where e.client_id = $1`, client).
		QueryRow(func(row pgx.Row) (err error) {
			out.Body.Certificate, err = scanCertificate(row)
			return err
		})
	if err := a.DB.Ask(ctx, &b); err != nil {
		return nil, domain.Place{}, err
	}
	if place == nil {
		return nil, domain.Place{}, errClientAbsent
	}
	out.Body.State = stateOfErasure(out.Body.Certificate, out.Body.Hold)
	out.Body.Position = out.Position
	return out, *place, nil
}

func stateOfErasure(c *certificate, h *legalHold) string {
	switch {
	case c == nil && h == nil:
		return "none"
	case c == nil:
		return "held"
	case c.CleanedAt != nil:
		return "cleaned"
	case c.DoneAt != nil:
		return "carried_out"
	}
	return "requested"
}

func scanCertificate(row pgx.Row) (*certificate, error) {
	var c certificate
	var by uuid.UUID
	var name *string
	var at int64
	var key, done, clean *int64
	var did, cleaning json.RawMessage
	err := row.Scan(&c.ClientID, &c.EventID, &c.At, &by, &name, &c.Basis, &c.Reason, &c.RequestedBy, &at, &key, &c.KeyGoneAt,
		&done, &c.DoneAt, &did, &clean, &c.CleanedAt, &cleaning)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c.By = actor(by, name)
	c.Positions = proofPositions{strconv.FormatInt(at, 10), place(key), place(done), place(clean)}
	if did != nil {
		var until struct {
			CleanBy time.Time `json:"clean_by"`
		}
		c.Done = &whatWasDone{Rows: map[string]int{}}
		read(did, c.Done)
		read(did, &until)
		c.CleanBy = &until.CleanBy
	}
	if cleaning != nil {
		c.Cleaning = &howItWasClean{Rewritten: []string{}}
		read(cleaning, c.Cleaning)
	}
	return &c, nil
}

// place is a position as it is answered; none is empty.
func place(at *int64) string {
	if at == nil {
		return ""
	}
	return strconv.FormatInt(*at, 10)
}

// erasedRows are the rows of the read models that are of a client, by table.
var erasedRows = []struct{ table, of string }{
	{"clients", "id"}, {"client_past", "id"}, {"history", "client_id"}, {"activities", "client_id"}, {"records", "client_id"}, {"client_contacts", "client_id"},
}

// Erased is how many rows of the read models are of an erased client, by table, by
// everything up to the position. Kinds of activities are told as well.
func (d *Directory) Erased(ctx context.Context, client domain.ID, after eventlog.Position) (map[string]int, error) {
	rows, shown := map[string]int{}, 0
	var b pgx.Batch
	b.Queue(`select set_config('annals.client', $1, true)`, client.String())
	for _, t := range erasedRows {
		b.Queue(`select count(*) from annals_read.`+t.table+` where `+t.of+` = $1`, client).QueryRow(func(row pgx.Row) error {
			n := 0
			err := row.Scan(&n)
			if n > 0 {
				rows[t.table] = n
			}
			return err
		})
	}
	b.Queue(`select kind, count(*)::int from annals_read.activities where client_id = $1 and kind <> 'change' group by kind`, client).Query(func(r pgx.Rows) error {
		var kind string
		var n int
		_, err := pgx.ForEachRow(r, []any{&kind, &n}, func() error {
			rows["activities."+kind] = n
			return nil
		})
		return err
	})
	b.Queue(`select (select count(*) from annals_read.clients where id = $1 and not erased)
		+ (select count(*) from annals_read.client_past where id = $1 and not erased)
		+ (select count(*) from annals_read.activities where client_id = $1 and sealed and not erased)
		+ (select count(*) from annals_read.records where client_id = $1 and not erased)
		+ (select count(*) from annals_read.history where client_id = $1 and not erased @> personal)`, client).
		QueryRow(func(row pgx.Row) error { return row.Scan(&shown) })
	if err := d.ask(ctx, after, &b); err != nil {
		return nil, err
	}
	if shown > 0 {
		return nil, errBehind // a stream that is parked, say
	}
	return rows, nil
}

// Uncleaned are the clients whose erasure was carried out, and when, after which the
// database's files have not been cleaned; by everything up to the position, and no more.
func (d *Directory) Uncleaned(ctx context.Context, upTo eventlog.Position) (map[domain.ID]time.Time, error) {
	out := map[domain.ID]time.Time{}
	var b pgx.Batch
	q := b.Queue(`select client_id, done_at from annals_read.erasures where done_position <= $1 and cleaned_at is null`, upTo.Commit)
	q.Query(func(rows pgx.Rows) error {
		var id domain.ID
		var at time.Time
		_, err := pgx.ForEachRow(rows, []any{&id, &at}, func() error {
			out[id] = at
			return nil
		})
		return err
	})
	return out, d.ask(ctx, upTo, &b)
}
