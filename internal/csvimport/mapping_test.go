package csvimport

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseMap(t *testing.T) {
	for text, want := range map[string]map[string]string{
		"company=Name": {"company": "Name"},
		" company = Name , address.city = City Name": {"company": "Name", "address.city": "City Name"},
		`company="Name, Inc",phone=Phone`:            {"company": "Name, Inc", "phone": "Phone"},
		`"company=Name, Inc",phone=Phone`:            {"company": "Name, Inc", "phone": "Phone"},
		`company="The ""Name"""`:                     {"company": `The "Name"`},
		`company="a=b"`:                              {"company": "a=b"},
		`company=a=b,phone=c`:                        {"company": "a=b", "phone": "c"},
		`email=E-Mail (private)`:                     {"email": "E-Mail (private)"},
		"company=Name,last_name=Name":                {"company": "Name", "last_name": "Name"},
	} {
		got, err := ParseMap(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
	for _, bad := range []string{"", "company", "=Name", "company=", "company=Name,", ",", `company="Name`, `company="Name"x`, `"company=Name`, `"company"=Name`, "company=A,company=B"} {
		got, err := ParseMap(bad)
		if _, ok := errors.AsType[*UsageError](err); !ok {
			t.Errorf("%q: got %v, %v", bad, got, err)
		}
	}
	got, err := ParseMap("company=A", "phone=B")
	if err != nil || len(got) != 2 {
		t.Errorf("two texts: %v, %v", got, err)
	}
	if _, err := ParseMap("company=A", "company=B"); err == nil {
		t.Error("a field twice in two texts")
	}
}

func TestCommand(t *testing.T) {
	const project, desk = "0f0e0d0c-0b0a-4908-8706-050403020100", "00000000-0000-4000-8000-000000000001"
	command := func(header, row string, o Options) (string, string) {
		t.Helper()
		if o.Project == "" {
			o.Project = project
		}
		m, err := newMapping(strings.Split(header, ","), o)
		if err != nil {
			t.Fatal(err)
		}
		key, body, err := m.command(strings.Split(row, ","))
		if err != nil {
			t.Fatal(err)
		}
		return key, string(body)
	}
	opts := Options{Desk: desk, Null: []string{"NULL"}}
	key, body := command("Type,First Name,E-Mail,city,country,tags,status,Other", ` Person ,Ann <&> "A",ann@example.com, Köln ,NULL,b; a |b;,Active,x`, opts)
	want := `{"address":{"city":"Köln"},"desk_id":"` + desk + `","email":"ann@example.com","first_name":"Ann <&> \"A\"","project_id":"` + project + `","status":"active","tags":["a","b"],"type":"person"}`
	var got, wanted any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	// Changing this makes every file new that has been imported before.
	if want := "import-3689a4e9b7ada8d4d5eb03841386df07"; key != want {
		t.Errorf("key %s, want %s", key, want)
	}

	same := func(header, row string, o Options) {
		t.Helper()
		if k, _ := command(header, row, o); k != key {
			t.Errorf("%s: %s has another key", header, row)
		}
	}
	other := func(header, row string, o Options) {
		t.Helper()
		if k, _ := command(header, row, o); k == key {
			t.Errorf("%s: %s has the same key", header, row)
		}
	}
	same("City,status,Type,first_name,email,tags", `Köln,active,person,Ann <&> "A",ann@example.com,a;b`, opts)
	same("City,status,Type,first_name,email,tags,phone", `Köln,active,person,Ann <&> "A",ann@example.com,a|b,`, opts)
	same("City,status,Type,first_name,email,tags,project_id,desk_id", `Köln,active,person,Ann <&> "A",ann@example.com,a|b,`+project+","+desk, Options{Project: desk})
	other("City,status,Type,first_name,email,tags", `Köln,active,person,Ann <&> "A",ann@example.com,a;b;c`, opts)
	other("City,status,Type,last_name,email,tags", `Köln,active,person,Ann <&> "A",ann@example.com,a;b`, opts)
	other("City,status,Type,first_name,email,tags", `Köln,active,person,Ann <&> "A",ann@example.com,a;b`, Options{})
}

func TestMapIsForgivingAboutCase(t *testing.T) {
	columns, err := mapped([]string{" Company Name", "company_name2", "X"}, map[string]string{"company": "company name", "phone": "x"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"company": 0, "phone": 2}, columns); diff != "" {
		t.Error(diff)
	}
}

// TestRestOfTheRecord: what there is beside names and one address has columns as well;
// of three addresses one that is only called city is the first.
func TestRestOfTheRecord(t *testing.T) {
	const project = "0f0e0d0c-0b0a-4908-8706-050403020100"
	for header, c := range map[string]struct {
		o    Options
		want string
	}{
		"last_name,city,work_address.city,IBAN,source,language,meta.Fair.2026,external_ids.erp": {
			want: `{"last_name":"0","address":{"city":"1"},"work_address":{"city":"2"},"billing":{"iban":"3"},"affiliation":{"source":"4"},"language":"5","meta":{"Fair.2026":"6"},"external_ids":{"erp":"7"},"project_id":"` + project + `"}`,
		},
		"Name,Colour": {
			Options{Map: map[string]string{"last_name": "name", "custom.colour": "Colour", "billing_address.city": "name"}},
			`{"last_name":"0","custom":{"colour":"1"},"billing_address":{"city":"0"},"project_id":"` + project + `"}`,
		},
	} {
		c.o.Project = project
		names := strings.Split(header, ",")
		m, err := newMapping(names, c.o)
		if err != nil {
			t.Fatal(err)
		}
		row := make([]string, len(names))
		for i := range row {
			row[i] = strconv.Itoa(i)
		}
		_, body, err := m.command(row)
		if err != nil {
			t.Fatal(err)
		}
		var got, want any
		if json.Unmarshal(body, &got) != nil || json.Unmarshal([]byte(c.want), &want) != nil {
			t.Fatal(string(body))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", header, diff)
		}
	}
	for _, wrong := range []map[string]string{{"meta.": "a"}, {"meta": "a"}, {"address": "a"}, {"phone_e164": "a"}} {
		if _, err := newMapping([]string{"a"}, Options{Project: project, Map: wrong}); err == nil {
			t.Errorf("%v is taken", wrong)
		}
	}
	if _, err := newMapping([]string{"meta.a", "meta.a"}, Options{Project: project}); err == nil {
		t.Error("two columns of one key are taken")
	}
}
