package document

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/attached"
	"annals/domain/client"
	"annals/domain/domaintest"
)

var (
	of, elsewhere = uuid.UUID{1}, uuid.UUID{2}
	project       = uuid.UUID{3}
	first         = Version{ID: uuid.UUID{11}, Size: 3, SHA256: "aa", StoredSHA256: "ab", MediaType: "application/pdf"}
	second        = Version{ID: uuid.UUID{12}, Size: 4, SHA256: "ba", StoredSHA256: "bb", MediaType: "application/pdf"}
	added         = Added{of, Title{"contract.pdf", "As signed"}, first}
)

// world has both clients.
func world() domain.World {
	w := domain.World{}
	for _, id := range []domain.ID{of, elsewhere} {
		w[domain.Ref{Category: domain.Client, ID: id}] = client.Aggregate.Evolve(client.State{}, client.Registered{Assignment: client.Assignment{ProjectID: project}})
	}
	return w
}

func to(c Command) attached.To[Command] { return attached.To[Command]{Client: of, Command: c} }

func by(grants ...domain.Grant) domain.Authority {
	rights := domain.Rights{}
	for _, g := range grants {
		rights[g.Permission] = g.Reach
	}
	return domain.Authority{ID: uuid.UUID{7}, Rights: rights}
}

func TestDocument(t *testing.T) {
	absent := attached.Absent(domain.Document)
	viewer := by(domain.Grant{Permission: domain.ClientsView, Reach: domain.Everywhere})
	blind := by(domain.Grant{Permission: domain.DocumentsWrite, Reach: domain.Everywhere})
	given := func(e ...Event) []Event { return append([]Event{added}, e...) }
	cases := map[string]domaintest.Case[attached.To[Command], Event]{
		"adding":                {When: to(Add{Title{" C:\\Users\\kim\\contract.pdf ", " As signed\n"}, first}), Then: []Event{added}},
		"adding without a name": {When: to(Add{Title{}, first}), Err: domain.Fault("name", "required", "")},
		"everything that is wrong": {
			When: to(Add{Title{"../", strings.Repeat("x", 2001)}, first}),
			Err:  errors.Join(domain.Fault("name", "required", ""), domain.Fault("description", "too_long", "")),
		},
		"adding twice":         {Given: given(), When: to(Add{Title{"x", ""}, second}), Err: domain.Errorf(domain.Conflict, "document.exists", "")},
		"a second version":     {Given: given(), When: to(AddVersion{second, 2}), Then: []Event{VersionAdded{second}}},
		"a version too many":   {Given: given(VersionAdded{second}), When: to(AddVersion{first, 2}), Err: domain.Errorf(domain.Conflict, "document.too_many_versions", "")},
		"the same bytes":       {Given: given(), When: to(AddVersion{Version{ID: uuid.UUID{13}, Size: 3, SHA256: "aa"}, 1})},
		"bytes of before":      {Given: given(VersionAdded{second}), When: to(AddVersion{first, 3}), Then: []Event{VersionAdded{first}}},
		"a version of none":    {When: to(AddVersion{second, 9}), Err: absent},
		"renaming":             {Given: given(), When: to(Rename{Name: domain.Set("deed.pdf")}), Then: []Event{Renamed{Title{Name: "contract.pdf"}, Title{Name: "deed.pdf"}}}},
		"describing":           {Given: given(), When: to(Rename{Description: domain.Set("")}), Then: []Event{Renamed{Title{Description: "As signed"}, Title{}}}},
		"renaming to nothing":  {Given: given(), When: to(Rename{Name: domain.Set("")}), Err: domain.Fault("name", "required", "")},
		"renaming nothing":     {Given: given(), When: to(Rename{Name: domain.Set("contract.pdf")})},
		"deleting":             {Given: given(), When: to(Delete{" signed again "}), Then: []Event{Deleted{"signed again"}}},
		"deleting twice":       {Given: given(Deleted{}), When: to(Delete{})},
		"deleting none":        {When: to(Delete{}), Err: absent},
		"renaming deleted":     {Given: given(Deleted{}), When: to(Rename{Name: domain.Set("x")}), Err: absent},
		"a version of deleted": {Given: given(Deleted{}), When: to(AddVersion{second, 9}), Err: absent},
		"long reason":          {Given: given(), When: to(Delete{strings.Repeat("x", 1001)}), Err: domain.Fault("reason", "too_long", "")},
		"of another client":    {Given: given(), When: attached.To[Command]{Client: elsewhere, Command: Delete{}}, Err: absent},
		"by who may only look": {By: viewer, When: to(Add{added.Title, first}), Err: domain.ErrForbidden},
		"by who may not look":  {By: blind, When: to(Add{added.Title, first}), Err: client.ErrAbsent},
	}
	for name, c := range cases {
		c.World = world()
		cases[name] = c
	}
	domaintest.Run(t, Aggregate, cases)
}

func TestState(t *testing.T) {
	t.Parallel()
	var s State
	for _, e := range []Event{added, VersionAdded{second}, Renamed{Title{Name: "contract.pdf"}, Title{Name: "deed.pdf"}}} {
		s = Aggregate.Evolve(s, e)
	}
	before := s
	s = Aggregate.Evolve(s, VersionAdded{Version{ID: uuid.UUID{13}}})
	other := Aggregate.Evolve(before, VersionAdded{Version{ID: uuid.UUID{14}}})
	if s.Title != (Title{"deed.pdf", "As signed"}) || len(before.Versions) != 2 || !s.Has(uuid.UUID{13}) || s.Has(uuid.UUID{14}) || !other.Has(uuid.UUID{14}) {
		t.Errorf("%+v, %+v, %+v", before, s, other)
	}
	if s = Aggregate.Evolve(s, Deleted{}); !s.Deleted || !s.Exists() || s.ClientID() != of || !s.Has(first.ID) {
		t.Errorf("deleted: %+v", s)
	}
}

func TestFileNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 127)
	for typed, want := range map[string]string{
		"contract.pdf": "contract.pdf", "  two  spaces .pdf": "two  spaces .pdf", "résumé.pdf": "résumé.pdf",
		"re\u0301sume\u0301.pdf": "résumé.pdf", "договор.pdf": "договор.pdf", "契約書.pdf": "契約書.pdf", "عقد.pdf": "عقد.pdf", "खाता.pdf": "खाता.pdf",
		"नि\u200dजी.txt": "नि\u200dजी.txt", "👩\u200d💻.png": "👩\u200d💻.png",
		"../../etc/passwd": "passwd", `..\..\boot.ini`: "boot.ini", `C:\fakepath\photo.jpg`: "photo.jpg", "/etc/shadow": "shadow", `a/b\c.txt`: "c.txt",
		"invoice\u202efdp.exe": "invoicefdp.exe", "a\u200bb\ufeff.txt": "ab.txt", "x\x00.jpg": "x.jpg", "line\r\nSet-Cookie: x": "lineSet-Cookie_ x",
		"a\u2028b\u3164.txt": "ab.txt", "tab\tin.txt": "tabin.txt", "no\u00a0break.txt": "no break.txt",
		"file.txt:evil.exe": "file.txt_evil.exe", `what?*<>|".txt`: "what______.txt", "dots...": "dots", "space. . ": "space", ".htaccess": ".htaccess",
		"CON": "_CON", "nul.txt": "_nul.txt", "com1.tar.gz": "_com1.tar.gz", "LPT².log": "_LPT².log", "COM10": "COM10", "console.log": "console.log", "aux .c": "_aux .c",
		long: long, "%2e%2e%2fx": "%2e%2e%2fx", "~": "~", "-rf": "-rf",
	} {
		got, err := FileName(typed)
		if err != nil || got != want {
			t.Errorf("%q: %q, want %q: %v", typed, got, want, err)
		}
		if again, err := FileName(got); err != nil || again != got {
			t.Errorf("%q: a second time %q: %v", typed, again, err)
		}
	}
	for typed, code := range map[string]string{
		"": "required", ".": "required", "..": "required", "../": "required", `\`: "required", " \t": "required", "\u202e": "required", "...": "required",
		"\xff.txt": "encoding", long + "éé": "too_long", "nul." + strings.Repeat("x", 251): "too_long",
	} {
		if got, err := FileName(typed); !errors.Is(err, domain.Fault("name", code, "")) {
			t.Errorf("%q: %q, %v, want %s", typed, got, err, code)
		}
	}
}

func FuzzFileName(f *testing.F) {
	for _, s := range []string{"a/b", "con.txt", "\u202e", "e\u0301", "x. ", "\xff", "a:b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		name, err := FileName(typed)
		if err != nil {
			return
		}
		if name == "" || len(name) > mostName || !utf8.ValidString(name) || strings.ContainsAny(name, "/\\\x00\r\n\u202e\u2066:") || name == ".." || name == "." {
			t.Errorf("%q: %q", typed, name)
		}
		if again, err := FileName(name); err != nil || again != name {
			t.Errorf("%q: %q, and then %q, %v", typed, name, again, err)
		}
	})
}
