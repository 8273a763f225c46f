package eventschema

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"
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
