package bundle

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"annals/internal/audit"
	"annals/internal/audit/proof"
)

var (
	//go:embed report.html
	reportHTML string
	reportPage = template.Must(template.New("report").Funcs(template.FuncMap{
		"time": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000000") },
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
}

func newReport(w io.Writer, scope Scope, source *Source, c audit.Issued) *report {
	return &report{w, scope, source, c}
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

func (r *report) event(t *told) error {
	return r.part("event", struct {
		*told
		Fields string
	}{t, t.fields()})
}

func (r *report) end(events int64) error { return r.part("end", events) }
