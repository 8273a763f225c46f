package commands

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/domain"
	"annals/domain/action"
	"annals/domain/attached"
	"annals/domain/client"
	"annals/domain/portal"
	"annals/internal/eventlog"
	"annals/internal/jobs"
	"annals/internal/mail"
	"annals/internal/process"
)

// Rules are what follows from events without anybody asking for it: who may use the
// portal, what falls due, and notices by e-mail. Package process has them follow the
// log; what they do, jobs do, by commands of the system whose ids derive from the event,
// so that doing it again changes nothing.
type Rules struct {
	RulesConfig
}

// RulesConfig is what [NewRules] needs.
type RulesConfig struct {
	API    *API
	Jobs   *jobs.Jobs
	DB     *pgxpool.Pool // where notices wait to be mailed
	Mailer Sender
	// MailEvery is how often notices are mailed, those of a person in one message; a minute
	// if zero.
	MailEvery time.Duration
}

// Sender is the part of [mail.Mailer] that rules need.
type Sender interface {
	Send(ctx context.Context, tx pgx.Tx, msg mail.Message) (uuid.UUID, error)
}

// NewRules makes the jobs of the rules known, and creates what they need in the
// database: before jobs run, in every process that runs them.
func NewRules(ctx context.Context, cfg RulesConfig) (*Rules, error) {
	if cfg.MailEvery == 0 {
		cfg.MailEvery = time.Minute
	}
	r := &Rules{cfg}
	if err := r.prepareNotices(ctx); err != nil {
		return nil, err
	}
	// They wait for the log as long as it takes.
	retry := jobs.Backoff(time.Second, 5*time.Minute)
	const attempts = 1000
	return r, errors.Join(
		jobs.Add(cfg.Jobs, jobs.Kind[followPortal]{
			Attempts: attempts, Retry: retry, Work: func(ctx context.Context, job *jobs.Job[followPortal]) error { return r.followPortal(ctx, job.Args) },
		}),
		jobs.Add(cfg.Jobs, jobs.Kind[actionTimer]{
			Attempts: attempts, Retry: retry, Work: func(ctx context.Context, job *jobs.Job[actionTimer]) error { return r.fire(ctx, job.Args) },
		}),
		jobs.Add(cfg.Jobs, jobs.Kind[actionReopened]{
			Attempts: attempts, Retry: retry, Work: func(ctx context.Context, job *jobs.Job[actionReopened]) error { return r.reopened(ctx, job.Args) },
		}),
		jobs.Add(cfg.Jobs, jobs.Kind[mailNotices]{Workers: 1, Every: cfg.MailEvery, Attempts: 1, Work: r.mailNotices}),
	)
}

// Handlers are the rules as package process runs them. Their names stay.
func (r *Rules) Handlers() []process.Handler {
	return []process.Handler{
		{Name: "portal", Handle: r.portal},
		{Name: "actions", Handle: r.actions},
		{Name: "notices", Handle: r.notices, FromNow: true}, // nobody wants mail about what was before
	}
}

// cause is the event that a job goes back to.
type cause struct {
	Event       uuid.UUID `json:"event"`
	Correlation uuid.UUID `json:"correlation"`
}

func causeOf(rec *eventlog.Record) cause { return cause{rec.ID, rec.Meta.Correlation} }

// meta is the circumstances of a command of the system that the cause leads to. What
// names it among those of the same cause.
func (r *Rules) meta(c cause, command uuid.UUID) domain.Meta {
	return domain.Meta{
		Actor: domain.System, By: domain.Root, Command: command, Correlation: c.Correlation, Causation: c.Event,
		At: r.API.Now().UTC().Truncate(time.Microsecond), App: r.API.App,
	}
}

// moot says whether a command has nothing to change any more: what it is about is gone
// for good.
func (r *Rules) moot(ctx context.Context, stream string, err error) bool {
	if !errors.Is(err, eventlog.ErrErased) && !errors.Is(err, client.ErrErased) && domain.KindOf(err) != domain.NotFound {
		return false
	}
	r.API.Logger.InfoContext(ctx, "rule: what it is about is gone", slog.String("stream", stream))
	return true
}

// followPortal is the job of having the portal follow a client's status.
type followPortal struct {
	Client uuid.UUID `json:"client"`
	cause
}

func (followPortal) Kind() string { return "portal_follow" }

func (r *Rules) portal(ctx context.Context, tx pgx.Tx, rec *eventlog.Record) error {
	switch e := rec.Event.(type) {
	case client.Registered:
		if e.Status != client.Active {
			return nil // has no access, and shall not
		}
	case client.StatusChanged, client.Deactivated, client.Reactivated:
	default:
		return nil
	}
	ref, err := rec.Ref()
	if err != nil {
		return err
	}
	return r.Jobs.Insert(ctx, tx, followPortal{ref.ID, causeOf(rec)})
}

func (r *Rules) followPortal(ctx context.Context, job followPortal) error {
	m := r.meta(job.cause, uuid.NewSHA1(job.Event, []byte("portal")))
	_, err := Handle(ctx, r.API.Store, portal.Aggregate, job.Client, attached.To[portal.Command]{Client: job.Client, Command: portal.Follow{}}, m, AnyRevision)
	if r.moot(ctx, eventlog.Stream(domain.Client, job.Client), err) {
		return nil
	}
	return err
}

type (
	// actionTimer is the job of what is to happen to an action at a time, unless that is
	// another one by then, or the action done.
	actionTimer struct {
		Client uuid.UUID `json:"client"`
		Action uuid.UUID `json:"action"`
		Remind bool      `json:"remind,omitempty"` // otherwise it falls due
		At     time.Time `json:"at"`
		cause
	}
	// actionReopened is the job of making up for what did not happen to an action because
	// it was done.
	actionReopened struct {
		Client uuid.UUID `json:"client"`
		Action uuid.UUID `json:"action"`
		cause
	}
)

func (actionTimer) Kind() string    { return "action_timer" }
func (actionReopened) Kind() string { return "action_reopened" }

func (r *Rules) actions(ctx context.Context, tx pgx.Tx, rec *eventlog.Record) error {
	var times action.Details
	switch e := rec.Event.(type) {
	case action.Added:
		times = e.Details
	case action.Changed:
		times = e.To // what stays is not in it, and has its job
	case action.Reopened:
	default:
		return nil
	}
	ref, err := rec.Ref()
	if err != nil {
		return err
	}
	if _, ok := rec.Event.(action.Reopened); ok {
		return r.Jobs.Insert(ctx, tx, actionReopened{rec.Meta.Subject, ref.ID, causeOf(rec)})
	}
	for _, at := range []struct {
		remind bool
		time   time.Time
	}{{true, times.RemindAt}, {false, times.DueAt}} {
		if at.time.IsZero() {
			continue
		}
		if err := r.Jobs.InsertAt(ctx, tx, actionTimer{rec.Meta.Subject, ref.ID, at.remind, at.time, causeOf(rec)}, at.time); err != nil {
			return err
		}
	}
	return nil
}

// fire has happen to an action what is to happen at a time, once for that time.
func (r *Rules) fire(ctx context.Context, job actionTimer) error {
	if wait := job.At.Sub(r.API.Now()); wait > 0 {
		return jobs.Again(wait) // jobs run by the database's clock
	}
	c, name := action.Command(action.FallDue{At: job.At}), "due/"
	if job.Remind {
		c, name = action.Remind{At: job.At}, "remind/"
	}
	m := r.meta(job.cause, uuid.NewSHA1(job.Event, []byte(name+job.At.UTC().Format(time.RFC3339Nano))))
	_, err := Handle(ctx, r.API.Store, action.Aggregate, job.Action, attached.To[action.Command]{Client: job.Client, Command: c}, m, AnyRevision)
	if r.moot(ctx, eventlog.Stream(domain.Action, job.Action), err) {
		return nil
	}
	return err
}

// reopened has an action that was done fall due whose time has come meanwhile. For
// times to come there are jobs.
func (r *Rules) reopened(ctx context.Context, job actionReopened) error {
	s, err := Load[action.State](ctx, r.API.Store, domain.Ref{Category: domain.Action, ID: job.Action})
	if err != nil {
		return err
	}
	for _, timer := range []actionTimer{
		{job.Client, job.Action, true, s.RemindAt, job.cause},
		{job.Client, job.Action, false, s.DueAt, job.cause},
	} {
		if timer.At.IsZero() || timer.At.After(r.API.Now()) {
			continue
		}
		if err := r.fire(ctx, timer); err != nil {
			return err
		}
	}
	return nil
}
