package commands

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/attached"
	"annals/domain/record"
	"annals/internal/eventlog"
	"annals/internal/httpapi"
)

const recordsPath = "/api/v1/clients/{id}/records/{kind}"

// recordAt is the path of a record of a client.
// It is exported for huma, see Keyed.
type RecordAt struct {
	Item
	Kind string `path:"kind" enum:"tickets,transactions,integrations"`
}

// put is the answer to what adds a record or changes it.
type put struct {
	Status   int
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Position string `header:"Annals-Position"`
	Replayed string `header:"Idempotency-Replayed" doc:"true when the request had been carried out before"`
	Body     Receipt
}

// records takes what other systems tell of a client.
func (a *API) records(api *httpapi.API) {
	at := route{"POST", recordsPath, domain.ActivitiesWrite, "Add a ticket, transaction or integration of another system, or update it: 201 when it is new, 200 when it was there. " +
		"What is left out of an update stays, and null empties"}
	op := at.op()
	op.Status, op.Also, op.Body = http.StatusCreated, http.StatusOK, record.Fields{}
	httpapi.Handle(api, op, a.putRecord)

	edit := route{"PATCH", recordsPath + "/{item}", domain.ActivitiesWrite, "Change a related record: what is left out stays, and null empties"}
	op = edit.op()
	op.Body = record.FieldsOf{}
	httpapi.Handle(api, op, func(ctx context.Context, in *struct {
		RecordAt
		Params
		Body map[string]any
	},
	) (*answer, error) {
		c := record.Edit{Kind: record.Kind(in.Kind), Patch: in.Body}
		return applyWithin(ctx, a, record.Aggregate, in.of(edit), in.Item, in.Params, in.Body, record.Command(c))
	})
	gone := route{"DELETE", recordsPath + "/{item}", domain.ActivitiesWrite, "Remove a related record; the history keeps it, and it can be added again"}
	httpapi.Handle(api, gone.op(), func(ctx context.Context, in *struct {
		RecordAt
		Params
	},
	) (*answer, error) {
		c := record.Remove{Kind: record.Kind(in.Kind)}
		return applyWithin(ctx, a, record.Aggregate, in.of(gone), in.Item, in.Params, nil, record.Command(c))
	})
}

// of is a route with the kind filled in: the same for another kind is another request.
func (at RecordAt) of(r route) route {
	r.path = strings.Replace(r.path, "{kind}", at.Kind, 1)
	return r
}

func (a *API) putRecord(ctx context.Context, in *struct {
	ID   uuid.UUID `path:"id" format:"uuid" doc:"Of the client"`
	Kind string    `path:"kind" enum:"tickets,transactions,integrations"`
	Params
	Body map[string]any
},
) (*put, error) {
	ifMatch, err := revision(in.IfMatch)
	if err != nil {
		return nil, err
	}
	at := fmt.Sprintf("/api/v1/clients/%s/records/%s", in.ID, in.Kind)
	m, err := a.meta(ctx, http.MethodPost+" "+at, in.Key, in.Body)
	if err != nil {
		return nil, err
	}
	c := record.Put{Kind: record.Kind(in.Kind), Body: in.Body}
	id, err := a.recordID(ctx, in.ID, c)
	if err != nil {
		return nil, err
	}
	added, d := false, record.Aggregate
	decide := d.Decide
	d.Decide = func(s record.State, c attached.To[record.Command], w domain.World, m domain.Meta) ([]record.Event, error) {
		events, err := decide(s, c, w, m)
		added = adds(events)
		return events, err
	}
	out, err := Handle(ctx, a.Store, d, id, attached.To[record.Command]{Client: in.ID, Command: c}, m, ifMatch)
	if err == nil && out.Replayed {
		added, err = a.added(ctx, out, m)
	}
	if err != nil {
		return nil, err
	}
	to := answerTo(out)
	answer := &put{http.StatusOK, at + "/" + out.ID.String(), to.ETag, to.Position, to.Replayed, to.Body}
	if added {
		answer.Status = http.StatusCreated
	}
	return answer, nil
}

func adds(events []record.Event) bool {
	for _, e := range events {
		if _, ok := e.(record.Added); ok {
			return true
		}
	}
	return false
}

// added says whether the request added the record when it was carried out, which the log
// knows: a later one may have changed it since.
func (a *API) added(ctx context.Context, out Outcome, m domain.Meta) (bool, error) {
	for rec, err := range a.Store.log.Read(ctx, eventlog.Stream(domain.Record, out.ID), max(out.Revision, 0)) {
		if err != nil {
			return false, err
		}
		_, ok := rec.Event.(record.Added)
		return ok && rec.Meta.Command == m.Command, nil
	}
	return false, nil
}

// recordID is the id of the record that a system keeps under an id of its own: the same
// for the same one. It is made with the client's data key, so that nobody who guesses
// what a record was called finds out once the client has been erased.
func (a *API) recordID(ctx context.Context, client domain.ID, c record.Put) (domain.ID, error) {
	system, external := c.Name()
	name := strings.Join([]string{"annals/record", client.String(), string(c.Kind), system, external}, "\n")
	mac, err := a.Store.log.Fingerprint(ctx, eventlog.Stream(domain.Record, client), domain.Meta{Subject: client, Request: []byte(name)})
	if errors.Is(err, eventlog.ErrDeleted) || errors.Is(err, eventlog.ErrErased) {
		err = nil // there is no such client (any more), which is found out before anything is written
	}
	return uuid.NewSHA1(client, []byte(mac)), err
}
