package client

import (
	"testing"

	"annals/domain"
	"annals/domain/domaintest"
	"annals/domain/role"
)

func TestErase(t *testing.T) {
	kim := Details{Type: Person, FirstName: "Kim", LastName: "Lindqvist", Company: "Abel & Söhne", Email: "kim@abel.example", Phone: "030 901820", Address: Address{Street: "Am Wall 3"}}
	registered := Registered{Details: kim, Assignment: Assignment{ProjectID: retail, DeskID: north, ManagerID: bob}, Status: Lead}
	given := []Event{registered}
	leaves := [][]byte{{1}, {2}}
	erased := Erased{Basis: OnRequest, Reason: "letter of 3 May", RequestedBy: "the person", KeyLeaves: leaves}
	gone := append(given, erased)
	again := Erased{Basis: OtherBasis, Reason: "what was erased after a backup is erased in what is restored from it", KeyLeaves: leaves}
	held := append(given, Held{Reason: "claim 17"})
	personal := func(field string) error { return domain.Fault(field, "personal", "") }
	admin := as(ann, role.ProjectAdmin, ids(retail), ids(north))
	auditor := as(ann, role.Auditor, nil, nil)
	why := func(reason string) Erase { return Erase{Reason: reason} }
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"without a reason":                      {Given: given, When: Erase{}, Err: domain.Fault("reason", "required", "")},
		"on no known basis":                     {Given: given, When: Erase{Reason: "x", Basis: "mood"}, Err: domain.Fault("basis", "unknown", "")},
		"nobody":                                {When: why("x"), Err: ErrAbsent},
		"by who only sees everything":           {By: auditor, Given: given, When: why("x"), Err: domain.ErrForbidden},
		"by who runs the project":               {By: admin, Given: given, When: why("x"), Err: domain.ErrForbidden},
		"on request":                            {Given: given, When: Erase{Reason: " letter of 3 May ", KeyLeaves: leaves}, Then: []Event{erased}},
		"as the rule says":                      {Given: given, When: Erase{Reason: "inactive for ten years", Basis: ByRetention}, Then: []Event{Erased{Basis: ByRetention, Reason: "inactive for ten years"}}},
		"as an authority demands":               {Given: given, When: Erase{Reason: "order 9", Basis: ByObligation, RequestedBy: "the court"}, Then: []Event{Erased{Basis: ByObligation, Reason: "order 9", RequestedBy: "the court"}}},
		"who is deactivated":                    {Given: append(given, Deactivated{"x"}), When: Erase{Reason: "letter of 3 May", KeyLeaves: leaves}, Then: []Event{erased}},
		"with the name in the reason":           {Given: given, When: why("Ms LINDQVIST's letter"), Err: personal("reason")},
		"with the company in it":                {Given: given, When: why("abel, söhne: letter"), Err: personal("reason")},
		"with any address in it":                {Given: given, When: why("asked from a@b.example"), Err: personal("reason")},
		"with the number in it":                 {Given: given, When: why("called from +49 (30) 90 18 20, on 030/901820"), Err: personal("reason")},
		"with the street in it":                 {Given: given, When: why("moved out of am Wall 3"), Err: personal("reason")},
		"with a name that is part of a word":    {Given: given, When: why("akimbo"), Then: []Event{Erased{Basis: OnRequest, Reason: "akimbo", RequestedBy: "the person"}}},
		"named by who asked":                    {Given: given, When: Erase{Reason: "x", RequestedBy: "Kim"}, Err: personal("requested_by")},
		"under a hold":                          {Given: held, When: why("x"), Err: ErrHeld},
		"released from it":                      {Given: append(held, Released{}), When: Erase{Reason: "letter of 3 May", KeyLeaves: leaves}, Then: []Event{erased}},
		"twice":                                 {Given: gone, When: why("x"), Err: ErrErased},
		"and then editing":                      {Given: gone, When: Edit{map[string]any{"company": "x"}}, Err: ErrErased},
		"and then holding":                      {Given: gone, When: Hold{Reason: "x"}, Err: ErrErased},
		"and then handing over":                 {Given: gone, When: HandOver{From: bob}, Err: ErrErased},
		"and then, by who does not see it":      {By: as(cem, role.ProjectAdmin, ids(wholesale), nil), Given: gone, When: Hold{Reason: "x"}, Err: ErrAbsent},
		"telling the key, which is as told":     {Given: gone, When: TellKey{leaves}},
		"telling the key, which has got more":   {Given: gone, When: TellKey{append(leaves, []byte{3})}, Then: []Event{Erased{OnRequest, "letter of 3 May", "the person", append(leaves, []byte{3})}}},
		"again, after a restore":                {Given: given, When: EraseAgain{leaves}, Then: []Event{again}},
		"again, of who is held in it":           {Given: held, When: EraseAgain{leaves}, Then: []Event{Released{again.Reason}, again}},
		"again, which only a restore does":      {By: as(ann, role.Admin, nil, nil), Given: given, When: EraseAgain{leaves}, Err: domain.ErrForbidden},
		"telling the key of who is not erased":  {Given: given, When: TellKey{leaves}},
		"telling the key, which is not for you": {By: as(ann, role.Admin, nil, nil), Given: gone, When: TellKey{leaves}, Err: domain.ErrForbidden},
	})
}

func TestHold(t *testing.T) {
	registered := Registered{Details: Details{Type: Person, LastName: "Lindqvist"}, Assignment: Assignment{ProjectID: retail}, Status: Lead}
	given := []Event{registered}
	held := append(given, Held{Reason: "claim 17"})
	domaintest.Run(t, Aggregate, map[string]domaintest.Case[Command, Event]{
		"nobody":                      {When: Hold{Reason: "x"}, Err: ErrAbsent},
		"without a reason":            {Given: given, When: Hold{Reason: " "}, Err: domain.Fault("reason", "required", "")},
		"by who works for the client": {By: bobAgent, Given: given, When: Hold{Reason: "x"}, Err: ErrAbsent},
		"by who runs the project":     {By: as(ann, role.ProjectAdmin, ids(retail), nil), Given: given, When: Hold{Reason: "claim 17"}, Then: []Event{Held{"claim 17"}}},
		"again":                       {Given: held, When: Hold{Reason: "claim 17"}},
		"again, for another reason":   {Given: held, When: Hold{Reason: "claim 18"}, Then: []Event{Held{"claim 18"}}},
		"and releasing":               {Given: held, When: Release{Reason: "settled"}, Then: []Event{Released{"settled"}}},
		"and releasing twice":         {Given: append(held, Released{}), When: Release{}},
		"releasing who is not held":   {Given: given, When: Release{}},
		"who is deactivated":          {Given: append(given, Deactivated{"x"}), When: Hold{Reason: "claim 17"}, Then: []Event{Held{"claim 17"}}},
	})
}

// TestNothingStaysInMemory: the state of an erased client holds nothing of the person.
func TestNothingStaysInMemory(t *testing.T) {
	s := State{}
	for _, e := range []Event{Registered{Details: Details{LastName: "Lindqvist"}, Assignment: Assignment{ProjectID: retail}}, Held{Reason: "claim"}, Released{}, Erased{Reason: "x"}} {
		s = evolve(s, e)
	}
	if s.Details.LastName != "" || s.heldFor != "" || !s.Erased() || s.Place().Project != retail {
		t.Errorf("%+v", s)
	}
}
