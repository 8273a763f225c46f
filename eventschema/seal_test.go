package eventschema

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"annals/domain/client"
	"annals/domain/project"
)

const (
	here  = "client-00000000-0000-4000-8000-000000000001"
	there = "client-00000000-0000-4000-8000-000000000002"
)

// markedIn are e's personal fields, in the order in which they are written.
func markedIn(v reflect.Value) (marked []reflect.Value) {
	for f, value := range v.Fields() {
		switch {
		case f.Tag.Get("personal") == "yes":
			marked = append(marked, value)
		case value.Kind() == reflect.Struct && !implementsJSON(value.Type()):
			marked = append(marked, markedIn(value)...)
		}
	}
	return marked
}

// textsIn are all values in a personal field, as texts: one, or those of a list or map.
func textsIn(v reflect.Value) (texts []string) {
	if !v.IsValid() || v.IsZero() {
		return nil
	}
	if implementsJSON(v.Type()) {
		b, err := json.Marshal(v.Interface())
		if err != nil {
			panic(err)
		}
		return []string{strings.Trim(string(b), `"`)}
	}
	switch v.Kind() { //nolint:exhaustive // the others are nowhere, see fill
	case reflect.String:
		return []string{v.String()}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float64:
		return []string{fmt.Sprint(v.Interface())}
	case reflect.Interface, reflect.Pointer:
		return textsIn(v.Elem())
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return []string{string(v.Bytes())}
		}
		for i := range v.Len() {
			texts = append(texts, textsIn(v.Index(i))...)
		}
	case reflect.Map:
		for key, value := range v.Seq2() {
			texts = append(append(texts, textsIn(key)...), textsIn(value)...)
		}
	case reflect.Struct:
		for _, value := range v.Fields() {
			texts = append(texts, textsIn(value)...)
		}
	default:
	}
	return texts
}

// checkSealed looks for e's personal values in bytes that may not hold them.
func checkSealed(stored []byte, e any) error {
	for _, field := range markedIn(reflect.ValueOf(e)) {
		for _, value := range textsIn(field) {
			if len(value) < 3 { // found in anything
				continue
			}
			asJSON, _ := json.Marshal(value)
			for _, form := range [][]byte{[]byte(value), bytes.Trim(asJSON, `"`), inBase64(base64.RawURLEncoding, value), inBase64(base64.RawStdEncoding, value)} {
				if bytes.Contains(stored, form) {
					return fmt.Errorf("%q stands in the clear: %s", value, stored)
				}
			}
		}
	}
	return nil
}

// inBase64 is how a text begins whatever follows it.
func inBase64(enc *base64.Encoding, text string) []byte {
	return []byte(enc.EncodeToString([]byte(text)))[:len(text)*4/3]
}

// fill puts something recognisable into v, into each place of a list, map or struct.
// Nothing else in an event looks like it.
func fill(t *rapid.T, v reflect.Value) {
	switch to := v.Addr().Interface().(type) {
	case *time.Time:
		*to = time.Date(1871, 1, 1, 0, 0, 0, rapid.IntRange(1, 1e9-1).Draw(t, "time"), time.UTC)
		return
	case *uuid.UUID:
		*to = uuid.New()
		return
	case *json.RawMessage:
		*to = fmt.Appendf(nil, `"%s"`, recognisable.Filter(func(s string) bool { b, _ := json.Marshal(s); return string(b) == `"`+s+`"` }).Draw(t, "json"))
		return
	}
	if implementsJSON(v.Type()) {
		t.Fatalf("no way to fill in a personal %v: teach this test", v.Type())
	}
	switch v.Kind() { //nolint:exhaustive // see the default
	case reflect.String:
		v.SetString(recognisable.Draw(t, "text"))
	case reflect.Interface:
		in := recognisable.Draw(t, "any")
		v.Set(reflect.ValueOf(rapid.SampledFrom([]any{in, []any{in, true}, map[string]any{in: in}}).Draw(t, "of")))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(rapid.Int64Range(1e9, 2e9).Draw(t, "number"))
	case reflect.Uint, reflect.Uint32, reflect.Uint64:
		v.SetUint(rapid.Uint64Range(1e9, 2e9).Draw(t, "number"))
	case reflect.Float64:
		v.SetFloat(float64(rapid.Int64Range(1e9, 2e9).Draw(t, "number")) + 0.5)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem())
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(recognisable.Draw(t, "bytes")))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(t, v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, one := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(t, key)
			fill(t, one)
			v.SetMapIndex(key, one)
		}
	case reflect.Struct:
		for f, in := range v.Fields() {
			if f.IsExported() && f.Tag.Get("json") != "-" {
				fill(t, in)
			}
		}
	default:
		t.Fatalf("no way to fill in a personal %v: teach this test", v.Type())
	}
}

var recognisable = rapid.Map(rapid.StringN(4, 30, -1), func(s string) string { return "Zq§" + s })

// TestNothingPersonalInTheBytes is about every version of every type of event that has
// personal fields: its sample, with something else in all of these or in some.
func TestNothingPersonalInTheBytes(t *testing.T) {
	t.Parallel()
	found := 0
	for name, versions := range catalogue {
		for i, v := range versions {
			if !v.sealed.personal {
				continue
			}
			found++
			sample, err := os.ReadFile(filepath.Join("testdata", fmt.Sprintf("%s.v%d.json", name, i+1)))
			if err != nil {
				t.Fatal(err)
			}
			t.Run(fmt.Sprintf("%s/v%d", name, i+1), func(t *testing.T) {
				t.Parallel()
				rapid.Check(t, func(t *rapid.T) { checkPersonal(t, name, v, sample) })
			})
		}
	}
	if found < 20 {
		t.Errorf("%d versions of events have personal fields", found)
	}
}

// exported has what an early version embeds compared as well.
var exported = cmp.Exporter(func(reflect.Type) bool { return true })

func checkPersonal(t *rapid.T, name string, v version, sample []byte) {
	e := reflect.New(v.stored).Elem()
	if err := v.sealed.decode(sample, e, &opener{key: sampleKey, where: where(sampleStream(name), name)}); err != nil {
		t.Fatal(err)
	}
	all := rapid.Bool().Draw(t, "all")
	for _, field := range markedIn(e) {
		if field.SetZero(); all || rapid.IntRange(0, 4).Draw(t, "given") > 0 {
			fill(t, field)
		}
	}
	key := NewDataKey()
	stored, err := v.sealed.encode(e, sealer(key, here, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := checkSealed(stored, e.Interface()); err != nil {
		t.Fatal(err)
	}
	read := func(data []byte, key *DataKey) (any, []string) {
		got, o := reflect.New(v.stored).Elem(), opener{key: key, where: where(here, name)}
		if err := v.sealed.decode(data, got, &o); err != nil {
			t.Fatal(err)
		}
		return got.Interface(), o.erased
	}
	if got, erased := read(stored, key); erased != nil || cmp.Diff(e.Interface(), got, exported) != "" {
		t.Fatalf("erased %v\n%s", erased, cmp.Diff(e.Interface(), got, exported))
	}
	// The same through the path for what others have written anew.
	var spaced bytes.Buffer
	if err := json.Indent(&spaced, stored, " ", "\t"); err != nil {
		t.Fatal(err)
	}
	if got, erased := read(spaced.Bytes(), key); erased != nil || cmp.Diff(e.Interface(), got, exported) != "" {
		t.Fatalf("spaced: erased %v\n%s", erased, cmp.Diff(e.Interface(), got, exported))
	}
	// Without the key: nothing personal, all of it told, and the rest as it was.
	for _, form := range [][]byte{stored, spaced.Bytes()} {
		got, erased := read(form, nil)
		given := 0
		for _, field := range markedIn(e) {
			if !field.IsZero() {
				given++
			}
		}
		if len(erased) != given {
			t.Fatalf("erased %v, want %d paths", erased, given)
		}
		left := reflect.New(v.stored).Elem()
		left.Set(e)
		for _, field := range markedIn(left) {
			field.SetZero()
		}
		if diff := cmp.Diff(left.Interface(), got, exported); diff != "" {
			t.Fatalf("without the key it should be (-), and is (+)\n%s", diff)
		}
	}
	// What is read today, of an event whose key is gone, has nothing of it either.
	got, _, err := Decode(name, slices.IndexFunc(catalogue[name], func(o version) bool { return o.stored == v.stored })+1, stored, here, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range markedIn(reflect.ValueOf(got)) {
		if !field.IsZero() {
			t.Fatalf("%v is left", field)
		}
	}
}

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
