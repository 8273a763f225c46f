package note_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/attached"
	"annals/domain/client"
	"annals/domain/domaintest"
	"annals/domain/note"
)

var (
	of      = uuid.MustParse("00000000-0000-4000-8000-00000000000c")
	project = uuid.MustParse("00000000-0000-4000-8000-00000000000a")
	mira    = uuid.MustParse("00000000-0000-4000-8000-000000000001")
	tom     = uuid.MustParse("00000000-0000-4000-8000-000000000002")
	vera    = uuid.MustParse("00000000-0000-4000-8000-000000000003")

	world = domain.World{domain.Ref{Category: domain.Client, ID: of}: client.Aggregate.Evolve(client.State{}, client.Registered{
		Details: client.Details{Type: client.Person, LastName: "Petrova"}, Assignment: client.Assignment{ProjectID: project},
	})}
)

func authority(id domain.ID, p domain.Permission, projects ...domain.ID) domain.Authority {
	return domain.Authority{ID: id, Rights: domain.Rights{p: domain.InProjects, domain.ClientsView: domain.InProjects}, Scope: domain.ScopeOf(projects, nil)}
}

func sees(id domain.ID) domain.Authority { return authority(id, domain.ActivitiesWrite, project) }

func blind(id domain.ID) domain.Authority { return authority(id, domain.ActivitiesWrite, uuid.New()) }

func mention(typed string, who ...domain.Authority) attached.Mention {
	return attached.Mention{Typed: typed, Who: who}
}

func to(c note.Command, mentions ...attached.Mention) attached.To[note.Command] {
	return attached.To[note.Command]{Client: of, Command: c, People: attached.People{Mentions: mentions}}
}

func TestNote(t *testing.T) {
	t.Parallel()
	type c = domaintest.Case[attached.To[note.Command], note.Event]
	added := note.Added{ClientID: of, Text: "Wants **two**"}
	given := []note.Event{added}
	gone := append(given, note.Deleted{})
	absent := domain.Errorf(domain.NotFound, "note.absent", "")
	text := func(s string) note.Edit { return note.Edit{Text: domain.Set(s)} }
	cases := map[string]c{
		"without a client":         {When: attached.To[note.Command]{Client: uuid.New(), Command: note.Add{Text: "x"}}, Err: client.ErrAbsent},
		"out of reach":             {By: blind(mira), When: to(note.Add{Text: "x"}), Err: client.ErrAbsent},
		"only seen":                {By: authority(mira, domain.ClientsEdit, project), When: to(note.Add{Text: "x"}), Err: domain.ErrForbidden},
		"without text":             {When: to(note.Add{Text: " \n\u200b"}), Err: domain.Fault("text", "required", "")},
		"too long":                 {When: to(note.Add{Text: strings.Repeat("ä", 20_001)}), Err: domain.Fault("text", "too_long", "")},
		"not UTF-8":                {When: to(note.Add{Text: "a\xff"}), Err: domain.Fault("text", "encoding", "")},
		"a bell":                   {When: to(note.Add{Text: "a\a"}), Err: domain.Fault("text", "control_character", "")},
		"adding":                   {By: sees(mira), When: to(note.Add{Text: " Wants **two**\r\n"}), Then: []note.Event{added}},
		"adding pinned":            {When: to(note.Add{Text: "x", Pinned: true}), Then: []note.Event{note.Added{ClientID: of, Text: "x", Pinned: true}}},
		"adding twice":             {Given: given, When: to(note.Add{Text: "x"}), Err: domain.Errorf(domain.Conflict, "note.exists", "")},
		"editing what is not":      {When: to(text("x")), Err: absent},
		"editing":                  {Given: given, When: to(text("Wants three")), Then: []note.Event{note.Edited{From: "Wants **two**", To: "Wants three"}}},
		"editing to the same":      {Given: given, When: to(text("Wants **two** "))},
		"editing to nothing":       {Given: given, When: to(text(" ")), Err: domain.Fault("text", "required", "")},
		"editing nothing":          {Given: given, When: to(note.Edit{})},
		"editing and pinning":      {Given: given, When: to(note.Edit{Text: domain.Set("x"), Pinned: domain.Set(true)}), Then: []note.Event{note.Edited{From: "Wants **two**", To: "x"}, note.Pinned{}}},
		"unpinning what is not":    {Given: given, When: to(note.Edit{Pinned: domain.Set(false)})},
		"unpinning":                {Given: append(given, note.Pinned{}), When: to(note.Edit{Pinned: domain.Set(false)}), Then: []note.Event{note.Unpinned{}}},
		"deleting":                 {Given: given, When: to(note.Delete{}), Then: []note.Event{note.Deleted{}}},
		"deleting again":           {Given: gone, When: to(note.Delete{})},
		"editing what was deleted": {Given: gone, When: to(text("x")), Err: absent},
		"of another client":        {Given: []note.Event{note.Added{ClientID: uuid.New(), Text: "x"}}, When: to(note.Delete{}), Err: absent},
	}
	run(t, cases)
}

func run(t *testing.T, cases map[string]domaintest.Case[attached.To[note.Command], note.Event]) {
	t.Helper()
	for name, c := range cases {
		c.World = world
		cases[name] = c
	}
	domaintest.Run(t, note.Aggregate, cases)
}

// Whoever is mentioned is told once, and has to see the client.
func TestMentions(t *testing.T) {
	t.Parallel()
	type c = domaintest.Case[attached.To[note.Command], note.Event]
	add := func(text string, ids ...domain.ID) note.Added {
		return note.Added{ClientID: of, Text: text, Mentions: ids}
	}
	edited := func(from, to string, ids ...domain.ID) []note.Event {
		return []note.Event{note.Edited{From: from, To: to, Mentions: ids}}
	}
	fault := domain.Fault("text", "mention", "")
	text := func(s string) note.Edit { return note.Edit{Text: domain.Set(s)} }
	var many []attached.Mention
	var ids []domain.ID
	for i := range attached.MostMentions + 1 {
		id := uuid.NewSHA1(of, []byte{byte(i)})
		many, ids = append(many, mention(fmt.Sprint("@", i), sees(id))), append(ids, id)
	}
	told := attached.Told(nil, ids[:attached.MostMentions])
	run(t, map[string]c{
		"somebody":                    {When: to(note.Add{Text: "@mira"}, mention("@mira", sees(mira))), Then: []note.Event{add("@mira", mira)}},
		"who does not see the client": {When: to(note.Add{Text: "@tom"}, mention("@tom", blind(tom))), Err: fault},
		"two who do not":              {When: to(note.Add{Text: "@tom @mira"}, mention("@tom", blind(tom)), mention("@mira", blind(mira))), Err: joined(fault, fault)},
		"several, sorted, each once":  {When: to(note.Add{Text: "x"}, mention("@tom", sees(tom)), mention("@mira", sees(mira)), mention("Mira", sees(mira))), Then: []note.Event{add("x", mira, tom)}},
		"the one of two who sees it":  {When: to(note.Add{Text: "x"}, mention("@m", blind(tom), sees(mira))), Then: []note.Event{add("x", mira)}},
		"one of two":                  {When: to(note.Add{Text: "x"}, mention("@m", sees(tom), sees(mira))), Err: fault},
		"none of two":                 {When: to(note.Add{Text: "x"}, mention("@m", blind(tom), blind(mira))), Err: fault},
		"fifty":                       {When: to(note.Add{Text: "x"}, many[:attached.MostMentions]...), Then: []note.Event{add("x", told...)}},
		"more than fifty":             {When: to(note.Add{Text: "x"}, many...), Err: domain.Fault("text", "too_many_mentions", "")},
		"anew in an edit":             {Given: []note.Event{add("@mira", mira)}, When: to(text("@mira @tom"), mention("@mira", sees(mira)), mention("@tom", sees(tom))), Then: edited("@mira", "@mira @tom", tom)},
		"as before in an edit":        {Given: []note.Event{add("@mira", mira)}, When: to(text("@mira!"), mention("@mira", sees(mira))), Then: edited("@mira", "@mira!")},
		"again after having gone": {
			Given: append([]note.Event{add("@mira", mira)}, edited("@mira", "x")...),
			When:  to(text("@mira!"), mention("@mira", sees(mira))), Then: edited("x", "@mira!"),
		},
		"who has moved on since": {Given: []note.Event{add("@mira", mira)}, When: to(text("@mira!"), mention("@mira", blind(mira))), Then: edited("@mira", "@mira!")},
		"who came to be called so since": {
			Given: []note.Event{add("@tom of the yard")}, When: to(text("@Tom, of the yard"), mention("@Tom", blind(tom))), Then: edited("@tom of the yard", "@Tom, of the yard"),
		},
		"who is only called alike": {Given: []note.Event{add("@tomas @tom.x")}, When: to(text("@tom"), mention("@tom", blind(tom))), Err: fault},
		"one of two, as before":    {Given: []note.Event{add("@m", mira)}, When: to(text("@m!"), mention("@m", sees(mira), sees(vera))), Then: edited("@m", "@m!")},
	})
}

func joined(errs ...error) error {
	var f domain.Faults
	for _, err := range errs {
		f.Add(err)
	}
	return f.Err()
}
