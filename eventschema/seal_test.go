package eventschema

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"annals/domain/client"
	"annals/domain/project"
)

const (
	here  = "client-00000000-0000-4000-8000-000000000001"
	there = "client-00000000-0000-4000-8000-000000000002"
)

func TestErasedIsTold(t *testing.T) {
	key := NewDataKey()
	e := client.Edited{
		From: client.Details{Type: client.Person, Email: "kim@example.com", Address: client.Address{City: "Bonn"}},
		To:   client.Details{Type: client.Company, Company: "Acme"},
	}
	name, v, stored, err := Encode(e, here, key)
	if err != nil {
		t.Fatal(err)
	}
	got, erased, err := Decode(name, v, stored, here, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := client.Edited{From: client.Details{Type: client.Person}, To: client.Details{Type: client.Company}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"from.email", "from.address.city", "to.company"}, erased); diff != "" {
		t.Error(diff)
	}
}

// TestBoxes: a box opens under its key, in its stream, event type and field, as it
// was written, and in no other way.
func TestBoxes(t *testing.T) {
	key := NewDataKey()
	reason := client.Deactivated{Reason: "moved away"}
	name, v, stored, err := Encode(reason, here, key)
	if err != nil {
		t.Fatal(err)
	}
	fails := func(what, name string, stored []byte, stream string, key *DataKey) {
		t.Helper()
		if e, _, err := Decode(name, v, stored, stream, key); err == nil {
			t.Errorf("%s: read as %+v", what, e)
		} else if !strings.Contains(err.Error(), "reason") && !strings.Contains(err.Error(), "from.") {
			t.Errorf("%s: %v does not name the field", what, err)
		}
	}
	fails("under another key", name, stored, here, NewDataKey())
	fails("moved to another stream", name, stored, there, key)
	fails("moved to another type", "client.reassigned", stored, here, key)
	edited, _, boxes, err := Encode(client.Edited{From: client.Details{FirstName: "Kim"}, To: client.Details{FirstName: "Kim"}}, here, key)
	if err != nil {
		t.Fatal(err)
	}
	fails("moved to another field", edited, bytes.Replace(boxes, []byte("first_name"), []byte("last_name"), 1), here, key)
	text := regexp.MustCompile(`\{"\$sealed":"([^"]+)"\}`).FindAllSubmatch(boxes, -1)
	if bytes.Equal(text[0][1], text[1][1]) {
		t.Error("the same value is sealed twice alike")
	}
	swapped := bytes.Replace(boxes, text[0][1], text[1][1], 1)
	fails("moved to the other side", edited, swapped, here, key)

	begin := bytes.Index(stored, []byte(boxBegin)) + len(boxBegin)
	end := begin + bytes.IndexByte(stored[begin:], '"')
	for i := begin; i < end; i++ {
		for _, c := range []byte("Ab-_0=\n +") {
			if stored[i] != c {
				fails(fmt.Sprintf("byte %d altered to %q", i, c), name, fmt.Appendf(nil, "%s%c%s", stored[:i], c, stored[i+1:]), here, key)
			}
		}
		fails("cut short", name, fmt.Appendf(nil, "%s%s", stored[:i], stored[end:]), here, key)
	}
	for _, odd := range []string{`{"reason":{"$sealed":5}}`, `{"reason":{"$sealed":null}}`, `{"reason":{"$sealed":""}}`, `{"reason":{}}`, `{"reason":5}`, `{"reason":{"$sealed":"","x":1}}`} {
		if e, _, err := Decode(name, v, []byte(odd), here, key); err == nil {
			t.Errorf("%s is read as %+v", odd, e)
		}
	}
}

// TestBeforeItWasPersonal: a field can be marked later; what is in the log by then
// is read as it is, with the key and without.
func TestBeforeItWasPersonal(t *testing.T) {
	for _, key := range []*DataKey{nil, NewDataKey()} {
		for _, stored := range []string{`{"reason":"moved"}`, ` { "reason" : "mo\u0076ed" } `} {
			got, erased, err := Decode("client.deactivated", 1, []byte(stored), here, key)
			if err != nil || len(erased) > 0 || got != any(client.Deactivated{Reason: "moved"}) {
				t.Errorf("%s: %+v, erased %v, %v", stored, got, erased, err)
			}
		}
	}
}

func TestWithoutAKey(t *testing.T) {
	if _, _, _, err := Encode(client.Deactivated{Reason: "x"}, here, nil); err == nil {
		t.Error("something personal is stored without a key")
	}
	if _, _, _, err := Encode(client.StatusChanged{From: client.Lead, To: client.Active}, here, nil); err != nil {
		t.Errorf("nothing personal needs no key: %v", err)
	}
	if _, _, _, err := Encode(project.Created{Name: "Retail"}, "project-1", nil); err != nil {
		t.Errorf("nothing personal needs no key: %v", err)
	}
}

// TestUnsealable: the program does not start with an event whose personal fields
// it would store in the clear.
func TestUnsealable(t *testing.T) {
	type person struct {
		Name string `json:"name" personal:"yes"`
	}
	type looped struct {
		Next *looped `json:"next"`
	}
	for name, typ := range map[string]reflect.Type{
		"no struct": reflect.TypeFor[string](),
		"a list of people": reflect.TypeFor[struct {
			People []person `json:"people"`
		}](),
		"a pointer to somebody": reflect.TypeFor[struct {
			Person *person `json:"person"`
		}](),
		"people by name": reflect.TypeFor[struct {
			People map[string][]person `json:"people"`
		}](),
		"a list further in": reflect.TypeFor[struct {
			In struct {
				People [2]person `json:"people"`
			} `json:"in"`
		}](),
		"without a name":   reflect.TypeFor[struct{ Name string }](),
		"embedded pointer": reflect.TypeFor[struct{ *looped }](),
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is taken", name)
				}
			}()
			newPlan(typ)
		}()
	}
	newPlan(reflect.TypeFor[looped]())
	whole := newPlan(reflect.TypeFor[struct {
		People []person `json:"people" personal:"yes"`
	}]())
	if !whole.personal {
		t.Error("a list that is marked as a whole is not sealed")
	}
}

// TestVersions: an upcast sees what an old event said, erased fields included.
func TestVersions(t *testing.T) {
	type v1 struct {
		Name string `json:"name" personal:"yes"`
	}
	type v2 struct {
		First string `json:"first" personal:"yes"`
		Last  string `json:"last" personal:"yes"`
	}
	type v3 struct {
		First, Last string
		Known       bool
	}
	two := func(o v1) v2 { f, l, _ := strings.Cut(o.Name, " "); return v2{f, l} }
	three := func(o v2) v3 { return v3{o.First, o.Last, o.First != ""} }
	all := []version{was(then(two, three)), was(three)}

	key := NewDataKey()
	for i, old := range []any{v1{"Kim Lee"}, v2{"Kim", "Lee"}} {
		stored, err := all[i].sealed.encode(reflect.ValueOf(old), sealer(key, here, "x"))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			key    *DataKey
			want   v3
			erased int
		}{{key, v3{"Kim", "Lee", true}, 0}, {nil, v3{}, i + 1}} {
			o := opener{key: c.key, where: where(here, "x")}
			got, err := all[i].decode(stored, &o)
			if err != nil || got != any(c.want) || len(o.erased) != c.erased {
				t.Errorf("v%d: %+v, erased %v, %v", i+1, got, o.erased, err)
			}
		}
	}
}

func TestUnknown(t *testing.T) {
	key := NewDataKey()
	for _, c := range []struct {
		name string
		v    int
	}{{"client.vanished", 1}, {"", 1}, {"client.edited", 0}, {"client.edited", -1}, {"client.edited", 99}} {
		if _, _, err := Decode(c.name, c.v, []byte(`{}`), here, key); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s v%d: %v", c.name, c.v, err)
		}
	}
	type stranger struct{}
	if _, _, _, err := Encode(stranger{}, here, key); !errors.Is(err, ErrUnknown) {
		t.Errorf("stranger: %v", err)
	}
	if Name(stranger{}) != "" || Name(nil) != "" || Name(client.Edited{}) != "client.edited" {
		t.Error("Name")
	}
}
