package bundle

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"strings"
	"time"

	"annals/internal/audit"
	"annals/internal/audit/proof"
)

var (
	//go:embed report.html
	reportHTML string
	reportPage = template.Must(template.New("report").Funcs(template.FuncMap{
		"time": func(t time.Time) string { return t.UTC().Format(moment) },
	}).Parse(reportHTML))
	//go:embed readme.txt
	readme string
)

// report writes the page for people, event by event.
type report struct {
	w          io.Writer
	scope      Scope
	source     *Source
	checkpoint audit.Issued
	row        []byte
}

func newReport(w io.Writer, scope Scope, source *Source, c audit.Issued) *report {
	return &report{w: w, scope: scope, source: source, checkpoint: c}
}

func (r *report) part(name string, data any) error {
	if err := reportPage.ExecuteTemplate(r.w, name, data); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

func (r *report) begin() error {
	c, by, err := proof.Open(r.checkpoint.Note, r.source.Key.Verifier, r.source.Witnesses...)
	if err != nil {
		return err
	}
	return r.part("begin", struct {
		Scope, App string
		Made       time.Time
		Checkpoint proof.Checkpoint
		Root       string
		By         []proof.Cosigned
	}{r.scope.String(), r.source.App, r.source.Now(), c, strings.Split(c.Text(), "\n")[2], by})
}

// event writes a row. It is not a template, which takes ten times as long as all else
// that an event takes; whatever is not ours in it goes through text.
func (r *report) event(t *told) error {
	b := r.row[:0]
	text := func(before, s, after string) {
		b = append(b, before...)
		b = append(b, template.HTMLEscapeString(s)...)
		b = append(b, after...)
	}
	small := func(s string) {
		if strings.TrimSpace(s) != "" {
			text(`<div class="small">`, s, `</div>`)
		}
	}
	text("<tr><td>", strconv.FormatInt(t.Index, 10), "</td>")
	text("<td>", t.At.UTC().Format(moment), "</td><td>")
	if t.Actor != nil {
		text("", cmp.Or(t.Actor.Name, "somebody"), "")
		small(t.Actor.ID.String())
	}
	small(t.IP + " " + t.UserAgent)
	text("</td><td>", t.Type, "")
	detail := fmt.Sprintf("%s, revision %d", t.Stream, t.Revision)
	if t.Schema > 0 {
		detail += fmt.Sprintf(", version %d, software %s, command %s", t.Schema, t.App, t.CommandID)
	}
	small(detail)
	if fields := t.fields(); fields != "" {
		text("<pre>", fields, "</pre>")
	}
	if len(t.Erased) > 0 {
		small("gone with the person: " + strings.Join(t.Erased, ", "))
	}
	small(t.Error)
	b = append(b, "</td></tr>\n"...)
	r.row = b
	if _, err := r.w.Write(b); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

const moment = "2006-01-02 15:04:05.000000"

func (r *report) end(events int64) error { return r.part("end", events) }
