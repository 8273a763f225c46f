package commands

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/accesslog"
	"annals/internal/auth"
	"annals/internal/eventlog"
	"annals/internal/httpapi"
	"annals/internal/oidc"
)

// API takes commands in over HTTP.
type API struct {
	Store       *Store
	Credentials *auth.Store
	Directory   Directory
	AccessLog   *accesslog.Recorder // of previews, which show clients; with nil there are none
	Documents   Documents
	Webhooks    Webhooks
	Mail        Mail           // of links to set a new password; nil sends none
	SignOn      *oidc.Provider // of people whom another system knows; nil knows nobody
	Public      string         // the URL that links lead to
	Now         func() time.Time
	App         string // software version, stored with every event
	Logger      *slog.Logger
	CleanNow    func(context.Context) error // has the database's files be cleaned of what was erased; nil cannot, see [NewErasures]

	busy    atomic.Int64 // what is under way in the background
	pending sync.WaitGroup
}

// Receipt is the answer to a command.
type Receipt struct {
	ID       domain.ID         `json:"id" format:"uuid"`
	Revision eventlog.Revision `json:"revision" doc:"Of the last event of the aggregate: send it as If-Match to change what you have seen, and nothing else"`
	Position string            `json:"position" doc:"Where in the log: send it as Annals-After to a read that has to show this"`
}

// Keyed is what every command's request may hold beside its body. It is exported, as all that is
// embedded in requests and answers, since huma does not look into what is not.
type Keyed struct {
	Key string `header:"Idempotency-Key" doc:"Any text that names this request: sending it again changes nothing and answers the same" maxLength:"255"`
}

// Params is what it may hold where the aggregate is there already.
type Params struct {
	Keyed
	IfMatch string `header:"If-Match" doc:"The revision that the aggregate has to be at, in quotes as in ETag, or * for any" maxLength:"30"`
}

// created is an answer with a place. It repeats the fields: huma finds a body in
// the struct itself only, not in what that embeds.
type created struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Position string `header:"Annals-Position"`
	Replayed string `header:"Idempotency-Replayed" doc:"true when the request had been carried out before"`
	Body     Receipt
}

type answer struct {
	ETag     string `header:"ETag"`
	Position string `header:"Annals-Position"`
	Replayed string `header:"Idempotency-Replayed" doc:"true when the request had been carried out before"`
	Body     Receipt
}

func answerTo(o Outcome) answer {
	a := answer{
		ETag:     strconv.Quote(strconv.FormatInt(int64(o.Revision), 10)),
		Position: o.Position.String(),
		Body:     Receipt{o.ID, o.Revision, o.Position.String()},
	}
	if o.Replayed {
		a.Replayed = "true"
	}
	return a
}

// route is where a command is taken in, and from whom.
type route struct {
	method, path string
	needs        domain.Permission
	summary      string
}

func (r route) op() httpapi.Op {
	words := strings.FieldsFunc(strings.TrimPrefix(r.path, prefix), func(c rune) bool { return c == '/' || c == '{' || c == '}' })
	id := strings.ToLower(r.method) + "-" + strings.Join(words, "-")
	return httpapi.Op{ID: id, Method: r.method, Path: r.path, Summary: r.summary, Needs: r.needs, Tag: words[0]}
}

const prefix = "/api/v1/"

// create takes command B, which makes an aggregate.
func create[B, S, C, E any](a *API, api *httpapi.API, r route, d domain.Decider[S, C, E]) {
	_ = any(*new(B)).(C) // B is one of the aggregate's commands, or we do not start
	type input struct {
		Keyed
		Body B
	}
	op := r.op()
	op.Status = http.StatusCreated
	httpapi.Handle(api, op, func(ctx context.Context, in *input) (*created, error) {
		m, err := a.meta(ctx, r.method+" "+r.path, in.Key, in.Body)
		if err != nil {
			return nil, err
		}
		return a.create(Handle(ctx, a.Store, d, newID(m), any(in.Body).(C), m, AnyRevision))(r)
	})
}

func (a *API) create(o Outcome, err error) func(route) (*created, error) {
	return func(r route) (*created, error) {
		if err != nil {
			return nil, err
		}
		to := answerTo(o)
		return &created{r.path + "/" + o.ID.String(), to.ETag, to.Position, to.Replayed, to.Body}, nil
	}
}

// newID is the id of what a command creates: the same for the same command.
func newID(m domain.Meta) domain.ID { return uuid.NewSHA1(m.Command, []byte("id")) }

// change takes command B for an aggregate that exists.
func change[B, S, C, E any](a *API, api *httpapi.API, r route, d domain.Decider[S, C, E]) {
	_ = any(*new(B)).(C)
	type input struct {
		ID uuid.UUID `path:"id" format:"uuid"`
		Params
		Body B
	}
	httpapi.Handle(api, r.op(), func(ctx context.Context, in *input) (*answer, error) {
		return apply(ctx, a, d, r, in.ID, in.Params, in.Body, any(in.Body).(C))
	})
}

// patch takes command B, which is made from a JSON merge patch (RFC 7396) of the
// example's type.
func patch[S, C, E any](a *API, api *httpapi.API, r route, d domain.Decider[S, C, E], example any, command func(map[string]any) C) {
	type input struct {
		ID uuid.UUID `path:"id" format:"uuid"`
		Params
		Body map[string]any
	}
	op := r.op()
	op.Body = example
	httpapi.Handle(api, op, func(ctx context.Context, in *input) (*answer, error) {
		return apply(ctx, a, d, r, in.ID, in.Params, in.Body, command(in.Body))
	})
}

// bare takes a command that has nothing to say but what it is.
func bare[S, C, E any](a *API, api *httpapi.API, r route, d domain.Decider[S, C, E], c C) {
	type input struct {
		ID uuid.UUID `path:"id" format:"uuid"`
		Params
	}
	httpapi.Handle(api, r.op(), func(ctx context.Context, in *input) (*answer, error) {
		return apply(ctx, a, d, r, in.ID, in.Params, nil, c)
	})
}

func apply[S, C, E any](ctx context.Context, a *API, d domain.Decider[S, C, E], r route, id domain.ID, p Params, body any, c C) (*answer, error) {
	to, err := a.addressed(ctx, r, id, p, body)
	if err != nil {
		return nil, err
	}
	o, err := Handle(ctx, a.Store, d, id, c, to.meta, to.at)
	if err != nil {
		return nil, err
	}
	out := answerTo(o)
	return &out, nil
}

// addressed is a request to an aggregate: its id, the circumstances, and the revision
// that it has to be at.
type addressed struct {
	id   domain.ID
	meta domain.Meta
	at   eventlog.Revision
}

func (a *API) addressed(ctx context.Context, r route, id domain.ID, p Params, body any) (addressed, error) {
	at, err := revision(p.IfMatch)
	if err != nil {
		return addressed{}, err
	}
	m, err := a.meta(ctx, r.method+" "+strings.Replace(r.path, "{id}", id.String(), 1), p.Key, body)
	return addressed{id, m, at}, err
}

// revision reads an entity tag as this API makes them: a revision in quotes. It may
// have been made weak on its way.
func revision(tag string) (eventlog.Revision, error) {
	if tag == "" || tag == "*" {
		return AnyRevision, nil
	}
	digits := strings.TrimPrefix(tag, "W/")
	if inner, ok := strings.CutPrefix(digits, `"`); ok {
		if digits, ok = strings.CutSuffix(inner, `"`); !ok {
			digits = ""
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return 0, domain.Fault("If-Match", "malformed", "has to be a revision in quotes, as in the ETag of an answer")
	}
	return eventlog.Revision(n), nil
}

// meta is the circumstances of a request. The same request sent again under the
// same key is the same command; without a key every request is a command of its own.
func (a *API) meta(ctx context.Context, target, key string, body any) (domain.Meta, error) {
	c := access.From(ctx)
	command, digest := uuid.New(), []byte(nil)
	if key != "" {
		raw, err := json.Marshal(body)
		if err != nil {
			return domain.Meta{}, fmt.Errorf("request: %w", err)
		}
		command = uuid.NewSHA1(c.Actor.Who, []byte(target+"\n"+key))
		sum := sha256.Sum256(raw)
		digest = sum[:]
	}
	ip := ""
	if c.IP.IsValid() {
		ip = c.IP.String()
	}
	return domain.Meta{
		Actor: c.Actor.Who, Command: command, Correlation: c.Request, Causation: command,
		At: a.Now().UTC().Truncate(time.Microsecond), IP: ip, UserAgent: c.UserAgent, App: a.App,
		By: c.Actor.Authority, Request: digest,
	}, nil
}
