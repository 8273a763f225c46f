package commands

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/employee"
	"annals/internal/access"
	"annals/internal/auth"
	"annals/internal/httpapi"
)

// SignedIn is the answer to signing in.
type SignedIn struct {
	Token    string    `json:"token" doc:"Send it as Authorization: Bearer TOKEN; browsers keep it in a cookie that no script reads"`
	Expires  time.Time `json:"expires_at" doc:"When the session ends, if it does not before because nobody uses it"`
	Employee Somebody  `json:"employee"`
}

type sessionItem struct {
	ID        uuid.UUID `json:"id" format:"uuid"`
	Current   bool      `json:"current" doc:"The one that asks"`
	Method    string    `json:"method" doc:"How they proved who they are"`
	IP        string    `json:"ip,omitempty"`
	UserAgent string    `json:"user_agent,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	LastSeen  time.Time `json:"last_seen_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

// sessions is signing in and out, and what is signed in.
func (a *API) sessions(api *httpapi.API) {
	type signIn struct {
		Body struct {
			Email    string `json:"email" maxLength:"254"`
			Password string `json:"password" maxLength:"256"`
			Code     string `json:"code,omitempty" doc:"Of the second factor, or a recovery code, when the answer without was code_required" maxLength:"64"`
		}
	}
	type signedIn struct {
		Cookie http.Cookie `header:"Set-Cookie"`
		Body   SignedIn
	}
	httpapi.Handle(api, httpapi.Op{ID: "sign-in", Method: "POST", Path: "/api/v1/session", Summary: "Sign in", Anyone: true, Tag: "session"},
		func(ctx context.Context, in *signIn) (*signedIn, error) {
			c := access.From(ctx)
			s, err := a.Credentials.SignIn(ctx, auth.Attempt{
				Email: in.Body.Email, Password: in.Body.Password, Code: in.Body.Code, IP: c.IP, UserAgent: c.UserAgent, Active: a.isActive,
			})
			if err != nil {
				return nil, err
			}
			out := &signedIn{Cookie: httpapi.SetSession(s.Token, s.Expires), Body: SignedIn{Token: s.Token, Expires: s.Expires}}
			who, err := a.Authenticate(ctx, s.Token)
			if err != nil {
				return nil, err
			}
			out.Body.Employee, err = a.somebody(ctx, who)
			return out, err
		})
	type signedOut struct {
		Cookie http.Cookie `header:"Set-Cookie"`
	}
	httpapi.Handle(api, httpapi.Op{ID: "sign-out", Method: "DELETE", Path: "/api/v1/session", Summary: "Sign out", Tag: "session", Status: http.StatusNoContent},
		func(ctx context.Context, _ *struct{}) (*signedOut, error) {
			who, err := person(ctx)
			if err != nil {
				return nil, err
			}
			return &signedOut{httpapi.ClearSession()}, a.Credentials.End(ctx, who.Token)
		})
	type me struct{ Body Somebody }
	httpapi.Handle(api, httpapi.GetOp("/api/v1/me", "Who am I, what may I do, and where"),
		func(ctx context.Context, _ *struct{}) (*me, error) {
			out, err := a.somebody(ctx, access.From(ctx).Actor)
			return &me{out}, err
		})
	a.listSessions(api)
}

func (a *API) listSessions(api *httpapi.API) {
	type list struct {
		Body struct {
			Items []sessionItem `json:"items"`
		}
	}
	httpapi.Handle(api, httpapi.GetOp("/api/v1/sessions", "Where somebody is signed in"),
		func(ctx context.Context, in *Whose) (*list, error) {
			id, err := a.sessionsOf(ctx, in.Employee)
			if err != nil {
				return nil, err
			}
			all, err := a.Credentials.Sessions(ctx, id)
			if err != nil {
				return nil, err
			}
			out := &list{}
			out.Body.Items = []sessionItem{}
			for _, s := range all {
				item := sessionItem{s.ID, s.ID == access.From(ctx).Actor.Session, string(s.Method), "", s.UserAgent, s.Created, s.LastSeen, s.Expires}
				if s.IP.IsValid() {
					item.IP = s.IP.String()
				}
				out.Body.Items = append(out.Body.Items, item)
			}
			return out, nil
		})
	type one struct {
		ID uuid.UUID `path:"id" format:"uuid"`
		Whose
	}
	httpapi.Handle(api, httpapi.Op{ID: "revoke-session", Method: "DELETE", Path: "/api/v1/sessions/{id}", Summary: "End a session", Tag: "sessions", Status: http.StatusNoContent},
		func(ctx context.Context, in *one) (*struct{}, error) {
			id, err := a.sessionsOf(ctx, in.Employee)
			if err != nil {
				return nil, err
			}
			return nil, a.Credentials.Revoke(ctx, id, in.ID)
		})
	httpapi.Handle(api, httpapi.Op{ID: "revoke-sessions", Method: "DELETE", Path: "/api/v1/sessions", Summary: "End all sessions but the one that asks", Tag: "sessions", Status: http.StatusNoContent},
		func(ctx context.Context, in *Whose) (*struct{}, error) {
			id, err := a.sessionsOf(ctx, in.Employee)
			if err != nil {
				return nil, err
			}
			return nil, a.Credentials.EndAll(ctx, id, access.From(ctx).Actor.Session)
		})
}

// Whose is whose sessions a request is about. It is exported as what is embedded in
// requests has to be.
type Whose struct {
	Employee string `query:"employee" doc:"Whose sessions: one's own if left out; of others if you may change how they sign in" format:"uuid"`
}

// sessionsOf is whose sessions a request is about.
func (a *API) sessionsOf(ctx context.Context, whose string) (domain.ID, error) {
	who, err := person(ctx)
	if err != nil {
		return domain.ID{}, err
	}
	if whose == "" {
		return who.Who, nil
	}
	id, err := uuid.Parse(whose)
	if err != nil {
		return id, domain.Fault("employee", "malformed", "is not an id")
	}
	if id == who.Who {
		return id, nil
	}
	// Who may change how somebody signs in may see and end where they have.
	m, err := a.meta(ctx, "sessions", "", nil)
	if err == nil {
		_, err = would(ctx, a.Store, employee.Aggregate, id, employee.Command(employee.Edit{}), m)
	}
	return id, err
}
