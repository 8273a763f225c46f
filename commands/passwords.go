package commands

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/employee"
	"annals/internal/access"
	"annals/internal/auth"
	"annals/internal/httpapi"
	"annals/internal/mail"
)

// Mail keeps a message, and sends it when it can.
type Mail func(context.Context, mail.Message) error

// passwords is changing one's password, and setting a new one by a mailed link.
func (a *API) passwords(api *httpapi.API) {
	type change struct {
		Body struct {
			Old string `json:"old_password" maxLength:"256"`
			New string `json:"new_password" maxLength:"256"`
		}
	}
	httpapi.Handle(api, httpapi.Op{ID: "change-password", Method: "POST", Path: "/api/v1/me/password", Summary: "Change one's password; all other sessions end", Tag: "me", Status: http.StatusNoContent},
		func(ctx context.Context, in *change) (*struct{}, error) {
			who, err := person(ctx)
			if err != nil {
				return nil, err
			}
			note := a.note(who.Who, "password", "changed")
			return nil, a.Credentials.ChangePassword(ctx, who.Who, in.Body.Old, in.Body.New, func(ctx context.Context) error {
				// Before it counts: no session that the old one began outlives it, whatever comes in between.
				if err := a.Credentials.EndAll(ctx, who.Who, who.Session); err != nil {
					return err
				}
				return note(ctx)
			})
		})
	type forgotten struct {
		Body struct {
			Email string `json:"email" maxLength:"254"`
		}
	}
	httpapi.Handle(api, httpapi.Op{
		ID: "request-password-reset", Method: "POST", Path: "/api/v1/password-resets", Summary: "Have a link mailed that sets a new password; the answer does not tell whether the address is known",
		Anyone: true, Tag: "session", Status: http.StatusAccepted,
	}, func(ctx context.Context, in *forgotten) (*struct{}, error) {
		return nil, a.background(ctx, func(ctx context.Context) error { return a.mailReset(ctx, in.Body.Email) })
	})
	type reset struct {
		Body struct {
			Token    string `json:"token" maxLength:"100" doc:"What the link holds behind #token="`
			Password string `json:"new_password" maxLength:"256"`
		}
	}
	httpapi.Handle(api, httpapi.Op{
		ID: "reset-password", Method: "POST", Path: "/api/v1/password-resets/confirm", Summary: "Set a new password with what a mailed link holds; all sessions end",
		Anyone: true, Tag: "session", Status: http.StatusNoContent,
	}, func(ctx context.Context, in *reset) (*struct{}, error) {
		_, err := a.Credentials.ResetPassword(ctx, in.Body.Token, in.Body.Password, func(ctx context.Context, id domain.ID) error {
			if active, err := a.isActive(ctx, id); err != nil || !active {
				return errors.Join(err, auth.ErrReset)
			}
			return a.noteBy(ctx, id, id, "password", "reset")
		})
		return nil, err
	})
}

// mailReset mails the link, if there is anybody to mail it to.
func (a *API) mailReset(ctx context.Context, email string) error {
	r, known, err := a.Credentials.RequestReset(ctx, email)
	if err != nil || !known || a.Mail == nil {
		return err
	}
	s, err := a.employee(ctx, r.Employee)
	if err != nil || !s.Active() {
		return err
	}
	// Behind the # the token reaches no server's log.
	link := a.Public + "/reset-password#token=" + url.QueryEscape(r.Token)
	return a.Mail(ctx, mail.Message{
		To: s.Email, ToName: s.Name, Subject: "Set a new password for Annals", Expires: r.Expires, Secret: true,
		Text: fmt.Sprintf("Hello %s,\n\nsomebody, perhaps you, asked for a new password for Annals. This link sets one, once, until %s:\n\n%s\n\nIf it was not you, do nothing.\n",
			s.Name, r.Expires.UTC().Format("15:04 on 2 January 2006 MST"), link),
	})
}

// mostInBackground bounds what is under way without anybody waiting for it.
const mostInBackground = 64

// background does something after the answer, so that how long it takes tells nothing.
func (a *API) background(ctx context.Context, do func(context.Context) error) error {
	if a.busy.Add(1) > mostInBackground {
		a.busy.Add(-1)
		return domain.Errorf(domain.TooMany, "busy", "too much is under way at this moment; try again")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	a.pending.Go(func() {
		defer a.busy.Add(-1)
		defer cancel()
		if err := do(ctx); err != nil {
			a.Logger.ErrorContext(ctx, "background work failed", "err", err)
		}
	})
	return nil
}

// Wait returns when nothing is under way any more that nobody waits for.
func (a *API) Wait() { a.pending.Wait() }

// note is what [auth.Store] calls to have the log say that credentials change. The
// caller of the request is who changed them.
func (a *API) note(id domain.ID, what, how string) func(context.Context) error {
	return func(ctx context.Context) error { return a.noteBy(ctx, access.From(ctx).Actor.Who, id, what, how) }
}

func (a *API) noteBy(ctx context.Context, actor, id domain.ID, what, how string) error {
	c, command := access.From(ctx), uuid.New()
	m := domain.Meta{
		Actor: actor, Command: command, Correlation: c.Request, Causation: command, At: a.Now().UTC().Truncate(time.Microsecond),
		UserAgent: c.UserAgent, App: a.App, By: domain.Root,
	}
	if c.IP.IsValid() {
		m.IP = c.IP.String()
	}
	_, err := Handle(ctx, a.Store, employee.Aggregate, id, employee.Command(employee.Note{CredentialChanged: employee.CredentialChanged{What: what, How: how}}), m, AnyRevision)
	return err
}
