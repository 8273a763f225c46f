package commands

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/erasure"
	"annals/eventschema"
	"annals/internal/access"
	"annals/internal/audit"
	"annals/internal/eventlog"
	"annals/internal/httpapi"
	"annals/internal/jobs"
	"annals/internal/process"
)

// erasures takes the commands to hold, release and erase clients.
func (a *API) erasures(api *httpapi.API) {
	change[client.Hold](a, api, route{"POST", "/api/v1/clients/{id}/hold", domain.ClientsHold, "Put a client under a legal hold: it cannot be erased until it is released"}, client.Aggregate)
	change[client.Release](a, api, route{"POST", "/api/v1/clients/{id}/release", domain.ClientsHold, "Release a client from its legal hold"}, client.Aggregate)
	r := route{"POST", "/api/v1/clients/{id}/erase", domain.ClientsErase, "Erase a client for good: what is personal becomes unreadable, the history stays whole; see its erasure for what was done"}
	type input struct {
		ID uuid.UUID `path:"id" format:"uuid"`
		Params
		Body client.Erase
	}
	httpapi.Handle(api, r.op(), func(ctx context.Context, in *input) (*answer, error) {
		to, err := a.addressed(ctx, r, in.ID, in.Params, in.Body)
		if err != nil {
			return nil, err
		}
		o, err := a.Erase(ctx, in.ID, in.Body, to.meta, to.at)
		if err != nil {
			return nil, err
		}
		out := answerTo(o)
		return &out, nil
	})
	op := route{"POST", "/api/v1/erasures/clean", domain.ClientsErase, "Clean the database's files of what was erased at once, and not within a day"}.op()
	op.Status = http.StatusAccepted
	httpapi.Handle(api, op, func(ctx context.Context, _ *struct{}) (*struct{}, error) {
		switch {
		case !access.Authority(ctx).MayIn(domain.ClientsErase, domain.ID{}):
			return nil, domain.ErrForbidden
		case a.CleanNow == nil:
			return nil, errNoCleaning
		}
		return nil, a.CleanNow(ctx)
	})
}

var errNoCleaning = domain.Errorf(domain.Unavailable, "erasures.no_cleaning", "this process cannot have the database's files cleaned")

// Erase forgets a client: the log says so first, and then a job has what was known of
// them be gone, see [Erasures]. What the log has of the client's key is told with it, as
// the audit tree has it, since it will leave the log.
func (a *API) Erase(ctx context.Context, id domain.ID, c client.Erase, m domain.Meta, ifMatch eventlog.Revision) (Outcome, error) {
	s, err := Load[client.State](ctx, a.Store, domain.Ref{Category: domain.Client, ID: id})
	if err != nil {
		return Outcome{}, err
	}
	if !s.Erased() { // otherwise it is refused, or answered as before
		if err := s.Admits(m.By, domain.ClientsErase); err != nil {
			return Outcome{}, err
		}
		if c.KeyLeaves, _, err = a.Store.keyLeaves(ctx, id); err != nil {
			return Outcome{}, err
		}
	}
	o, err := Handle(ctx, a.Store, client.Aggregate, id, client.Command(c), m, ifMatch)
	if err == nil {
		a.Store.Forget(id)
	}
	return o, err
}

// EraseAgain erases a client who was erased after the backup that the log was restored from,
// before anybody reads it: what else there is of them goes when the erasure is carried out, as
// with any other.
func (a *API) EraseAgain(ctx context.Context, id domain.ID) error {
	s, err := Load[client.State](ctx, a.Store, domain.Ref{Category: domain.Client, ID: id})
	if err != nil {
		return err
	}
	leaves, last, err := a.Store.keyLeaves(ctx, id)
	if err != nil {
		return err
	}
	c := cause{Event: uuid.New(), Correlation: uuid.New()}
	switch {
	case !s.Exists() && leaves == nil: // who came after the backup
		return nil
	case !s.Exists(): // it was being registered
		return a.Store.log.DestroyKey(ctx, id, last)
	case !s.Erased():
		if _, err := Handle(ctx, a.Store, client.Aggregate, id, client.Command(client.EraseAgain{KeyLeaves: leaves}), a.erasing(c, "again"), AnyRevision); err != nil {
			return err
		}
	}
	_, err = a.destroyKey(ctx, carryOutErasure{id, c})
	a.Store.Forget(id)
	return err
}

// keyLeaves are the leaves that the audit tree has of the events of a client's key, and
// the revision of the last; none once the key is destroyed.
func (s *Store) keyLeaves(ctx context.Context, id domain.ID) (leaves [][]byte, last eventlog.Revision, err error) {
	last = eventlog.NoStream
	for rec, err := range s.log.ReadStored(ctx, eventlog.Stream(eventschema.Key, id)) {
		if errors.Is(err, eventlog.ErrDeleted) {
			return nil, eventlog.NoStream, nil
		}
		if err != nil {
			return nil, last, err
		}
		leaves, last = append(leaves, audit.LeafOf(&rec).Append(nil)), rec.Revision
	}
	return leaves, last, nil
}

// Erasures has clients be gone who have been erased. That they are is in the log before
// anything else happens, and what follows from it can be done again from the beginning:
// the key is destroyed, and with it everything that is sealed under it; documents are
// deleted, mail and jobs given up; and when the read models show nothing of the person any
// more, the log is told what was done. Later the files of the database are cleaned of
// what it had deleted.
type Erasures struct {
	ErasuresConfig
}

// ErasuresConfig is what [NewErasures] needs.
type ErasuresConfig struct {
	API      *API
	Jobs     *jobs.Jobs
	Messages *Messages // nil: no e-mail is sent to clients
	// Clean cleans the database's files of what the read models and others had deleted up to
	// a position of the log; nil: that is not ours to do.
	Clean func(ctx context.Context, upTo eventlog.Position) (erasure.Cleaning, error)
}

// NewErasures makes the jobs of erasing known: before jobs run, in every process that runs
// them.
func NewErasures(cfg ErasuresConfig) (*Erasures, error) {
	e := &Erasures{cfg}
	retry := jobs.Backoff(time.Second, 5*time.Minute)
	const tries = 1000 // it waits for the log, storage and the read models as long as it takes
	err := jobs.Add(cfg.Jobs, jobs.Kind[carryOutErasure]{
		Workers: 2, Attempts: tries, Retry: retry, Timeout: 5 * time.Minute,
		Work: func(ctx context.Context, job *jobs.Job[carryOutErasure]) error { return e.carryOut(ctx, job.Args) },
	})
	if cfg.Clean == nil {
		return e, err
	}
	cfg.API.CleanNow = e.cleanNow
	return e, errors.Join(err,
		jobs.Add(cfg.Jobs, jobs.Kind[cleanErasures]{
			Workers: 1, Attempts: 1, Every: time.Hour, Timeout: cleaning, // the next one is the retry
			Work: func(ctx context.Context, _ *jobs.Job[cleanErasures]) error {
				return e.clean(ctx, erasure.CleanWithin/2)
			},
		}),
		jobs.Add(cfg.Jobs, jobs.Kind[cleanErasuresNow]{
			Workers: 1, Attempts: tries, Retry: retry, Timeout: cleaning, Unique: true,
			Work: func(ctx context.Context, _ *jobs.Job[cleanErasuresNow]) error { return e.clean(ctx, 0) },
		}))
}

// cleaning bounds how long it takes to clean the database's files.
const cleaning = 30 * time.Minute

type (
	// carryOutErasure is the job of having an erased client be gone.
	carryOutErasure struct {
		Client uuid.UUID `json:"client"`
		cause
	}
	// cleanErasures and cleanErasuresNow are the jobs of cleaning the database's files.
	cleanErasures    struct{}
	cleanErasuresNow struct{}
)

func (carryOutErasure) Kind() string  { return "erasure_carry_out" }
func (cleanErasures) Kind() string    { return "erasures_clean" }
func (cleanErasuresNow) Kind() string { return "erasures_clean_now" }

// Handler is the rule as package process runs it. Its name stays.
func (e *Erasures) Handler() process.Handler {
	return process.Handler{Name: "erasures", Handle: e.follow}
}

func (e *Erasures) follow(ctx context.Context, tx pgx.Tx, rec *eventlog.Record) error {
	if _, ok := rec.Event.(client.Erased); !ok {
		return nil
	}
	ref, err := rec.Ref()
	if err != nil {
		return err
	}
	return e.Jobs.Insert(ctx, tx, carryOutErasure{ref.ID, causeOf(rec)})
}

// erasing is the circumstances of a command of the system about a client that is erased.
func (a *API) erasing(c cause, name string) domain.Meta {
	return domain.Meta{
		Actor: domain.System, By: domain.Root, Command: uuid.NewSHA1(c.Event, []byte(name)), Correlation: c.Correlation, Causation: c.Event,
		At: a.Now().UTC().Truncate(time.Microsecond), App: a.App,
	}
}

// carryOut has a client be gone. Whatever it dies in between of, it is called again, and
// does what is left to do.
func (e *Erasures) carryOut(ctx context.Context, job carryOutErasure) error {
	id, a := job.Client, e.API
	told, err := a.destroyKey(ctx, job)
	if err != nil {
		return err
	}
	a.Store.Forget(id)
	done := erasure.CarriedOut{KeyEvents: told}
	if a.Documents.Blobs != nil {
		if _, err := a.Documents.Blobs.DeleteAll(ctx, id); err != nil {
			return err
		}
	}
	if e.Messages != nil {
		if done.Mails, err = e.Messages.giveUp(ctx, id); err != nil {
			return err
		}
	}
	if done.Jobs, err = e.Jobs.Forget(ctx, "client", id); err != nil {
		return err
	}
	head, err := a.Store.log.Head(ctx) // by when the key is gone
	if err != nil {
		return err
	}
	if done.Rows, err = a.Directory.Erased(ctx, id, head); err != nil {
		return err
	}
	m := a.erasing(job.cause, "carried out")
	done.CleanBy = m.At.Add(erasure.CleanWithin)
	_, err = Handle(ctx, a.Store, erasure.Aggregate, id, erasure.Command(erasure.CarryOut{Done: done}), m, AnyRevision)
	if err == nil {
		a.Logger.InfoContext(ctx, "a client has been erased", slog.String("client", id.String()))
	}
	return err
}

// destroyKey destroys the key of an erased client, of whose events exactly those leave
// the log that it tells of; it answers how many.
func (a *API) destroyKey(ctx context.Context, job carryOutErasure) (int, error) {
	ref := domain.Ref{Category: domain.Client, ID: job.Client}
	for try := range attempts {
		s, err := Load[client.State](ctx, a.Store, ref)
		if err != nil {
			return 0, err
		}
		told, erased := s.Erasure()
		if !erased {
			return 0, fmt.Errorf("%s has not been erased", ref.Stream())
		}
		leaves, last, err := a.Store.keyLeaves(ctx, job.Client)
		if err != nil || leaves == nil {
			return len(told.KeyLeaves), err
		}
		if !slices.EqualFunc(told.KeyLeaves, leaves, slices.Equal[[]byte]) {
			// The key was wrapped anew between being told of and this.
			m := a.erasing(job.cause, fmt.Sprint("tell key of ", len(leaves)))
			if _, err := Handle(ctx, a.Store, client.Aggregate, job.Client, client.Command(client.TellKey{KeyLeaves: leaves}), m, AnyRevision); err != nil {
				return 0, err
			}
		}
		if err = a.Store.log.DestroyKey(ctx, job.Client, last); !errors.Is(err, eventlog.ErrConflict) {
			return len(leaves), err
		}
		if err := pause(ctx, try); err != nil {
			return 0, err
		}
	}
	return 0, errBusy
}

// cleanNow has the database's files be cleaned soon.
func (e *Erasures) cleanNow(ctx context.Context) error {
	return e.Jobs.InsertNow(ctx, cleanErasuresNow{})
}

// clean cleans the database's files once some erasure was carried out that long ago: all
// that were carried out by then are clean with it.
func (e *Erasures) clean(ctx context.Context, after time.Duration) error {
	head, err := e.API.Store.log.Head(ctx)
	if err != nil {
		return err
	}
	all, err := e.API.Directory.Uncleaned(ctx, head)
	if err != nil {
		return err
	}
	due := false
	for _, at := range all {
		due = due || e.API.Now().Sub(at) >= after
	}
	if !due {
		return nil
	}
	done, err := e.Clean(ctx, head)
	if err != nil {
		return err
	}
	for id := range all {
		m := e.API.erasing(cause{id, id}, "cleaned")
		if _, err := Handle(ctx, e.API.Store, erasure.Aggregate, id, erasure.Command(erasure.Clean{Cleaning: done}), m, AnyRevision); err != nil {
			return err
		}
	}
	e.API.Logger.InfoContext(ctx, "the database's files are clean of what was erased", slog.Int("clients", len(all)))
	return nil
}
