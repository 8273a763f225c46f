package commands

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/domain/apikey"
	"annals/domain/client"
	"annals/domain/employee"
	"annals/domain/inbox"
	"annals/internal/eventlog"
	"annals/internal/jobs"
	"annals/internal/mail"
)

// Notices wait here until they are mailed, or found not to be wanted by mail, within
// minutes.
const noticesSchema = `
create schema if not exists annals_notices;
comment on schema annals_notices is
	'Notices that wait to be mailed: not in the log, and not to be rebuilt from it.';
create table if not exists annals_notices.waiting (
	event_id    uuid not null,
	employee_id uuid not null,
	kind        text not null,
	client_id   uuid,
	actor_id    uuid not null,
	at          timestamptz not null,
	primary key (employee_id, at, event_id)
);`

func (r *Rules) prepareNotices(ctx context.Context) error {
	err := pgx.BeginFunc(ctx, r.DB, func(tx pgx.Tx) error {
		// Two processes that create the same schema at once would trip over each other.
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtext('annals_notices'))`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, noticesSchema)
		return err
	})
	if err != nil {
		return fmt.Errorf("schema of notices: %w", err)
	}
	return nil
}

// notices has whoever is told of an event wait for mail. Whether they want any is found
// out when it is to be sent.
func (r *Rules) notices(ctx context.Context, tx pgx.Tx, rec *eventlog.Record) error {
	for _, n := range inbox.Notices(rec.Event, rec.Meta.Actor) {
		ref, err := rec.Ref()
		if err != nil {
			return err
		}
		about := uuid.NullUUID{UUID: rec.Meta.Subject, Valid: rec.Meta.Subject != domain.ID{}}
		if ref.Category == domain.Client {
			about = uuid.NullUUID{UUID: ref.ID, Valid: true}
		}
		_, err = tx.Exec(ctx, `insert into annals_notices.waiting (event_id, employee_id, kind, client_id, actor_id, at)
			values ($1, $2, $3, $4, $5, $6) on conflict do nothing`, rec.ID, n.Employee, string(n.Kind), about, rec.Meta.Actor, rec.Meta.At)
		if err != nil {
			return fmt.Errorf("notice of %s: %w", rec.ID, err)
		}
	}
	return nil
}

// mailNotices is the job of mailing what waits.
type mailNotices struct{}

func (mailNotices) Kind() string { return "notices_mail" }

const (
	mostMailed = 5_000              // notices of a person that are looked at together
	mostListed = 20                 // of which so many are in the message
	mailLife   = 2 * 24 * time.Hour // after which a notice is no news
)

// mailNotices mails to each employee what waits for them, in one message.
func (r *Rules) mailNotices(ctx context.Context, _ *jobs.Job[mailNotices]) error {
	rows, err := r.DB.Query(ctx, `select employee_id from annals_notices.waiting group by employee_id order by min(at) limit 1000`)
	if err != nil {
		return fmt.Errorf("notices: %w", err)
	}
	people, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return fmt.Errorf("notices: %w", err)
	}
	var failed []error
	for _, id := range people {
		if err := r.mailTo(ctx, id); err != nil {
			if ctx.Err() != nil {
				return err
			}
			failed = append(failed, fmt.Errorf("notices of %s: %w", id, err))
		}
	}
	return errors.Join(failed...)
}

// waiting is a notice that waits.
type waiting struct {
	Kind   inbox.Kind
	Client uuid.NullUUID
	Actor  uuid.UUID
	At     time.Time
}

// mailTo mails what waits for one employee. Whoever removes it sends it.
func (r *Rules) mailTo(ctx context.Context, id domain.ID) error {
	who, may, err := r.API.authority(ctx, id)
	if err != nil {
		return err
	}
	in, err := Load[inbox.State](ctx, r.API.Store, domain.Ref{Category: domain.Inbox, ID: id})
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, r.DB, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `with gone as (delete from annals_notices.waiting w
				where (w.employee_id, w.at, w.event_id) in (
					select employee_id, at, event_id from annals_notices.waiting where employee_id = $1 order by at, event_id limit $2 for update skip locked)
				returning kind, client_id, actor_id, at, event_id)
			select kind, client_id, actor_id, at from gone order by at, event_id`, id, mostMailed)
		if err != nil {
			return err
		}
		all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[waiting])
		if err != nil {
			return err
		}
		msg, err := r.compose(ctx, who, may, in.Preferences, all)
		if err != nil || msg == nil {
			return err
		}
		_, err = r.Mailer.Send(ctx, tx, *msg)
		if domain.KindOf(err) == domain.Invalid { // their address is none
			r.API.Logger.WarnContext(ctx, "notices cannot be mailed", slog.String("employee", id.String()))
			return nil
		}
		return err
	})
}

// compose is the message about those of the notices that are wanted by mail, and are
// about clients that the employee sees still: what happened, who did it and where to
// look, and nothing of the client. Nil if there are none.
func (r *Rules) compose(ctx context.Context, who employee.State, may domain.Authority, p inbox.Preferences, all []waiting) (*mail.Message, error) {
	if !who.Active() || who.Email == "" {
		return nil, nil
	}
	var text strings.Builder
	var first string
	wanted := 0
	oldest := r.API.Now().Add(-mailLife)
	for _, w := range all {
		if p.Of(w.Kind) != inbox.Email || w.At.Before(oldest) {
			continue
		}
		if wanted >= mostListed { // whether they are visible is found out on the page
			wanted++
			continue
		}
		link := r.API.Public + "/"
		if w.Client.Valid {
			of, err := Load[client.State](ctx, r.API.Store, domain.Ref{Category: domain.Client, ID: w.Client.UUID})
			if err != nil {
				return nil, err
			}
			if of.Admits(may, domain.ClientsView) != nil {
				continue
			}
			link += "clients/" + w.Client.UUID.String()
		}
		name, err := r.called(ctx, w.Actor)
		if err != nil {
			return nil, err
		}
		if wanted++; wanted == 1 {
			first = headlines[w.Kind]
		}
		fmt.Fprintf(&text, "%s (%s, %s)\n%s\n\n", headlines[w.Kind], name, w.At.UTC().Format("2 January 2006, 15:04 MST"), link)
	}
	if wanted == 0 {
		return nil, nil
	}
	subject := "Annals: " + first
	if wanted > 1 {
		subject = fmt.Sprintf("Annals: %d notifications", wanted)
	}
	if wanted > mostListed {
		fmt.Fprintf(&text, "And %d more: %s/\n\n", wanted-mostListed, r.API.Public)
	}
	text.WriteString("You get this because you asked to be told by e-mail; you can change that in your preferences.\n")
	return &mail.Message{To: who.Email, ToName: who.Name, Subject: subject, Text: text.String(), Expires: r.API.Now().Add(mailLife)}, nil
}

var headlines = map[inbox.Kind]string{
	inbox.Assigned:       "You were assigned something",
	inbox.Mentioned:      "You were mentioned",
	inbox.Due:            "An action of yours is coming due",
	inbox.Overdue:        "An action of yours was not done in time",
	inbox.Request:        "A client of yours asks for something",
	inbox.ImportFinished: "An import has come to its end",
}

// called is what somebody who did something is called.
func (r *Rules) called(ctx context.Context, actor domain.ID) (string, error) {
	if actor == domain.System {
		return "Annals", nil
	}
	e, err := Load[employee.State](ctx, r.API.Store, domain.Ref{Category: domain.Employee, ID: actor})
	if err != nil || e.Name != "" {
		return e.Name, err
	}
	key, err := Load[apikey.State](ctx, r.API.Store, domain.Ref{Category: domain.APIKey, ID: actor})
	if err != nil || key.Name != "" {
		return key.Name, err
	}
	return "somebody", nil
}
