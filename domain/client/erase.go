package client

import (
	"slices"
	"strings"
	"unicode"

	"annals/domain"
)

// Reasons to refuse an erasure, and everything after one.
var (
	ErrErased = domain.Errorf(domain.Conflict, "client.erased", "the client has been erased")
	ErrHeld   = domain.Errorf(domain.Conflict, "client.held", "the client is under a legal hold: it has to be released first")
)

// Basis is on which ground somebody is erased.
type Basis string

// The grounds.
const (
	OnRequest    Basis = "request"    // the person asked for it, or withdrew consent: GDPR 17(1)(b), (c)
	ByRetention  Basis = "retention"  // the data are needed no longer: GDPR 5(1)(e), 17(1)(a)
	ByObligation Basis = "obligation" // a law, a court or an authority demands it: GDPR 17(1)(d), (e)
	OtherBasis   Basis = "other"
)

// Bases are all of them.
var Bases = []Basis{OnRequest, ByRetention, ByObligation, OtherBasis}

type (
	// Hold forbids to erase the client until it is released. One that is held already gets
	// another reason by it.
	Hold struct {
		Reason string `json:"reason" doc:"Why, for the history: the case or claim that the data are evidence in" maxLength:"1000"`
	}
	// Release ends a hold.
	Release struct {
		Reason string `json:"reason,omitempty" doc:"Why, for the history" maxLength:"1000"`
	}
	// Erase forgets the person: what is personal becomes unreadable for good, and the
	// history stays whole.
	Erase struct {
		Basis       Basis    `json:"basis,omitempty" doc:"request unless given: the person asked for it; retention: the data are needed no longer; obligation: a law, a court or an authority demands it" enum:"request,retention,obligation,other"`
		Reason      string   `json:"reason" doc:"Why, for the certificate: it stays, so it must hold nothing of the person" maxLength:"1000"`
		RequestedBy string   `json:"requested_by,omitempty" doc:"Who asked for it, by what they are and not by name: it stays, so it must hold nothing of the person" example:"the person, by letter" maxLength:"200"`
		KeyLeaves   [][]byte `json:"-"` // see [Erased]
	}
	// TellKey tells the leaves of the key of an erased client anew: for the system, when the
	// key got another event while the client was being erased.
	TellKey struct{ KeyLeaves [][]byte }
	// EraseAgain erases who was erased before the log was put back to an earlier time, under a hold
	// or not: for the system.
	EraseAgain struct{ KeyLeaves [][]byte }
)

func (Hold) command()       {}
func (Release) command()    {}
func (Erase) command()      {}
func (TellKey) command()    {}
func (EraseAgain) command() {}

// Needs implements [Command].
func (Hold) Needs() domain.Permission { return domain.ClientsHold }

// Needs implements [Command].
func (Release) Needs() domain.Permission { return domain.ClientsHold }

// Needs implements [Command].
func (Erase) Needs() domain.Permission { return domain.ClientsErase }

// Needs implements [Command].
func (TellKey) Needs() domain.Permission { return domain.ClientsErase }

// Needs implements [Command].
func (EraseAgain) Needs() domain.Permission { return domain.ClientsErase }

// Erased says whether the client has been erased.
func (s State) Erased() bool { return s.erasure != nil }

// Erasure is what was said when the client was erased; false if it has not been.
func (s State) Erasure() (Erased, bool) {
	if s.erasure == nil {
		return Erased{}, false
	}
	return *s.erasure, true
}

func (c Hold) decide(s State) ([]Event, error) {
	reason := domain.LongText(c.Reason)
	if reason == "" {
		return nil, domain.Fault("reason", "required", "is required: it is kept in the history")
	}
	if err := domain.CheckText("reason", reason, 1000); err != nil || s.Held && reason == s.heldFor {
		return nil, err
	}
	return []Event{Held{Reason: reason}}, nil
}

func (c Release) decide(s State) ([]Event, error) {
	reason := domain.LongText(c.Reason)
	if err := domain.CheckText("reason", reason, 1000); err != nil || !s.Held {
		return nil, err
	}
	return []Event{Released{Reason: reason}}, nil
}

func (c Erase) decide(s State) ([]Event, error) {
	e := Erased{Basis: c.Basis, Reason: domain.LongText(c.Reason), RequestedBy: domain.Text(c.RequestedBy), KeyLeaves: c.KeyLeaves}
	if e.Basis == "" {
		e.Basis = OnRequest
	}
	if e.RequestedBy == "" && e.Basis == OnRequest {
		e.RequestedBy = "the person"
	}
	var f domain.Faults
	if !slices.Contains(Bases, e.Basis) {
		f.Add(domain.Fault("basis", "unknown", "is %q, and has to be request, retention, obligation or other", e.Basis))
	}
	if e.Reason == "" {
		f.Add(domain.Fault("reason", "required", "is required: the certificate says it"))
	}
	f.Add(domain.CheckText("reason", e.Reason, 1000))
	f.Add(domain.CheckText("requested_by", e.RequestedBy, 200))
	f.Add(s.Details.absentFrom("reason", e.Reason))
	f.Add(s.Details.absentFrom("requested_by", e.RequestedBy))
	if err := f.Err(); err != nil {
		return nil, err
	}
	if s.Held {
		return nil, ErrHeld
	}
	return []Event{e}, nil
}

func (c TellKey) decide(s State, by domain.Authority) ([]Event, error) {
	if by.ID != domain.System {
		return nil, domain.ErrForbidden
	}
	e, erased := s.Erasure()
	if !erased || slices.EqualFunc(e.KeyLeaves, c.KeyLeaves, func(a, b []byte) bool { return string(a) == string(b) }) {
		return nil, nil
	}
	e.KeyLeaves = c.KeyLeaves
	return []Event{e}, nil
}

func (c EraseAgain) decide(s State, by domain.Authority) (events []Event, err error) {
	if by.ID != domain.System {
		return nil, domain.ErrForbidden
	}
	const reason = "what was erased after a backup is erased in what is restored from it"
	if s.Held { // it was released by the time
		events = append(events, Released{Reason: reason})
	}
	return append(events, Erased{Basis: OtherBasis, Reason: reason, KeyLeaves: c.KeyLeaves}), nil
}

// absentFrom faults a text that outlives the person and says what the person is called,
// or how to reach them.
func (d Details) absentFrom(field, text string) error {
	if strings.Contains(text, "@") {
		return domain.Fault(field, "personal", "holds what looks like an e-mail address, and it stays when the person is gone")
	}
	words, numbers := " "+words(text)+" ", digits(text)
	for _, t := range texts {
		value, named := *t.at(&d), false
		switch t.name {
		case "first_name", "middle_name", "last_name", "display_name", "company", "billing.legal_name",
			"email", "address.street", "work_address.street", "billing_address.street", "date_of_birth",
			"billing.tax_id", "billing.vat_id", "billing.iban":
			named = says(words, value)
		case "phone", "phone_e164":
			n := digits(value)
			named = len(n) >= 6 && strings.Contains(numbers, n)
		}
		if named {
			return domain.Fault(field, "personal", "says the client's %s, and it stays when the person is gone", t.name)
		}
	}
	return nil
}

// says whether a value of more than a letter stands among words, which have a space
// before and after each.
func says(all, value string) bool {
	w := words(value)
	return len([]rune(w)) > 1 && strings.Contains(all, " "+w+" ")
}

// words are the words of a text in lower case, with a space between.
func words(text string) string {
	return strings.Join(strings.FieldsFunc(domain.Fold(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }), " ")
}

func digits(text string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, text)
}
