package commands

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/client"
	"annals/domain/retention"
	"annals/internal/eventlog"
	"annals/internal/httpapi"
	"annals/internal/jobs"
)

// retention takes the commands to rules by which clients are erased.
func (a *API) retention(api *httpapi.API) {
	const path = "/api/v1/retention-rules"
	g := registry[retention.State, retention.Command, retention.Event]{retention.Aggregate, retention.Ref()}
	on := func(method, path, summary string) route {
		return route{method, path, domain.ClientsErase, summary}
	}
	define(a, api, on("POST", path, "Define after how long clients of one project, or of all, are due to be erased, and whether they are: it takes somebody who may erase each of them"), g,
		func(id domain.ID, c retention.Define) retention.Command {
			c.ID = id
			return c
		})
	redefine(a, api, on("PATCH", path+"/{id}", "Change a retention rule, from now on"), g, retention.Settings{},
		func(id domain.ID, patch map[string]any) retention.Command {
			return retention.Change{ID: id, Patch: patch}
		})
	bareRedefine(a, api, on("DELETE", path+"/{id}", "Delete a retention rule: nobody is erased by it from now on"), g,
		func(id domain.ID) retention.Command { return retention.Delete{ID: id} })
}

// Retention erases clients that are due by a rule that says so. Which these may be, the
// read models say; that they are, the log does, when it is decided. It can end at any
// moment, and be done by two processes at once: what is left is done the next time, and
// nobody is erased twice.
type Retention struct {
	API *API
}

// retentionEvery is how often clients are looked for that are due.
const retentionEvery = time.Hour

// carryOutRetention is the job of erasing who is due.
type carryOutRetention struct{}

func (carryOutRetention) Kind() string { return "retention_carry_out" }

// NewRetention makes the job known, which runs every hour, once for all processes: before
// jobs run, in every process that runs them.
func NewRetention(a *API, queue *jobs.Jobs) (*Retention, error) {
	r := &Retention{a}
	return r, jobs.Add(queue, jobs.Kind[carryOutRetention]{
		Workers: 1, Attempts: 1, Every: retentionEvery, Timeout: retentionEvery / 2, // the next one is the retry
		Work: func(ctx context.Context, _ *jobs.Job[carryOutRetention]) error {
			_, err := r.Run(ctx)
			return err
		},
	})
}

// mostFailed is how many clients of a rule may fail to be erased before the others have to
// wait for the next time: there is something wrong that is not about one client.
const mostFailed = 20

// Run erases everybody who is due by a rule that says so, and says how many that were.
func (r *Retention) Run(ctx context.Context) (erased int, err error) {
	rules, err := Load[retention.State](ctx, r.API.Store, retention.Ref())
	if err != nil {
		return 0, err
	}
	run, now := uuid.New(), r.API.Now().UTC().Truncate(time.Microsecond)
	for _, rule := range rules.Rules {
		if rule.Action != retention.Erase {
			continue
		}
		n, ruleErr := r.carryOut(ctx, rule, run, now)
		if n > 0 {
			r.API.Logger.InfoContext(ctx, "clients were erased by a retention rule", slog.String("rule", rule.ID.String()), slog.Int("clients", n))
		}
		erased += n
		if ruleErr != nil {
			err = errors.Join(err, fmt.Errorf("retention rule %s: %w", rule.ID, ruleErr))
		}
	}
	return erased, err
}

// errRuleEnded says that a rule does not erase anybody any more.
var errRuleEnded = errors.New("the rule has ended")

// carryOut erases who is due by one rule. It looks at all clients, in the order of their
// ids and a bounded number at a time.
func (r *Retention) carryOut(ctx context.Context, rule retention.Rule, run uuid.UUID, now time.Time) (erased int, err error) {
	head, err := r.API.Store.log.Head(ctx)
	if err != nil {
		return 0, err
	}
	failed := []error{}
	for from := (domain.ID{}); ; {
		due, next, err := r.API.Directory.Due(ctx, rule.ID, now, from, head)
		if err != nil {
			return erased, errors.Join(append(failed, err)...)
		}
		for _, id := range due {
			done, err := r.erase(ctx, rule.ID, id, run, now)
			if errors.Is(err, errRuleEnded) {
				return erased, errors.Join(failed...)
			}
			if done {
				erased++
			}
			if err != nil {
				failed = append(failed, fmt.Errorf("client %s: %w", id, err))
			}
			if len(failed) == mostFailed || ctx.Err() != nil {
				return erased, errors.Join(failed...)
			}
		}
		if from = next; next == (domain.ID{}) {
			return erased, errors.Join(failed...)
		}
	}
}

// erase erases a client if, as the log has both, it is due by the rule: at exactly the
// revision that this was found at. Of calls and messages, which are in other streams, the
// read models tell, by everything up to now.
func (r *Retention) erase(ctx context.Context, ruleID, id, run uuid.UUID, now time.Time) (done bool, err error) {
	rules, err := Load[retention.State](ctx, r.API.Store, retention.Ref())
	if err != nil {
		return false, err
	}
	rule, ok := rules.Rule(ruleID)
	if !ok || rule.Action != retention.Erase {
		return false, errRuleEnded
	}
	c, at, err := r.client(ctx, id)
	if err != nil {
		return false, err
	}
	if rule.Since == retention.LastContacted {
		head, err := r.API.Store.log.Head(ctx)
		if err != nil {
			return false, err
		}
		if c.Contacted, err = r.API.Directory.LastContacted(ctx, id, head); err != nil {
			return false, err
		}
	}
	if _, due := rule.Due(c, now); !due || c.Held {
		return false, nil
	}
	m := domain.Meta{
		Actor: domain.System, By: domain.Root, Command: uuid.NewSHA1(run, id[:]), Correlation: run, Causation: rule.ID,
		At: r.API.Now().UTC().Truncate(time.Microsecond), App: r.API.App,
	}
	erase := client.Erase{Basis: client.ByRetention, Reason: rule.Reason()}
	_, err = r.API.Erase(ctx, id, erase, m, at)
	if domain.KindOf(err) == domain.Invalid { // the client is called as the rule is
		erase.Reason = rule.Bare()
		_, err = r.API.Erase(ctx, id, erase, m, at)
	}
	if kind := domain.KindOf(err); kind == domain.Precondition || kind == domain.Conflict || kind == domain.NotFound {
		return false, nil // it has changed since, which the next time tells more of
	}
	return err == nil, err
}

// client is what rules go by, of a client as the log has it, and at which revision.
func (r *Retention) client(ctx context.Context, id domain.ID) (c retention.Client, at eventlog.Revision, err error) {
	at = eventlog.NoStream
	for rec, err := range r.API.Store.log.Read(ctx, eventlog.Stream(domain.Client, id), 0) {
		if err != nil {
			return c, at, err
		}
		e, ok := rec.Event.(client.Event)
		if !ok {
			return c, at, fmt.Errorf("the stream of client %s holds a foreign %T", id, rec.Event)
		}
		c, at = c.After(e, rec.Meta.At), rec.Revision
	}
	return c, at, nil
}
