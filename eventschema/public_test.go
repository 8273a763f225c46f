package eventschema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

type schemaObject = map[string]any

// What the outside has been told of events stays true: a field that it was told of is
// there, of the same type. testdata/public has what it has been told; -update writes down
// what is added, and nothing that breaks a promise.
func TestNothingBreaks(t *testing.T) {
	dir := filepath.Join("testdata", "public")
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		known[name] = true
		now, ok := PublicSchema(name, "")
		if !ok {
			t.Errorf("%s is gone: who has got such events cannot look up any more what they are", name)
			continue
		}
		was, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(was, now) {
			continue
		}
		if broken := breaks(name, parsed(t, was), parsed(t, now)); len(broken) > 0 {
			t.Errorf("this breaks those who read events: add a version instead\n%s", strings.Join(broken, "\n"))
			continue
		}
		write(t, file, now)
	}
	for _, name := range Versions() {
		if !Public(category(name)) || known[name] {
			continue
		}
		now, ok := PublicSchema(name, "")
		if !ok {
			t.Fatal(name)
		}
		write(t, filepath.Join(dir, name+".json"), now)
	}
}

func write(t *testing.T, file string, raw []byte) {
	t.Helper()
	if !*update {
		t.Errorf("%s does not have what there is now: run go test ./eventschema -run TestNothingBreaks -update", file)
		return
	}
	if err := os.WriteFile(file, raw, 0o644); err != nil {
		t.Fatal(err)
	}
}

func parsed(t *testing.T, raw []byte) (s schemaObject) {
	t.Helper()
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// breaks is what somebody who relies on a schema would find different.
func breaks(at string, was, now schemaObject) (broken []string) {
	for _, word := range []string{"type", "format", "contentEncoding"} {
		if was[word] != nil && was[word] != now[word] {
			broken = append(broken, at+": "+word+" was "+text(was[word])+", and is "+text(now[word]))
		}
	}
	required, _ := now["required"].([]any)
	before, _ := was["required"].([]any)
	for _, name := range before {
		if !slices.Contains(required, name) {
			broken = append(broken, at+"."+text(name)+" was always there, and need not be")
		}
	}
	properties, _ := now["properties"].(schemaObject)
	told, _ := was["properties"].(schemaObject)
	for name, p := range told {
		q, ok := properties[name].(schemaObject)
		if !ok {
			broken = append(broken, at+"."+name+" is gone")
			continue
		}
		broken = append(broken, breaks(at+"."+name, p.(schemaObject), q)...)
	}
	for _, word := range []string{"items", "additionalProperties"} {
		if p, ok := was[word].(schemaObject); ok {
			q, _ := now[word].(schemaObject)
			broken = append(broken, breaks(at+"[]", p, q)...)
		}
	}
	return broken
}

func text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return "something else"
}

func TestBreaks(t *testing.T) {
	was := `{"type":"object","required":["id"],"properties":{"id":{"type":"string","format":"uuid"},"tags":{"type":"array","items":{"type":"string"}}}}`
	for now, want := range map[string]int{
		was: 0,
		`{"type":"object","required":["id","at"],"properties":{"id":{"type":"string","format":"uuid"},"at":{"type":"string"},"tags":{"type":"array","items":{"type":"string"}}}}`: 0,
		`{"type":"object","properties":{"id":{"type":"string","format":"uuid"},"tags":{"type":"array","items":{"type":"string"}}}}`:                                               1,
		`{"type":"object","required":["id"],"properties":{"id":{"type":"integer"},"tags":{"type":"array","items":{"type":"string"}}}}`:                                            2,
		`{"type":"object","required":["id"],"properties":{"id":{"type":"string","format":"uuid"}}}`:                                                                               1,
		`{"type":"object","required":["id"],"properties":{"id":{"type":"string","format":"uuid"},"tags":{"type":"array","items":{"type":"integer"}}}}`:                            1,
	} {
		if got := breaks("x", parsed(t, []byte(was)), parsed(t, []byte(now))); len(got) != want {
			t.Errorf("%s: %v, want %d", now, got, want)
		}
	}
}

// Samples of all types are as their public schemas say, whole and without what is personal.
func TestPublicSchema(t *testing.T) {
	for typ, versions := range catalogue {
		name := fmt.Sprintf("%s.v%d", typ, len(versions)) // what is told is brought up to today's
		t.Run(name, func(t *testing.T) {
			raw, ok := PublicSchema(name, "https://annals.example")
			if !ok {
				t.Fatal("there is none")
			}
			doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			url := "https://annals.example/api/v1/events/schemas/" + name
			c := jsonschema.NewCompiler()
			if err := c.AddResource(url, doc); err != nil {
				t.Fatal(err)
			}
			schema, err := c.Compile(url)
			if err != nil {
				t.Fatal(err)
			}
			stored, err := os.ReadFile(filepath.Join("testdata", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			e, _, err := Decode(typ, len(versions), stored, sampleStream(typ), sampleKey)
			if err != nil {
				t.Fatal(err)
			}
			whole, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			outline, err := Outline(e)
			if err != nil {
				t.Fatal(err)
			}
			for _, raw := range [][]byte{whole, outline} {
				v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
				if err != nil {
					t.Fatal(err)
				}
				if err := schema.Validate(v); err != nil {
					t.Errorf("%v\n%s", err, raw)
				}
			}
		})
	}
}
