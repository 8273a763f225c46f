package readapi

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
)

// jsonExport writes an object that is a clientExport, item by item.
type jsonExport struct {
	w     io.Writer
	open  bool // a section has begun
	items int  // of it
}

func newJSONExport(w io.Writer) exporter { return &jsonExport{w: w} }

func (j *jsonExport) head(h ExportHead) error {
	raw, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return j.put(bytes.TrimSuffix(raw, []byte("}")))
}

func (j *jsonExport) section(s exportSection) error {
	begin := ",\n"
	if j.open {
		begin = "],\n"
	}
	j.open, j.items = true, 0
	return j.put([]byte(begin + `"` + s.name + `":[`))
}

func (j *jsonExport) item(v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	between := "\n"
	if j.items++; j.items > 1 {
		between = ",\n"
	}
	return j.put([]byte(between), raw)
}

func (j *jsonExport) end() error { return j.put([]byte("]}\n")) }

func (j *jsonExport) put(parts ...[]byte) error {
	for _, p := range parts {
		if _, err := j.w.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// htmlExport writes one page that anybody can read. It runs nothing, and loads nothing:
// whatever is in it is text.
type htmlExport struct {
	w     io.Writer
	items int // of the section
}

func newHTMLExport(w io.Writer) exporter { return &htmlExport{w: w} }

//go:embed export.html.tmpl
var exportText string

var exportTemplate = template.Must(template.New("export").Funcs(template.FuncMap{
	"fields": func(v any) []fieldShown { f, _ := v.([]fieldShown); return f },
	"values": func(v any) []any { l, _ := v.([]any); return l },
}).Parse(exportText))

func (h *htmlExport) head(head ExportHead) error {
	shown, err := readable(head)
	if err != nil {
		return err
	}
	return exportTemplate.ExecuteTemplate(h.w, "head", map[string]any{"Name": head.Record.Name, "Fields": shown})
}

func (h *htmlExport) section(s exportSection) error {
	if err := h.none(); err != nil {
		return err
	}
	h.items = 0
	return exportTemplate.ExecuteTemplate(h.w, "section", s.title)
}

// none says of a section that there was nothing in it, where that is so.
func (h *htmlExport) none() error {
	if h.items > 0 {
		return nil
	}
	return exportTemplate.ExecuteTemplate(h.w, "none", nil)
}

func (h *htmlExport) item(v any) error {
	h.items++
	shown, err := readable(v)
	if err != nil {
		return err
	}
	return exportTemplate.ExecuteTemplate(h.w, "item", shown)
}

func (h *htmlExport) end() error {
	if err := h.none(); err != nil {
		return err
	}
	return exportTemplate.ExecuteTemplate(h.w, "end", nil)
}

// fieldShown is a field that says something.
type fieldShown struct {
	Name  string
	Value any // text, []any, or []fieldShown
}

// unread are fields for programs, which the export as JSON has.
var unread = []string{"stream", "revision", "position", "positions", "event_id", "command_id", "correlation_id", "causation_id", "app", "schema", "warnings"}

// readable is what a value says in JSON, in its order: fields of structs, lists and texts,
// without what is empty.
func readable(v any) (any, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	shown, err := readValue(d)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	return shown, nil
}

// readValue is the next value; nil if it is empty.
func readValue(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Delim:
		if t == '[' {
			return readList(d)
		}
		return readFields(d)
	case string:
		if t = strings.TrimSpace(t); t != "" {
			return t, nil
		}
	case bool:
		if t {
			return "yes", nil
		}
	case json.Number:
		return t.String(), nil
	}
	return nil, nil
}

func readList(d *json.Decoder) (any, error) {
	var all []any
	for d.More() {
		v, err := readValue(d)
		if err != nil {
			return nil, err
		}
		if v != nil {
			all = append(all, v)
		}
	}
	_, err := d.Token()
	if len(all) == 0 {
		return nil, err
	}
	return all, err
}

func readFields(d *json.Decoder) (any, error) {
	var all []fieldShown
	written := false // as text, so that it need not be shown as HTML
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := t.(string)
		v, err := readValue(d)
		if err != nil {
			return nil, err
		}
		if v == nil || slices.Contains(unread, name) {
			continue
		}
		written = written || name == "text" || name == "answer"
		all = append(all, fieldShown{name, v})
	}
	_, err := d.Token()
	if written {
		all = slices.DeleteFunc(all, func(f fieldShown) bool { return f.Name == "html" })
	}
	for i := range all {
		all[i].Name = strings.ReplaceAll(all[i].Name, "_", " ")
	}
	if len(all) == 0 {
		return nil, err
	}
	return all, err
}
