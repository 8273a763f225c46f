package commands

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"annals/domain/employee"
	"annals/internal/httpapi"
)

// RecoveryCodes sign somebody in who has lost their second factor, each once.
type RecoveryCodes struct {
	Codes []string `json:"recovery_codes" doc:"Each signs in once in place of a code. They are shown this once"`
}

// secondFactor is time-based one-time passwords (RFC 6238) and recovery codes.
func (a *API) secondFactor(api *httpapi.API) {
	const path = "/api/v1/me/second-factor"
	op := func(id, method, path, summary string, status int) httpapi.Op {
		return httpapi.Op{ID: id, Method: method, Path: path, Summary: summary, Tag: "me", Status: status}
	}
	type status struct {
		Body struct {
			Enabled bool `json:"enabled"`
			Left    int  `json:"recovery_codes_left"`
		}
	}
	httpapi.Handle(api, op("get-second-factor", "GET", path, "Whether a second factor is asked for", 0), func(ctx context.Context, _ *struct{}) (*status, error) {
		who, err := person(ctx)
		if err != nil {
			return nil, err
		}
		f, err := a.Credentials.SecondFactor(ctx, who.Who)
		out := &status{}
		out.Body.Enabled, out.Body.Left = f.Enabled, f.RecoveryCodesLeft
		return out, err
	})
	type proof struct {
		Body struct {
			Password string `json:"password" maxLength:"256"`
		}
	}
	type begun struct {
		Body struct {
			Secret string `json:"secret" doc:"For typing into an authenticator"`
			URI    string `json:"uri" doc:"The same as an otpauth:// URI, for a QR code"`
		}
	}
	httpapi.Handle(api, op("begin-second-factor", "POST", path, "Begin to set up a second factor; it counts once a code has confirmed it", 0), func(ctx context.Context, in *proof) (*begun, error) {
		who, err := person(ctx)
		if err != nil {
			return nil, err
		}
		// Whoever has found an open session must not lock its owner out.
		if err := a.Credentials.ProvePassword(ctx, who.Who, in.Body.Password); err != nil {
			return nil, err
		}
		s, err := a.employee(ctx, who.Who)
		if err != nil {
			return nil, err
		}
		t, err := a.Credentials.BeginTOTP(ctx, who.Who, s.Email)
		out := &begun{}
		out.Body.Secret, out.Body.URI = t.Secret, t.URI
		return out, err
	})
	type code struct {
		Body struct {
			Code string `json:"code" maxLength:"64"`
		}
	}
	type codes struct{ Body RecoveryCodes }
	for _, x := range []struct {
		op     httpapi.Op
		change func(context.Context, uuid.UUID, string, func(context.Context) error) ([]string, error)
		what   string
		how    string
	}{
		{op("confirm-second-factor", "POST", path+"/confirm", "Confirm the second factor with a code of it", 0), a.Credentials.ConfirmTOTP, "second_factor", "enabled"},
		{op("renew-recovery-codes", "POST", path+"/recovery-codes", "Make new recovery codes; the old ones end", 0), a.Credentials.NewRecoveryCodes, "recovery_codes", "renewed"},
	} {
		httpapi.Handle(api, x.op, func(ctx context.Context, in *code) (*codes, error) {
			who, err := person(ctx)
			if err != nil {
				return nil, err
			}
			all, err := x.change(ctx, who.Who, in.Body.Code, a.note(who.Who, x.what, x.how))
			return &codes{RecoveryCodes{all}}, err
		})
	}
	type remove struct {
		Body struct {
			Password string `json:"password" maxLength:"256"`
			Code     string `json:"code" maxLength:"64"`
		}
	}
	httpapi.Handle(api, op("remove-second-factor", "POST", path+"/remove", "Do without a second factor from now on", http.StatusNoContent), func(ctx context.Context, in *remove) (*struct{}, error) {
		who, err := person(ctx)
		if err != nil {
			return nil, err
		}
		return nil, a.Credentials.RemoveTOTP(ctx, who.Who, in.Body.Password, in.Body.Code, a.note(who.Who, "second_factor", "disabled"))
	})
	type theirs struct {
		ID uuid.UUID `path:"id" format:"uuid"`
	}
	clear := op("clear-second-factor", "DELETE", employees+"/{id}/second-factor", "Take the second factor from an employee who has lost it", http.StatusNoContent)
	clear.Tag, clear.Needs = "employees", "employees.manage"
	httpapi.Handle(api, clear, func(ctx context.Context, in *theirs) (*struct{}, error) {
		who, err := person(ctx)
		if err != nil {
			return nil, err
		}
		// Who may change how somebody signs in may do this.
		to, err := a.addressed(ctx, route{method: clear.Method, path: clear.Path}, in.ID, Params{}, nil)
		if err != nil {
			return nil, err
		}
		if _, err := would(ctx, a.Store, employee.Aggregate, in.ID, employee.Command(employee.Edit{}), to.meta); err != nil {
			return nil, err
		}
		if who.Who == in.ID { // who has found an open session would be rid of it without a code
			return nil, employee.ErrSelf
		}
		return nil, a.Credentials.ClearTOTP(ctx, in.ID, a.note(in.ID, "second_factor", "cleared"))
	})
}
