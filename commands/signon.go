package commands

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"time"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/auth"
	"annals/internal/httpapi"
	"annals/internal/oidc"
)

const (
	signOnPath = "/api/v1/session/oidc"
	// SignOnCallback is the path that an identity provider has to lead back to.
	SignOnCallback = signOnPath + "/callback"
	// bindingCookie ties a sign-in to the browser in which it was begun.
	bindingCookie = "__Host-annals-oidc"
)

var errUnknownPerson = domain.Errorf(domain.Unauthorized, "oidc_unknown", "no employee has the address that the identity provider tells")

// signOn is signing in by OpenID Connect: two steps that a browser is led through.
func (a *API) signOn(api *httpapi.API) {
	if a.SignOn == nil {
		return
	}
	type begin struct {
		ReturnTo string `query:"return_to" doc:"The path to go to when signed in" maxLength:"2000"`
	}
	type redirect struct {
		Location string        `header:"Location"`
		Cookies  []http.Cookie `header:"Set-Cookie"`
	}
	httpapi.Handle(api, httpapi.Op{ID: "begin-oidc", Method: "GET", Path: signOnPath, Summary: "Go to the identity provider to sign in", Anyone: true, Tag: "session", Status: http.StatusSeeOther},
		func(ctx context.Context, in *begin) (*redirect, error) {
			to, err := a.SignOn.Begin(ctx, oidc.BeginOptions{ReturnTo: in.ReturnTo})
			if err != nil {
				return nil, err
			}
			return &redirect{to.URL, []http.Cookie{binding(to.Binding, oidc.Lifetime)}}, nil
		})
	httpapi.Handle(api, httpapi.Op{ID: "finish-oidc", Method: "GET", Path: SignOnCallback, Summary: "Where the identity provider leads back to", Anyone: true, Tag: "session", Status: http.StatusSeeOther},
		func(ctx context.Context, in *callback) (*redirect, error) {
			who, err := a.SignOn.Finish(ctx, in.values(), in.Binding)
			if r, refused := errors.AsType[*oidc.Refusal](err); refused {
				a.Logger.WarnContext(ctx, "sign-in by OpenID Connect refused", "request_id", access.From(ctx).Request.String(), "reason", r.Reason())
			}
			if err != nil {
				return nil, err
			}
			id, known, err := a.Credentials.ByEmail(ctx, who.Email)
			if err != nil {
				return nil, err
			}
			if active, err := a.isActive(ctx, id); err != nil || !known || !active {
				if err == nil {
					err = errUnknownPerson
				}
				return nil, err
			}
			c := access.From(ctx)
			s, err := a.Credentials.Start(ctx, id, auth.StartOptions{Method: auth.ByOIDC, IP: c.IP, UserAgent: c.UserAgent})
			if err != nil {
				return nil, err
			}
			return &redirect{who.ReturnTo, []http.Cookie{httpapi.SetSession(s.Token, s.Expires), binding("", -time.Second)}}, nil
		})
}

func binding(value string, lives time.Duration) http.Cookie {
	return http.Cookie{Name: bindingCookie, Value: value, Path: "/", MaxAge: int(lives.Seconds()), Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// callback is what identity providers are known to send; what else there is in a query
// is refused.
type callback struct {
	Binding      string `cookie:"__Host-annals-oidc" maxLength:"200"`
	Code         string `query:"code" maxLength:"4000"`
	State        string `query:"state" maxLength:"500"`
	Error        string `query:"error" maxLength:"500"`
	Description  string `query:"error_description" maxLength:"4000"`
	URI          string `query:"error_uri" maxLength:"2000"`
	Issuer       string `query:"iss" maxLength:"2000"`
	SessionState string `query:"session_state" maxLength:"2000"`
	Scope        string `query:"scope" maxLength:"4000"`
	AuthUser     string `query:"authuser" maxLength:"100"`
	Domain       string `query:"hd" maxLength:"300"`
	Prompt       string `query:"prompt" maxLength:"100"`
	ClientInfo   string `query:"client_info" maxLength:"4000"`
}

func (c *callback) values() url.Values {
	out, v := url.Values{}, reflect.ValueOf(*c)
	for f := range v.Type().Fields() {
		if name, text := f.Tag.Get("query"), v.FieldByIndex(f.Index).String(); name != "" && text != "" {
			out.Set(name, text)
		}
	}
	return out
}
