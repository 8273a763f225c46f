package csvimport_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"annals/internal/csvimport"
)

var update = flag.Bool("update", false, "write the golden files")

// rejectsOf imports text and returns what was rejected, as told.
func rejectsOf(t *testing.T, a *api, text string, o csvimport.Options) (csvimport.Summary, []string) {
	t.Helper()
	var told []string
	o.Project = project
	o.Rejected = func(r csvimport.Reject) { told = append(told, r.String()) }
	sum, err := csvimport.Run(t.Context(), strings.NewReader(text), a.client(), o)
	if err != nil {
		t.Fatal(err)
	}
	if sum.Rows != sum.Registered+sum.Unchanged+sum.Rejected || sum.Rejected != len(told) {
		t.Errorf("%+v does not add up, or with %d rejects", sum, len(told))
	}
	return sum, told
}

func TestDefects(t *testing.T) {
	const (
		bare     = `has a quote (") inside a field: write it twice and put the whole field in quotes`
		unclosed = `opens a quote (") that nothing closes within 100 lines and 64 KiB`
	)
	lines := func(n int) string { return strings.Repeat("x\n", n) }
	for name, c := range map[string]struct {
		text     string // after the header company,phone
		opts     csvimport.Options
		accepted []string // companies
		rejects  []string
		empty    int
	}{
		"nothing":                        {},
		"no line end at the end":         {text: "A,1234", accepted: []string{"A"}},
		"CRLF":                           {text: "A,1234\r\nB,1234\r\n", accepted: []string{"A", "B"}},
		"mixed line ends":                {text: "A,1234\r\nB,1234\nC,1234\r\n", accepted: []string{"A", "B", "C"}},
		"a carriage return at the end":   {text: "A,1234\r", accepted: []string{"A"}},
		"a field too many":               {text: "A,b,1234\nB,1234\n", accepted: []string{"B"}, rejects: []string{"line 2: has 3 fields, the header has 2 (an unquoted comma?)"}},
		"a field too few":                {text: "A\nB,1234\n", accepted: []string{"B"}, rejects: []string{"line 2: has 1 field, the header has 2"}},
		"quoted":                         {text: `"A, Inc","1234"` + "\n", accepted: []string{"A, Inc"}},
		"quotes in quotes":               {text: `"The ""A""",1234` + "\n" + `"""B""",1234` + "\n", accepted: []string{`The "A"`, `"B"`}},
		"quoted and empty":               {text: `A,""` + "\n" + `"",""` + "\n", accepted: []string{"A"}, empty: 1},
		"a bare quote":                   {text: `A 5" B,1234` + "\nC,1234\n", accepted: []string{"C"}, rejects: []string{"line 2: " + bare}},
		"text after a quote":             {text: `"A" B,1234` + "\nC,1234\n", accepted: []string{"C"}, rejects: []string{"line 2: " + bare}},
		"a space before a quote":         {text: `A, "1234"` + "\nC,1234\n", accepted: []string{"C"}, rejects: []string{"line 2: " + bare}},
		"over lines":                     {text: "\"A\nB\r\nC\",1234\nD,12,34\n", accepted: []string{"A B C"}, rejects: []string{"line 5: has 3 fields, the header has 2 (an unquoted comma?)"}},
		"two fields over lines":          {text: "\"A\nB\",\"12\n34\"\nC,1234\n", accepted: []string{"A B", "C"}},
		"over lines, a field too many":   {text: "\"A\nB\",x,1234\nC,1234\n", accepted: []string{"C"}, rejects: []string{"line 2: has 3 fields, the header has 2 (an unquoted comma?)"}},
		"an open quote, then quotes":     {text: "\"A,1234\nB,1234\n\"C\",1234\n", accepted: []string{"B", "C"}, rejects: []string{"line 2: " + unclosed}},
		"an open quote, then none":       {text: "\"A,1234\nB,1234\nC,1234\n", accepted: []string{"B", "C"}, rejects: []string{"line 2: " + unclosed}},
		"an open quote in the last line": {text: "A,1234\nB,\"1234", accepted: []string{"A"}, rejects: []string{"line 3: " + unclosed}},
		"a quote at the very end":        {text: "A,1234\nB,\"", accepted: []string{"A"}, rejects: []string{"line 3: " + unclosed}},
		"99 lines in quotes":             {text: "\"" + lines(99) + "\",1234\n", rejects: nil, accepted: []string{strings.TrimSpace(strings.Repeat("x ", 99))}},
		"too many lines in quotes":       {text: "\"A\n" + strings.Repeat(",\n", 100) + "\",1234\nB,1234\n", accepted: []string{"B"}, rejects: []string{"line 2: " + unclosed, "line 103: " + unclosed}, empty: 100},
		"too much in quotes":             {text: "\"A\n" + strings.Repeat(",", 65<<10) + "\n\",1234\nB,1234\n", accepted: []string{"B"}, rejects: []string{"line 2: " + unclosed, "line 4: " + unclosed}, empty: 1},
		"a line that is too long":        {text: "A," + strings.Repeat("9", 3<<20) + "\nB,1234\n", accepted: []string{"B"}, rejects: []string{"line 2: is longer than 1 MiB; its first 1,024 bytes are kept"}},
		"too long in quotes":             {text: "A,\"\n" + strings.Repeat("9", 3<<20) + "\"\nB,1234\n", accepted: []string{"B"}, rejects: []string{"line 2: " + unclosed, "line 3: is longer than 1 MiB; its first 1,024 bytes are kept"}},
		"too long at the end":            {text: strings.Repeat("9", 2<<20), rejects: []string{"line 2: is longer than 1 MiB; its first 1,024 bytes are kept"}},
		"empty lines":                    {text: "\nA,1234\n\r\n \t \n,\n , \nB,1234\n\n", accepted: []string{"A", "B"}, empty: 6},
		"not UTF-8":                      {text: "Caf\xe9,1234\nCafé,1234\n", accepted: []string{"Café"}, rejects: []string{"line 2: holds bytes that are not valid UTF-8"}},
		"white space":                    {text: "  A  ,\u00a01234\t\n", accepted: []string{"A"}},
		"null":                           {text: "NULL,1234\nA,NULL\nNullify,N/A\n", opts: csvimport.Options{Null: []string{"NULL", "N/A"}}, accepted: []string{"A", "Nullify"}, rejects: []string{"line 2: last_name: is required: a person has a first name or a last name"}},
		"refused, for two reasons":       {text: strings.Repeat("A", 201) + ",none\n", rejects: []string{"line 2: company: has 201 characters, at most 200 are allowed; phone: holds 'n', which is not part of a phone number"}},
		"twice the same":                 {text: "A,1234\n A , 1234\nA,1235\nA,1234\n", accepted: []string{"A", "A"}},
		"twice the same, refused":        {text: "A,none\n\"A\",none\n", rejects: []string{"line 2: phone: holds 'n', which is not part of a phone number", "line 3: phone: holds 'n', which is not part of a phone number"}},
		"a NUL byte":                     {text: "A\x00,1234\n", rejects: []string{"line 2: company: holds a control character"}},
		"a delimiter that is given":      {text: "A,1234\n", opts: csvimport.Options{Delimiter: ','}, accepted: []string{"A"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t)
			c.opts.Concurrency = 1 // so that the server sees them in order
			sum, rejects := rejectsOf(t, a, "company,phone\n"+c.text, c.opts)
			if diff := cmp.Diff(c.accepted, a.companies()); diff != "" {
				t.Errorf("registered (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.rejects, rejects); diff != "" {
				t.Errorf("rejected (-want +got):\n%s", diff)
			}
			if sum.Empty != c.empty {
				t.Errorf("%d empty lines, want %d", sum.Empty, c.empty)
			}
		})
	}
}

// companies are the names registered, in the form in which they are stored.
func (a *api) companies() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []string
	for _, c := range a.accepted {
		all = append(all, strings.Join(strings.Fields(c.Company), " "))
	}
	return all
}

func TestFormats(t *testing.T) {
	const text = "\nCompany;E-Mail;address city;Tags\r\n\"Łódź; Søn & Co\";;Zürich;b| a |b\r\n"
	utf16 := func(e unicode.Endianness) string {
		s, err := unicode.UTF16(e, unicode.UseBOM).NewEncoder().String(text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	latin, err := charmap.ISO8859_2.NewEncoder().String(strings.ReplaceAll(text, "ø", "ö"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text string
		opts csvimport.Options
	}{
		"UTF-8":                      {text: text},
		"UTF-8 with mark":            {text: "\ufeff" + text},
		"a mark wins":                {text: "\ufeff" + text, opts: csvimport.Options{Encoding: "windows-1252"}},
		"UTF-16 little":              {text: utf16(unicode.LittleEndian)},
		"UTF-16 big":                 {text: utf16(unicode.BigEndian)},
		"UTF-16 by name":             {text: utf16(unicode.LittleEndian)[2:], opts: csvimport.Options{Encoding: "UTF-16LE"}},
		"by name":                    {text: latin, opts: csvimport.Options{Encoding: "iso-8859-2"}},
		"tabs":                       {text: strings.NewReplacer("; ", "; ", ";", "\t").Replace(text)},
		"bars":                       {text: strings.ReplaceAll(strings.ReplaceAll(text, "|", "/"), ";", "|")},
		"the line ends of old":       {text: strings.ReplaceAll(text, "\r\n", "\r")[1:]},
		"a delimiter of three bytes": {text: strings.ReplaceAll(text, ";", "‖"), opts: csvimport.Options{Delimiter: '‖'}},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t)
			for _, r := range []io.Reader{strings.NewReader(c.text), iotest.OneByteReader(strings.NewReader(c.text))} {
				c.opts.Project = project
				if _, err := csvimport.Run(t.Context(), r, a.client(), c.opts); err != nil {
					t.Fatal(err)
				}
			}
			if len(a.accepted) != 1 {
				t.Fatalf("%d registered", len(a.accepted))
			}
			got := a.accepted[0]
			if !strings.HasPrefix(got.Company, "Łódź") || got.Address.City != "Zürich" {
				t.Errorf("got %+v", got)
			}
			if name != "bars" {
				if diff := cmp.Diff([]string{"a", "b"}, got.Tags); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestInvalidInItsEncoding(t *testing.T) {
	a := newAPI(t)
	_, rejects := rejectsOf(t, a, "\xff\xfec\x00o\x00m\x00p\x00a\x00n\x00y\x00\n\x00A\x00\n\x00\x00\xd8\n\x00B\x00", csvimport.Options{})
	if diff := cmp.Diff([]string{"line 3: holds bytes that are not valid UTF-16"}, rejects); diff != "" {
		t.Error(diff)
	}
}

func TestUsage(t *testing.T) {
	base := csvimport.Options{Project: project}
	with := func(change func(*csvimport.Options)) csvimport.Options {
		o := base
		change(&o)
		return o
	}
	mapping := func(m map[string]string) csvimport.Options {
		return with(func(o *csvimport.Options) { o.Map = m })
	}
	for name, c := range map[string]struct {
		text string
		opts csvimport.Options
		want string
	}{
		"empty":               {"", base, "the file is empty"},
		"only empty lines":    {"\n\r\n\n", base, "the file is empty"},
		"only a mark":         {"\ufeff", base, "the file is empty"},
		"unknown field":       {"a,b\n", mapping(map[string]string{"name": "a"}), `no field "name"; there are type, title, first_name`},
		"unknown column":      {"a,b\n", mapping(map[string]string{"company": "c"}), `no column "c" for company; it has "a", "b"`},
		"column twice":        {"a,a\n", mapping(map[string]string{"company": "a"}), `2 columns "a"`},
		"nothing maps":        {"a,b\n", base, "no column is called like a field"},
		"field twice":         {"City,address.city\n", base, `could both be address.city`},
		"no project":          {"company\n", csvimport.Options{}, "project: clients belong to one"},
		"project is no id":    {"company\n", csvimport.Options{Project: "Retail"}, `project: "Retail" is not an id`},
		"desk is no id":       {"company\n", with(func(o *csvimport.Options) { o.Desk = "1" }), `desk: "1" is not an id`},
		"unknown encoding":    {"company\n", with(func(o *csvimport.Options) { o.Encoding = "klingon" }), `encoding: "klingon" is not known`},
		"odd delimiter":       {"company\n", with(func(o *csvimport.Options) { o.Delimiter = '"' }), "delimiter"},
		"header not UTF-8":    {"company,stra\xdfe\n", base, "the header is not valid UTF-8"},
		"header with quote":   {"company,\"x\n", base, "the header, line 1, opens a quote"},
		"spreadsheet":         {"PK\x03\x04abc", base, "is a spreadsheet or an archive"},
		"UTF-16 without mark": {"c\x00o\x00\n\x00", base, "NUL bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t)
			var rejects bytes.Buffer
			c.opts.Rejects = &rejects
			_, err := csvimport.Run(t.Context(), strings.NewReader(c.text), a.client(), c.opts)
			if _, ok := errors.AsType[*csvimport.UsageError](err); !ok || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if a.calls != 0 || rejects.Len() != 0 {
				t.Errorf("%d calls, %q rejected", a.calls, &rejects)
			}
		})
	}
	for _, c := range []csvimport.Client{{URL: "localhost:80", Token: token}, {URL: "http://localhost"}, {Token: token}} {
		_, err := csvimport.Run(t.Context(), strings.NewReader("company\nA\n"), c, base)
		if _, ok := errors.AsType[*csvimport.UsageError](err); !ok {
			t.Errorf("%+v: got %v", c, err)
		}
	}
}

// TestSample imports the sample of the README, twice, and then its rejects.
func TestSample(t *testing.T) {
	const dir = "../../cmd/annals/testdata/"
	sample, err := os.ReadFile(dir + "clients.csv")
	if err != nil {
		t.Fatal(err)
	}
	a := newAPI(t)
	var rejects, console bytes.Buffer
	con := &csvimport.Console{Out: &console, Rejects: "rejects.csv"}
	opts := csvimport.Options{Project: project, Map: northwind, Null: []string{"NULL"}, Rejects: &rejects, Rejected: con.Rejected}
	first, err := csvimport.Run(t.Context(), bytes.NewReader(sample), a.client(), opts)
	if err != nil {
		t.Fatal(err)
	}
	con.Finish()
	golden(t, dir+"clients.rejects.csv", rejects.Bytes())
	golden(t, "testdata/sample.stderr", console.Bytes())
	if want := (csvimport.Summary{Rows: 59, Registered: 43, Unchanged: 1, Rejected: 15, Empty: 4}); first != want {
		t.Errorf("first: %+v, want %+v", first, want)
	}

	opts.Rejects, opts.Rejected = nil, nil
	again, err := csvimport.Run(t.Context(), bytes.NewReader(sample), a.client(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if want := (csvimport.Summary{Rows: 59, Unchanged: 44, Rejected: 15, Empty: 4}); again != want {
		t.Errorf("again: %+v, want %+v", again, want)
	}

	// What was rejected is rejected again as it stands, in a file of the same columns.
	var rest bytes.Buffer
	opts.Rejects = &rest
	third, err := csvimport.Run(t.Context(), bytes.NewReader(rejects.Bytes()), a.client(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if want := (csvimport.Summary{Rows: 15, Rejected: 15}); third != want {
		t.Errorf("rejects: %+v, want %+v", third, want)
	}
	if got, want := rest.Bytes()[:40], rejects.Bytes()[:40]; !bytes.Equal(got, want) {
		t.Errorf("rejects of rejects begin with %q, want %q", got, want)
	}
	mended := strings.Replace(rejects.String(), `Storgatan 12," 2 tr"`, `"Storgatan 12, 2 tr"`, 1)
	fourth, err := csvimport.Run(t.Context(), strings.NewReader(mended), a.client(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if want := (csvimport.Summary{Rows: 15, Registered: 1, Rejected: 14}); fourth != want {
		t.Errorf("mended: %+v, want %+v", fourth, want)
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestCancelled(t *testing.T) {
	a := newAPI(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// The reader blocks for ever after its first rows, as a terminal does.
	blocked, w := io.Pipe()
	defer w.Close()
	r := io.MultiReader(strings.NewReader("company\nA\nB\n"), blocked)
	o := csvimport.Options{Project: project, Progress: func(p csvimport.Progress) {
		if p.Registered == 2 {
			cancel()
		}
	}}
	sum, err := csvimport.Run(ctx, r, a.client(), o)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "stopped after line 3") {
		t.Errorf("got %v", err)
	}
	if sum.Registered != 2 {
		t.Errorf("got %+v", sum)
	}
}

func TestReadingFails(t *testing.T) {
	a := newAPI(t)
	broken := errors.New("the disk is gone")
	r := io.MultiReader(strings.NewReader("company\nA\nB\n"), iotest.ErrReader(broken))
	sum, err := csvimport.Run(t.Context(), r, a.client(), csvimport.Options{Project: project})
	if !errors.Is(err, broken) || sum.Registered != 2 {
		t.Errorf("got %+v, %v", sum, err)
	}
}
