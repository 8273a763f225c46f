package readapi

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/accesslog"
	"annals/internal/httpapi"
)

// ExportHead is the beginning of an export. It is exported for huma, see ActivityData.
type ExportHead struct {
	ClientID   uuid.UUID    `json:"client_id" format:"uuid"`
	ExportedAt time.Time    `json:"exported_at"`
	Position   string       `json:"position" doc:"The export shows everything up to this position of the log"`
	Record     clientRecord `json:"record" doc:"What is known of the client now. What other clients have to do with it is not part of an export: there are no warnings"`
	Erasure    erasureState `json:"erasure" doc:"Whether the person has been erased, or may not be"`
}

// clientExport is everything that there is about a client, each part the oldest first.
type clientExport struct {
	ExportHead
	Activities []activityItem `json:"activities" doc:"Notes, calls, actions, requests, messages, and documents, without their bytes: as they are now. What they were before, and what was deleted, the history tells"`
	Documents  []documentItem `json:"documents" doc:"Those that are there, with all versions. Their bytes: GET /api/v1/clients/{id}/documents/{item}/content"`
	Records    []recordItem   `json:"records" doc:"Tickets, transactions and integrations of other systems"`
	History    []historyItem  `json:"history" doc:"All that happened to the client and to what belongs to it, with what changed from what to what; without the addresses that employees came from"`
	Looks      []lookExported `json:"access_log" doc:"When the client was shown to somebody, and what of it"`
}

// lookExported is that the client was shown to somebody.
type lookExported struct {
	At       time.Time      `json:"at"`
	Kind     accesslog.Kind `json:"kind" doc:"As in the client's access log"`
	Item     *uuid.UUID     `json:"item,omitempty" format:"uuid" doc:"What of the client, as a document"`
	AsOf     string         `json:"as_of,omitempty" doc:"The moment in the past that was asked for"`
	Actor    *named         `json:"actor,omitempty" doc:"To whom: told to those who may view what others did"`
	Employee *named         `json:"employee,omitempty" doc:"The same, or the employee whose key it is"`
}

// exporter writes an export in its order: the head, each section with its items, the end.
type exporter interface {
	head(ExportHead) error
	section(exportSection) error
	item(any) error
	end() error
}

type exportRequest struct {
	ID uuid.UUID `path:"id" format:"uuid"`
	After
	Format string `query:"format" doc:"json, or one page to be read" enum:"json,html" default:"json"`
}

// exportPage is how many items are in memory at a time.
const exportPage = 200

func (a *API) exportRoute(api *httpapi.API) {
	op := httpapi.GetOp("/api/v1/clients/{id}/export", "Everything that there is about a client as a file, to be handed to them")
	op.Needs = domain.ClientsExport
	httpapi.HandleExport(api, op, clientExport{}, []string{"text/html"}, a.export)
}

// export is for who may export the client. It is recorded before anything of it is made.
func (a *API) export(ctx context.Context, in *exportRequest) (*httpapi.Export, error) {
	x := &export{a: a, id: in.ID}
	head, err := x.begin(ctx, in.After)
	if err != nil {
		return nil, err
	}
	if err := a.shown(ctx, accesslog.Export, in.ID); err != nil {
		return nil, err
	}
	file, format := &httpapi.Export{
		Name: "client-" + in.ID.String() + ".json", MediaType: "application/json", Header: http.Header{"Annals-Position": {head.Position}},
	}, newJSONExport
	if in.Format == "html" {
		file.Name, file.MediaType, format = "client-"+in.ID.String()+".html", "text/html; charset=utf-8", newHTMLExport
	}
	file.Write = func(ctx context.Context, w io.Writer) error { return x.write(ctx, head, format(w)) }
	return file, nil
}

// export is one in the making.
type export struct {
	a  *API
	id uuid.UUID
	// As the last statement found it:
	seen, may, audited bool
}

// allowed queues the finding what the caller may, which the policies on what belongs to
// the client go by until the batch ends. It is found for each page anew, since a client
// can be taken away from who is exporting it.
func (x *export) allowed(ctx context.Context) func(*pgx.Batch) {
	who := access.Authority(ctx)
	q := visibleClients(ctx)
	q.and("c.id = " + q.bind(x.id))
	found := "select c.id::text from annals_read.clients c where " + q.all()
	exports, audits := access.Clients(who, domain.ClientsExport, "c", q.bind), access.Clients(who, domain.AuditView, "c", q.bind)
	sql := fmt.Sprintf(`select exists (%[1]s), m.id <> '', exists (%[1]s and %[2]s), set_config('annals.client', m.id, true), set_config('annals.looked_at', m.id, true)
		from (select coalesce((%[1]s and %[3]s), '') as id) m`, found, audits, exports)
	return func(b *pgx.Batch) {
		b.Queue(sql, q.args...).QueryRow(func(row pgx.Row) error {
			return row.Scan(&x.seen, &x.may, &x.audited, new(string), new(string))
		})
	}
}

// refused is why nothing may be shown, if so.
func (x *export) refused() error {
	switch {
	case !x.seen:
		return errClientAbsent
	case !x.may:
		return domain.ErrForbidden
	}
	return nil
}

// begin reads the head, if the caller may have it.
func (x *export) begin(ctx context.Context, after After) (head ExportHead, err error) {
	q := visibleClients(ctx)
	q.before = x.allowed(ctx)
	record, err := fetchOne(ctx, x.a, wholeSource, q, byID{x.id, after}, "client", clientRecordRow.record)
	if err != nil {
		return head, err
	}
	if err := x.refused(); err != nil {
		return head, err
	}
	erasure, _, err := x.a.erasureOf(ctx, x.id)
	if err != nil {
		return head, err
	}
	erasure.Body.Position = record.Position
	return ExportHead{x.id, x.a.Now(), record.Position, record.Body, erasure.Body}, nil
}

// exportSection is one part of an export.
type exportSection struct {
	name, title string
	write       func(*export, context.Context, func(any) error) error
}

var exportSections = []exportSection{
	{"activities", "What happened: notes, calls, actions, requests, messages, documents", (*export).activities},
	{"documents", "Documents", (*export).documents},
	{"records", "Records of other systems", (*export).records},
	{"history", "History", (*export).history},
	{"access_log", "Who was shown this client", (*export).looks},
}

func (x *export) write(ctx context.Context, head ExportHead, to exporter) error {
	if err := to.head(head); err != nil {
		return err
	}
	for _, s := range exportSections {
		if err := to.section(s); err != nil {
			return err
		}
		if err := s.write(x, ctx, to.item); err != nil {
			return fmt.Errorf("export: %s: %w", s.name, err)
		}
	}
	return to.end()
}

// exportAll puts all rows of a list, a page at a time.
func exportAll[R interface{ end() []*string }, T any](ctx context.Context, x *export, s source, sort string, q *query, item func(R) T, put func(any) error) error {
	q.before = x.allowed(ctx)
	for in := (Page{Sort: sort, Limit: exportPage}); ; {
		page, err := fetch(ctx, x.a, s, q, in, item)
		if err != nil {
			return err
		}
		if err := x.refused(); err != nil {
			return err
		}
		for _, one := range page.Body.Items {
			if err := put(one); err != nil {
				return err
			}
		}
		if in.Cursor = page.Body.NextCursor; in.Cursor == "" {
			return nil
		}
	}
}

// activities are the feed without the changes of the client, which the history has.
func (x *export) activities(ctx context.Context, put func(any) error) error {
	q := &query{}
	q.and(foundVisible)
	for _, kind := range kinds {
		if kind != "change" {
			q.arms = append(q.arms, arm{"a.client_id", []uuid.UUID{x.id}, "a.kind = '" + kind + "'"})
		}
	}
	return exportAll(ctx, x, activitySource, "at", q, x.a.activityItem(), put)
}

// documentsSource lists documents with all their versions.
var documentsSource = func() source {
	s := wholeDocumentSource
	s.sorts = documentSource.sorts
	return s
}()

func (x *export) documents(ctx context.Context, put func(any) error) error {
	q := &query{}
	q.and("a.kind = 'document' and a.client_id = " + q.bind(x.id))
	q.and(notDeleted)
	return exportAll(ctx, x, documentsSource, "at", q, documentRow.whole, put)
}

func (x *export) records(ctx context.Context, put func(any) error) error {
	q := &query{}
	for _, kind := range []string{"tickets", "transactions", "integrations"} {
		q.arms = append(q.arms, arm{"r.client_id", []uuid.UUID{x.id}, "r.kind = '" + kind + "'"})
	}
	return exportAll(ctx, x, recordSource, "added_at", q, recordRow.item, put)
}

func (x *export) history(ctx context.Context, put func(any) error) error {
	q := &query{arms: []arm{{"h.client_id", []uuid.UUID{x.id}, ""}}}
	return exportAll(ctx, x, storySource, "position", q, func(r historyRow) historyItem { return r.item(false) }, put)
}

func (x *export) looks(ctx context.Context, put func(any) error) error {
	q := &query{arms: []arm{{"l.client_id", []uuid.UUID{x.id}, ""}}}
	return exportAll(ctx, x, lookedAtSource, "at", q, func(r lookRow) lookExported {
		look := lookExported{At: r.At, Kind: accesslog.Kind(r.Kind), Item: r.Item, AsOf: r.AsOf}
		if x.audited {
			who, employee := actor(r.ActorID, r.ActorName), actor(r.EmployeeID, r.EmployeeName)
			look.Actor, look.Employee = &who, &employee
		}
		return look
	}, put)
}
