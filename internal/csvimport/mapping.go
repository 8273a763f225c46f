package csvimport

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/google/uuid"

	"annals/domain/client"
)

// Fields are the names of all that a row can give a client, one inside another
// written outer.inner. Beside them there are those of [keyed].
func Fields() []string {
	return append(client.Fields(), "project_id", "desk_id", "manager_id", "status", "tags")
}

// keyed are fields that hold values by keys that people make up: meta.KEY, say.
var keyed = []string{"custom", "external_ids", "meta"}

// inKeyed is the field and key of a name like that.
func inKeyed(name string) (field, key string, ok bool) {
	field, key, _ = strings.Cut(name, ".")
	return field, key, key != "" && slices.Contains(keyed, field)
}

// ParseMap reads pairs field=Column, separated by commas, into a map from field to
// column. A column with a comma or a quote is written as in CSV: either the column
// or the whole pair in quotes, quotes inside doubled. Several texts add up. The
// error is a [*UsageError]; whether fields and columns exist, [Run] says.
func ParseMap(texts ...string) (map[string]string, error) {
	m := map[string]string{}
	for _, text := range texts {
		for rest, more := text, true; more; {
			var field, column string
			var err error
			if field, column, rest, more, err = parsePair(rest); err != nil {
				return nil, err
			}
			if was, twice := m[field]; twice {
				return nil, usagef("map: field %s is given two columns, %q and %q", field, was, column)
			}
			m[field] = column
		}
	}
	return m, nil
}

// parsePair reads the first pair of text. More says that a comma follows it.
func parsePair(text string) (field, column, rest string, more bool, err error) {
	fail := func() (string, string, string, bool, error) {
		return "", "", "", false, usagef("map: %q is not field=Column, pairs separated by commas", text)
	}
	text = strings.TrimSpace(text)
	whole := strings.HasPrefix(text, `"`)
	var pair string
	if whole {
		var ok bool
		if pair, rest, ok = unquote(text); !ok {
			return fail()
		}
		field, column, ok = strings.Cut(pair, "=")
		if !ok {
			return fail()
		}
	} else {
		var ok bool
		if field, rest, ok = strings.Cut(text, "="); !ok {
			return fail()
		}
		if rest = strings.TrimSpace(rest); strings.HasPrefix(rest, `"`) {
			if column, rest, ok = unquote(rest); !ok {
				return fail()
			}
		} else if i := strings.IndexByte(rest, ','); i >= 0 {
			column, rest = rest[:i], rest[i:]
		} else {
			column, rest = rest, ""
		}
	}
	field, column, rest = strings.TrimSpace(field), strings.TrimSpace(column), strings.TrimSpace(rest)
	if field == "" || column == "" {
		return fail()
	}
	if rest == "" {
		return field, column, "", false, nil
	}
	if rest, more = strings.CutPrefix(rest, ","); !more {
		return fail()
	}
	return field, column, rest, true, nil
}

// unquote reads the quoted text that s begins with.
func unquote(s string) (text, rest string, ok bool) {
	var b strings.Builder
	for s = s[1:]; ; {
		i := strings.IndexByte(s, '"')
		if i < 0 {
			return "", "", false
		}
		b.WriteString(s[:i])
		if s = s[i+1:]; !strings.HasPrefix(s, `"`) {
			return b.String(), s, true
		}
		b.WriteByte('"')
		s = s[1:]
	}
}

// mapping makes commands of rows.
type mapping struct {
	targets []target // sorted by field
	fixed   map[string]string
	null    []string
}

// target is a field that a column gives.
type target struct {
	field  string
	column int
}

func newMapping(header []string, o Options) (*mapping, error) {
	m := &mapping{null: o.Null, fixed: map[string]string{}}
	for name, id := range map[string]string{"project_id": o.Project, "desk_id": o.Desk} {
		if id == "" {
			continue
		}
		parsed, err := uuid.Parse(id)
		if err != nil {
			return nil, usagef("%s: %q is not an id", strings.TrimSuffix(name, "_id"), id)
		}
		m.fixed[name] = parsed.String()
	}
	columns, err := mapped(header, o.Map)
	if err != nil {
		return nil, err
	}
	for field, column := range columns {
		m.targets = append(m.targets, target{field, column})
	}
	slices.SortFunc(m.targets, func(a, b target) int { return strings.Compare(a.field, b.field) })
	if _, given := columns["project_id"]; !given && o.Project == "" {
		return nil, usagef("project: clients belong to one: name it, or map a column to project_id")
	}
	return m, nil
}

// mapped is the column of each field that has one.
func mapped(header []string, want map[string]string) (map[string]int, error) {
	if len(want) == 0 {
		return sameNames(header)
	}
	known := Fields()
	columns := map[string]int{}
	for _, field := range slices.Sorted(maps.Keys(want)) {
		if _, _, free := inKeyed(field); !free && !slices.Contains(known, field) {
			return nil, usagef("map: there is no field %q; there are %s, and %s.KEY", field, strings.Join(known, ", "), strings.Join(keyed, ".KEY, "))
		}
		name := strings.TrimSpace(want[field])
		found := columnsNamed(header, func(h string) bool { return h == name })
		if len(found) == 0 {
			found = columnsNamed(header, func(h string) bool { return fold(h) == fold(name) })
		}
		switch len(found) {
		case 0:
			return nil, usagef("map: the file has no column %q for %s; it has %s", name, field, quoteAll(header))
		case 1:
			columns[field] = found[0]
		default:
			return nil, usagef("map: the file has %d columns %q; it is not clear which one %s is", len(found), name, field)
		}
	}
	return columns, nil
}

// sameNames maps the columns that are called like a field, or like the inner part
// of one: of an address, the first.
func sameNames(header []string) (map[string]int, error) {
	columns := map[string]int{}
	for i, h := range header {
		h = strings.TrimSpace(h)
		if _, _, free := inKeyed(h); !free {
			continue
		}
		if first, twice := columns[h]; twice {
			return nil, usagef("the columns %q and %q could both be %s: say which in a map", header[first], header[i], h)
		}
		columns[h] = i
	}
	for _, field := range Fields() {
		inner := field[strings.LastIndexByte(field, '.')+1:]
		if strings.HasPrefix(field, "work_address.") || strings.HasPrefix(field, "billing_address.") {
			inner = field
		}
		found := columnsNamed(header, func(h string) bool { return fold(h) == fold(field) || fold(h) == fold(inner) })
		switch len(found) {
		case 0:
		case 1:
			columns[field] = found[0]
		default:
			return nil, usagef("the columns %q and %q could both be %s: say which in a map", header[found[0]], header[found[1]], field)
		}
	}
	if len(columns) == 0 {
		return nil, usagef("no column is called like a field: say in a map which is which; the fields are %s; the columns are %s",
			strings.Join(Fields(), ", "), quoteAll(header))
	}
	return columns, nil
}

func columnsNamed(header []string, is func(string) bool) []int {
	var found []int
	for i, h := range header {
		if is(strings.TrimSpace(h)) {
			found = append(found, i)
		}
	}
	return found
}

// fold makes names equal that people take for the same: First Name, first_name.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || strings.ContainsRune("_-.", r) {
			return -1
		}
		return unicode.ToLower(r)
	}, s)
}

// quoteAll lists names for a message, not without end.
func quoteAll(names []string) string {
	const most = 50
	var quoted []string
	for i, n := range names {
		if i == most {
			quoted = append(quoted, fmt.Sprintf("and %d more", len(names)-most))
			break
		}
		quoted = append(quoted, strconv.Quote(n))
	}
	return strings.Join(quoted, ", ")
}

// command is the body that registers the client in a row, and its idempotency key.
//
// The key is a digest of the fields that are not empty, each as name, length and
// value, sorted by name: it does not depend on the order of columns, on fields that
// the row leaves out, or on how JSON is written. Changing this makes every file new.
func (m *mapping) command(row []string) (key string, body []byte, err error) {
	values := make(map[string]string, len(m.targets)+len(m.fixed))
	maps.Copy(values, m.fixed)
	for _, t := range m.targets {
		if v := m.value(t.field, row[t.column]); v != "" {
			values[t.field] = v
		}
	}
	names := slices.Sorted(maps.Keys(values))
	tree := make(map[string]any, len(names))
	var canonical []byte
	for _, name := range names {
		v := values[name]
		canonical = fmt.Appendf(canonical, "%s=%d:%s\n", name, len(v), v)
		if field, key, free := inKeyed(name); free {
			in, ok := tree[field].(map[string]any)
			if !ok {
				in = map[string]any{}
				tree[field] = in
			}
			in[key] = v
			continue
		}
		inner, leaf := tree, name
		for outer, rest, more := strings.Cut(leaf, "."); more; outer, rest, more = strings.Cut(leaf, ".") {
			next, ok := inner[outer].(map[string]any)
			if !ok {
				next = map[string]any{}
				inner[outer] = next
			}
			inner, leaf = next, rest
		}
		if name == "tags" {
			inner[leaf] = strings.Split(v, ";")
		} else {
			inner[leaf] = v
		}
	}
	digest := sha256.Sum256(canonical)
	body, err = json.Marshal(tree)
	return "import-" + hex.EncodeToString(digest[:16]), body, err
}

// value is what a cell says, or nothing.
func (m *mapping) value(field, cell string) string {
	cell = strings.TrimSpace(cell)
	if slices.Contains(m.null, cell) {
		return ""
	}
	switch field {
	case "type", "status": // closed lists, which others write with capitals
		return strings.ToLower(cell)
	case "tags":
		tags := strings.FieldsFunc(cell, func(r rune) bool { return r == ';' || r == '|' })
		for i := range tags {
			tags[i] = strings.TrimSpace(tags[i])
		}
		slices.Sort(tags)
		return strings.TrimPrefix(strings.Join(slices.Compact(tags), ";"), ";") // the empty one sorts first
	}
	return cell
}
