package commands

import (
	"context"
	"maps"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/imported"
	"annals/domain/inbox"
	"annals/internal/eventlog"
	"annals/internal/httpapi"
)

// notifications is what employees say about their own inbox, and what ends up in one
// without concerning a client.
func (a *API) notifications(api *httpapi.API) {
	create[imported.Finish](a, api, route{"POST", "/api/v1/imports", domain.ClientsImport, "Record that an import has come to its end; whoever imported is notified"}, imported.Aggregate)

	type read struct {
		Keyed
		Body struct {
			IDs     []uuid.UUID `json:"ids,omitempty" doc:"Of notifications" maxItems:"500" format:"uuid"`
			All     bool        `json:"all,omitempty" doc:"All that there are"`
			Through string      `json:"through,omitempty" doc:"All up to this position of the log, as in a notification: of those seen, none that came since" maxLength:"50" example:"1234"`
		}
	}
	marking := route{"POST", "/api/v1/notifications/read", "", "Have notifications count as read: some, those up to one, or all"}
	httpapi.Handle(api, marking.op(), func(ctx context.Context, in *read) (*answer, error) {
		who, err := person(ctx)
		if err != nil {
			return nil, err
		}
		if len(in.Body.IDs) == 0 && !in.Body.All && in.Body.Through == "" {
			return nil, domain.Fault("ids", "required", "is required, or all, or through")
		}
		c := inbox.MarkRead{IDs: in.Body.IDs}
		if c.Through, err = a.through(ctx, in.Body.All, in.Body.Through); err != nil {
			return nil, err
		}
		return apply(ctx, a, inbox.Aggregate, marking, who.Who, Params{Keyed: in.Keyed}, in.Body, inbox.Command(c))
	})

	type preferences struct {
		Params
		Body Preferences
	}
	preferring := route{"PUT", "/api/v1/notifications/preferences", "", "Say how to be told of each kind of notification"}
	httpapi.Handle(api, preferring.op(), func(ctx context.Context, in *preferences) (*answer, error) {
		who, err := person(ctx)
		if err != nil {
			return nil, err
		}
		return apply(ctx, a, inbox.Aggregate, preferring, who.Who, in.Params, in.Body, inbox.Command(inbox.SetPreferences{Preferences: in.Body.all()}))
	})
}

// Preferences are how somebody wants to be told of each kind of notification: page, in
// the page; email, in the page and by e-mail; none, not at all. What is left out stays.
type Preferences struct {
	Assigned       inbox.Channel `json:"assigned,omitempty" doc:"A client, an action or a request became yours" enum:"page,email,none"`
	Mentioned      inbox.Channel `json:"mentioned,omitempty" doc:"Somebody named you" enum:"page,email,none"`
	Due            inbox.Channel `json:"due,omitempty" doc:"The reminder of an action of yours" enum:"page,email,none" example:"email"`
	Overdue        inbox.Channel `json:"overdue,omitempty" doc:"An action of yours that was not done in time" enum:"page,email,none" example:"email"`
	Request        inbox.Channel `json:"request,omitempty" doc:"A client of yours asks for something" enum:"page,email,none"`
	ImportFinished inbox.Channel `json:"import_finished,omitempty" doc:"A file that you import has come to its end" enum:"page,email,none" example:"none"`
}

func (p Preferences) all() inbox.Preferences {
	all := inbox.Preferences{
		inbox.Assigned: p.Assigned, inbox.Mentioned: p.Mentioned, inbox.Due: p.Due,
		inbox.Overdue: p.Overdue, inbox.Request: p.Request, inbox.ImportFinished: p.ImportFinished,
	}
	maps.DeleteFunc(all, func(_ inbox.Kind, c inbox.Channel) bool { return c == "" })
	return all
}

// through is the position up to which notifications are to count as read: zero for
// none. What has not happened yet cannot have been read.
func (a *API) through(ctx context.Context, all bool, text string) (int64, error) {
	if !all && text == "" {
		return 0, nil
	}
	head, err := a.Store.log.Head(ctx)
	if err != nil {
		return 0, err
	}
	if !all {
		at, err := eventlog.ParsePosition(text)
		if err != nil {
			return 0, domain.Fault("through", "malformed", "is not a position of the log, as in a notification")
		}
		if at.Compare(head) > 0 {
			return 0, domain.Fault("through", "future", "has not come yet")
		}
		head = at
	}
	return int64(head.Commit), nil //nolint:gosec // positions have 63 bits
}
