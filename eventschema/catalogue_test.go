package eventschema

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

var update = flag.Bool("update", false, "write the samples that are missing: NAME.vN.now.json as NAME.vN.json is read, or NAME.vN.json from today's NAME.vN.now.json")

// Every sample is sealed under this key, in the stream of this id.
var sampleKey = &DataKey{0: 'a', 15: 'n', 31: 's'}

func sampleStream(name string) string {
	return category(name) + "-00000000-0000-4000-8000-000000000001"
}

// TestCatalogue reads one stored sample of every version there ever was. A
// sample is a promise: it may be added, never edited.
func TestCatalogue(t *testing.T) {
	for name, versions := range catalogue {
		for v := 1; v <= len(versions); v++ {
			t.Run(fmt.Sprintf("%s/v%d", name, v), func(t *testing.T) { testSample(t, name, v, v == len(versions)) })
		}
	}
}

func testSample(t *testing.T, name string, v int, today bool) {
	t.Helper()
	base := filepath.Join("testdata", fmt.Sprintf("%s.v%d", name, v))
	stored, err := os.ReadFile(base + ".json")
	if errors.Is(err, fs.ErrNotExist) && today && *update {
		stored, err = writeSample(t, name, base), nil
	}
	if err != nil {
		t.Fatalf("no sample: write what v%d looks like in the clear to %s.now.json, and run with -update", v, base)
	}
	e, erased, err := Decode(name, v, stored, sampleStream(name), sampleKey)
	if err != nil || len(erased) > 0 {
		t.Fatalf("erased %v: %v", erased, err)
	}
	got := inClear(t, e)
	if _, err := os.Stat(base + ".now.json"); *update && errors.Is(err, fs.ErrNotExist) {
		if err := os.WriteFile(base+".now.json", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, _ := os.ReadFile(base + ".now.json"); !bytes.Equal(got, want) {
		t.Errorf("reads as\n%swant\n%s", got, want)
	}
	if !today {
		return
	}
	for _, path := range empty(reflect.ValueOf(e), "") {
		t.Errorf("%s is not in the sample: fill in every field before its first release; afterwards it is a new version", path)
	}
	_, _, again, err := Encode(e, sampleStream(name), sampleKey)
	if err != nil {
		t.Fatal(err)
	}
	if now, then := mask(indent(t, again)), mask(stored); !bytes.Equal(now, then) {
		t.Errorf("%s changed shape without a new version. It was\n%sand would be\n%s", name, then, now)
	}
	if err := checkSealed(stored, e); err != nil {
		t.Error(err)
	}
}

// writeSample stores the event that today's clear reading tells.
func writeSample(t *testing.T, name, base string) []byte {
	t.Helper()
	reading, err := os.ReadFile(base + ".now.json")
	if err != nil {
		t.Fatal(err)
	}
	vs := catalogue[name]
	e := reflect.New(vs[len(vs)-1].typ)
	dec := json.NewDecoder(bytes.NewReader(reading))
	dec.DisallowUnknownFields()
	if err := dec.Decode(e.Interface()); err != nil {
		t.Fatal(err)
	}
	_, _, stored, err := Encode(e.Elem().Interface(), sampleStream(name), sampleKey)
	if err != nil {
		t.Fatal(err)
	}
	stored = indent(t, stored)
	if err := os.WriteFile(base+".json", stored, 0o644); err != nil {
		t.Fatal(err)
	}
	return stored
}

// inClear is an event for people to read.
func inClear(t *testing.T, e any) []byte {
	t.Helper()
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(e); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func indent(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		t.Fatal(err)
	}
	return append(out.Bytes(), '\n')
}

// mask hides what differs each time something is sealed.
func mask(b []byte) []byte {
	return regexp.MustCompile(`"\$sealed": "[^"]+"`).ReplaceAll(b, []byte(`"$$sealed": "…"`))
}

// empty returns the paths of v's fields that are not filled in.
func empty(v reflect.Value, path string) (paths []string) {
	if v.Kind() != reflect.Struct || implementsJSON(v.Type()) {
		if v.IsZero() {
			return []string{path}
		}
		return nil
	}
	for f, value := range v.Fields() {
		paths = append(paths, empty(value, strings.TrimPrefix(path+"."+f.Name, "."))...)
	}
	return paths
}

// TestNothingIsMissing holds the catalogue against the sources: every type with
// an event method is in it, and every sample in testdata belongs to an entry.
func TestNothingIsMissing(t *testing.T) {
	known := map[string]bool{}
	for typ := range names {
		known[typ.String()] = true // "client.Edited"
	}
	files, err := filepath.Glob("../domain/*/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	found := 0
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Recv == nil || fn.Name.Name != "event" {
				continue
			}
			found++
			if name := f.Name.Name + "." + types.ExprString(fn.Recv.List[0].Type); !known[name] {
				t.Errorf("%s is an event, but not in the catalogue", name)
			}
		}
	}
	if found+3 != len(catalogue) { // and those of keys, which are ours
		t.Errorf("%d events in the domain, %d in the catalogue", found, len(catalogue))
	}
	samples, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range samples {
		name, v := sampleOf(s)
		if v < 1 || v > len(catalogue[name]) {
			t.Errorf("%s is stored in the log, but not in the catalogue", s)
		}
	}
}

// sampleOf is which version of which event a file is a sample of: document.version_added
// and 1, of document.version_added.v1.json. The version is 0 when that cannot be told.
func sampleOf(file string) (name string, v int) {
	m := regexp.MustCompile(`^(.+)\.v(\d+)(?:\.now)?\.json$`).FindStringSubmatch(filepath.Base(file))
	if m == nil {
		return "", 0
	}
	v, _ = strconv.Atoi(m[2])
	return m[1], v
}

// inTheClear are the texts of events about people that are stored as they are,
// and why. Every other text in such an event is personal.
var inTheClear = map[string]string{
	"field.changed from.default":            "words of the house: what new clients have",
	"field.changed from.group":              "words of the house",
	"field.changed from.help":               "words of the house",
	"field.changed from.label":              "words of the house",
	"field.changed from.options":            "words of the house",
	"field.changed to.default":              "words of the house: what new clients have",
	"field.changed to.group":                "words of the house",
	"field.changed to.help":                 "words of the house",
	"field.changed to.label":                "words of the house",
	"field.changed to.options":              "words of the house",
	"field.defined default":                 "words of the house: what new clients have",
	"field.defined group":                   "words of the house",
	"field.defined help":                    "words of the house",
	"field.defined key":                     "words of the house",
	"field.defined label":                   "words of the house",
	"field.defined options":                 "words of the house",
	"field.defined type":                    "words of the product",
	"project.transitions_changed from":      "words of the product",
	"project.transitions_changed to":        "words of the product",
	"retention.changed from.action":         "words of the product",
	"retention.changed from.name":           "a rule of the house, about no person: certificates of erasure say it",
	"retention.changed from.since":          "words of the product",
	"retention.changed from.statuses":       "words of the product",
	"retention.changed to.action":           "words of the product",
	"retention.changed to.name":             "a rule of the house, about no person: certificates of erasure say it",
	"retention.changed to.since":            "words of the product",
	"retention.changed to.statuses":         "words of the product",
	"retention.defined action":              "words of the product",
	"retention.defined name":                "a rule of the house, about no person: certificates of erasure say it",
	"retention.defined since":               "words of the product",
	"retention.defined statuses":            "words of the product",
	"tag.changed from.colour":               "a colour",
	"tag.changed from.description":          "labels of the house, for groups of clients",
	"tag.changed from.name":                 "labels of the house, for groups of clients",
	"tag.changed to.colour":                 "a colour",
	"tag.changed to.description":            "labels of the house, for groups of clients",
	"tag.changed to.name":                   "labels of the house, for groups of clients",
	"tag.defined colour":                    "a colour",
	"tag.defined description":               "labels of the house, for groups of clients",
	"tag.defined name":                      "labels of the house, for groups of clients",
	"action.added type":                     "one word",
	"action.changed from.type":              "one word",
	"action.changed to.type":                "one word",
	"call.edited from.direction":            "one of two words",
	"call.edited from.outcome":              "one word",
	"call.edited to.direction":              "one of two words",
	"call.edited to.outcome":                "one word",
	"call.logged direction":                 "one of two words",
	"call.logged outcome":                   "one word",
	"document.added media_type":             "what a program takes the file for, by its content",
	"document.added stored_sha256":          "digest of what is encrypted",
	"document.version_added media_type":     "what a program takes the file for, by its content",
	"document.version_added stored_sha256":  "digest of what is encrypted",
	"request.status_changed from":           "one of four words",
	"request.status_changed to":             "one of four words",
	"client.edited from.type":               "person or company",
	"client.edited to.type":                 "person or company",
	"portal.access_granted cause":           "one of two words",
	"portal.access_revoked cause":           "one of two words",
	"client.registered type":                "person or company",
	"client.registered status":              "one of three words",
	"client.registered tags":                "labels of the house, for groups of clients",
	"client.retagged added":                 "labels of the house, for groups of clients",
	"client.retagged removed":               "labels of the house, for groups of clients",
	"client.status_changed from":            "one of three words",
	"client.status_changed to":              "one of three words",
	"employee.registered roles":             "names of roles",
	"project.created name":                  "a business unit is no person",
	"desk.created name":                     "a team is no person",
	"key.created master":                    "the name of a key",
	"key.created wrapped":                   "a key under another",
	"key.master_retired master":             "the name of a key",
	"key.master_retired retired":            "the name of a key",
	"key.master_retired wrapped":            "a key under another",
	"key.rewrapped master":                  "the name of a key",
	"key.rewrapped wrapped":                 "a key under another",
	"employee.assigned projects":            "ids",
	"employee.assigned desks":               "ids",
	"desk.created project_id":               "id",
	"project.created default_desk_id":       "id",
	"access.recorded entries":               "ids and words of the product: of what was searched for only how long it was; address and user agent as in metadata",
	"apikey.created name":                   "a program is no person",
	"apikey.created permissions":            "words of the product",
	"inbox.preferences_changed preferences": "words of the product",
	"employee.roles_changed from":           "names and ids of roles",
	"employee.roles_changed to":             "names and ids of roles",
	"employee.credential_changed what":      "words of the product",
	"employee.credential_changed how":       "words of the product",
	"record.added kind":                     "one of three words",
	"record.added system":                   "the name of a program",
	"record.added status":                   "a word of another system, about the record",
	"record.added currency":                 "the code of a currency",
	"record.updated from.status":            "a word of another system, about the record",
	"record.updated from.currency":          "the code of a currency",
	"record.updated to.status":              "a word of another system, about the record",
	"record.updated to.currency":            "the code of a currency",
	"role.created name":                     "a role is no person",
	"role.created permissions":              "words of the product",
	"role.changed from.name":                "a role is no person",
	"role.changed from.permissions":         "words of the product",
	"role.changed to.name":                  "a role is no person",
	"role.changed to.permissions":           "words of the product",
	"message.failed reason":                 "words of the product, and codes",
	"message.sent message_id":               "the id of the message, and our domain",
	"template.created default_language":     "a language tag",
	"template.created name":                 "a template is no person",
	"template.created texts":                "what the house writes to all clients",
	"template.edited from.default_language": "a language tag",
	"template.edited from.name":             "a template is no person",
	"template.edited from.texts":            "what the house writes to all clients",
	"template.edited to.default_language":   "a language tag",
	"template.edited to.name":               "a template is no person",
	"template.edited to.texts":              "what the house writes to all clients",
	"webhook.created types":                 "types of events",
	"webhook.created fields":                "names of fields",
	"webhook.created payload":               "one of two words",
	"webhook.created order":                 "one of two words",
	"webhook.changed from.types":            "types of events",
	"webhook.changed from.fields":           "names of fields",
	"webhook.changed from.payload":          "one of two words",
	"webhook.changed from.order":            "one of two words",
	"webhook.changed to.types":              "types of events",
	"webhook.changed to.fields":             "names of fields",
	"webhook.changed to.payload":            "one of two words",
	"webhook.changed to.order":              "one of two words",
	"webhook.disabled reason":               "one of two words",
	"webhook.replayed from.position":        "a position",
	"webhook.replayed to.position":          "a position",
	"view.changed from.columns":             "names of columns",
	"view.changed from.sort":                "names of columns",
	"view.changed from.shared.id":           "id",
	"view.changed from.shared.with":         "one of three words",
	"view.changed to.columns":               "names of columns",
	"view.changed to.sort":                  "names of columns",
	"view.changed to.shared.id":             "id",
	"view.changed to.shared.with":           "one of three words",
	"view.created columns":                  "names of columns",
	"view.created sort":                     "names of columns",
	"view.created shared.id":                "id",
	"view.created shared.with":              "one of three words",
	"defaultview.changed role":              "the name or id of a role",
	"client.erased basis":                   "one of four words",
	"client.erased reason":                  "stays as the reason for the certificate: what the client is called is refused in it",
	"client.erased requested_by":            "stays as well, likewise",
	"client.erased key_leaves":              "digests of the events of the key",
	"erasure.carried_out rows":              "names of tables, and numbers",
	"erasure.carried_out mails":             "a number",
	"erasure.cleaned rewritten":             "names of tables",
	"erasure.cleaned freed":                 "names of tables",
}

// personalLooking are the names of fields, and words in what is said about them, that
// suggest what somebody writes about a person or how to reach one.
var personalLooking = regexp.MustCompile(`(?i)name|mail|phone|fax|mobile|address|street|city|zip|postal|country|birth|reason|note|text|comment|describ|description|website|url|link|company|title|message|subject|body|contact|iban|account|passport|gender|number|digest|sha|amount|price`)

// TestPersonalIsMarked walks every field of every version ever stored: a text is
// personal unless it is listed above, and so is whatever is called or described like
// something personal.
func TestPersonalIsMarked(t *testing.T) {
	used := map[string]bool{}
	for name, versions := range catalogue {
		for _, v := range versions {
			for path, f := range clearFields(v.sealed, v.stored, "") {
				key := name + " " + path
				_, listed := inTheClear[key]
				used[key] = true
				switch text := holdsText(f.Type); {
				case listed:
				case text:
					t.Errorf("%s is a text in the clear: mark it `personal:\"yes\"`, or list it here with the reason", key)
				case personalLooking.MatchString(path), personalLooking.MatchString(f.Tag.Get("doc")):
					t.Errorf("%s looks personal: mark it `personal:\"yes\"`, or list it here with the reason", key)
				}
			}
		}
	}
	for key, reason := range inTheClear {
		if !used[key] || reason == "" {
			t.Errorf("%s is listed, and there is no such field in the clear, or no reason", key)
		}
	}
}

func clearFields(p *plan, t reflect.Type, path string) map[string]reflect.StructField {
	all := map[string]reflect.StructField{}
	for _, f := range p.fields {
		field := t.FieldByIndex(f.index)
		inner := f.inner
		if inner == nil && field.Type.Kind() == reflect.Struct && !implementsJSON(field.Type) {
			inner = newPlan(field.Type)
		}
		switch {
		case f.sealed:
		case inner != nil:
			maps.Copy(all, clearFields(inner, field.Type, path+f.name+"."))
		default:
			all[path+f.name] = field
		}
	}
	return all
}

// holdsText says whether a text may be in it, in whatever it is made of.
func holdsText(t reflect.Type) bool {
	if t == reflect.TypeFor[uuid.UUID]() || t == reflect.TypeFor[time.Time]() {
		return false
	}
	switch t.Kind() { //nolint:exhaustive // the others hold nothing
	case reflect.Slice, reflect.Array, reflect.Pointer:
		return t.Elem().Kind() == reflect.Uint8 || holdsText(t.Elem())
	case reflect.String, reflect.Interface, reflect.Map, reflect.Struct:
		return true
	default:
		return implementsJSON(t)
	}
}

func TestCategories(t *testing.T) {
	if got, want := Categories(), []string{"access", "action", "apikey", "call", "client", "defaultview", "desk", "document", "employee", "erasure", "favourite", "field", "import", "inbox", "key", "message", "note", "portal", "project", "record", "request", "retention", "role", "tag", "template", "view", "webhook"}; !slices.Equal(got, want) {
		t.Errorf("categories = %v, want %v", got, want)
	}
	Categories()[0] = "changed"
	if Categories()[0] == "changed" {
		t.Error("the caller holds our list")
	}
	for c, want := range map[string]bool{"client": true, "employee": true, "note": true, "portal": true, "message": true, "action": true, "request": true, "call": true, "record": true, "project": false, "desk": false, "field": false, "key": false, "role": false, "tag": false, "template": false, "apikey": false, "import": false, "inbox": false, "favourite": false, "access": false, "defaultview": false, "view": true, "webhook": true, "other": false} {
		if HasKey(c) != want {
			t.Errorf("streams of %s have a key = %v", c, !want)
		}
	}
	for name := range catalogue {
		if !regexp.MustCompile(`^[a-z]+\.[a-z_]+$`).MatchString(name) {
			t.Errorf("%s is not how events are named", name)
		}
	}
}
