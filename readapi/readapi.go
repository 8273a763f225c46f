// Package readapi is the read side: it answers from the read models in
// PostgreSQL. It knows tables and views, not events.
package readapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/internal/accesslog"
	"annals/internal/blobs"
	"annals/internal/eventlog"
	"annals/internal/httpapi"
	"annals/internal/reader"
	"annals/internal/recent"
	"annals/internal/refusals"
)

// API answers reads.
type API struct {
	DB *reader.DB
	// Uses tells when API keys were last used.
	Uses     func(context.Context, []domain.ID) (map[domain.ID]time.Time, error)
	Refusals *refusals.Store
	Blobs    *blobs.Store // of documents; nil answers none
	// AccessLog has what is shown of clients recorded before it is; with nil nothing is shown.
	AccessLog *accesslog.Recorder
	Recent    *recent.Store // which clients employees have opened last; nil: nobody any
	Live      *Live         // nil: nobody is told of changes; see [API.Follow]
	Events    []string      // the types of events that there are
	// Place is where a client belongs by the log itself; known is false for one that there is not.
	Place    func(ctx context.Context, client domain.ID) (at domain.Place, known bool, err error)
	Now      func() time.Time
	Patience time.Duration // how long a read waits for the position that it asks for; 10 s if zero
	Counting time.Duration // how long a list waits until its number is estimated instead; 60 ms if zero
	Merging  time.Duration // how long a list is read along its arms until it is gathered instead; 250 ms if zero

	// Want has an index come into being of an expression over the rows of clients; nil: there will be none.
	Want func(ctx context.Context, name, expression string) error

	indexes indexes
}

// Routes is the whole read API, a line an answer.
func (a *API) Routes(api *httpapi.API) {
	a.streams(api) // before what has an id in the same place
	get(api, "/api/v1/clients", "List and search clients", a.clients)
	httpapi.Handle(api, httpapi.Op{ID: "query-clients", Method: http.MethodPost, Path: "/api/v1/clients/query", Summary: "List, search, filter and count clients", Tag: "clients"}, a.query)
	get(api, "/api/v1/clients/recent", "The clients that you have opened last, of those that you still see, the latest first", a.recent) // as above
	get(api, "/api/v1/clients/{id}", "One client, as it is or was at any moment", a.client)
	get(api, "/api/v1/clients/{id}/activity", "What happened with a client, newest first: actions, requests, notes, calls, messages, documents, and changes of the client itself", a.activity)
	get(api, "/api/v1/clients/{id}/activity/{item}", "One thing that happened with a client", a.oneActivity)
	get(api, "/api/v1/clients/{id}/history", "Everything that happened to a client: who, when, what changed from what to what", a.clientHistory)
	get(api, "/api/v1/clients/{id}/diff", "How a client differs between two moments", a.clientDiff)
	get(api, "/api/v1/clients/{id}/access", "Who can see a client, or could at a moment in the past, and why", a.clientAccess)
	get(api, "/api/v1/clients/{id}/access-log", "Who was shown what of a client, when and from where, the latest first: for who views what others did", a.clientAccessLog)
	get(api, "/api/v1/clients/{id}/erasure", "Whether a client can be erased or has been: the certificate of what was done, and why not if they are held", a.erasure)
	a.exportRoute(api)
	get(api, "/api/v1/clients/{id}/records", "What a client's tickets, transactions and integrations of other systems come to", a.allRecords)
	get(api, "/api/v1/clients/{id}/records/{kind}", "A client's tickets, transactions or integrations of other systems, with what they come to", a.records)
	get(api, "/api/v1/actions", "What somebody has to do, of all clients that you see: open, done or overdue actions, the next due first", a.actions)
	get(api, "/api/v1/projects", "List projects", a.projects)
	get(api, "/api/v1/projects/{id}", "One project", a.project)
	get(api, "/api/v1/desks", "List desks", a.desks)
	get(api, "/api/v1/desks/{id}", "One desk", a.desk)
	get(api, "/api/v1/employees", "List employees", a.employees)
	get(api, "/api/v1/employees/{id}", "One employee", a.employee)
	get(api, "/api/v1/employees/{id}/history", "Everything that happened to an employee: for who views what others did, or manages employees", a.employeeHistory)
	get(api, "/api/v1/employees/{id}/access-log", "What an employee was shown of clients, themselves and by their API keys, the latest first: for who views what others did", a.employeeAccessLog)
	get(api, "/api/v1/custom-fields", "List the custom fields of clients", a.customFields)
	get(api, "/api/v1/custom-fields/{id}", "One custom field", a.customField)
	get(api, "/api/v1/tags", "List the tags that are defined for clients", a.tags)
	get(api, "/api/v1/tags/{id}", "One tag", a.tag)
	get(api, "/api/v1/templates", "List the templates of messages, without what they say", a.templates)
	get(api, "/api/v1/templates/{id}", "One template", a.template)
	get(api, "/api/v1/views", "List the views of clients: your own, and those that are shared with you", a.views)
	get(api, "/api/v1/views/{id}", "One view", a.view)
	get(api, "/api/v1/retention-rules", "List the rules by which clients are erased when what is known of them is needed no longer", a.retentionRules)
	get(api, "/api/v1/retention-rules/{id}", "One retention rule, with how many clients are due", a.retentionRule)
	get(api, "/api/v1/retention-rules/{id}/due", "The clients that are due by a retention rule and since when, of those that you see: for who may erase or hold them, or views what others did", a.retentionDue)
	get(api, "/api/v1/roles", "List roles: the built-in ones, and those that were made", a.roles)
	get(api, "/api/v1/roles/{id}", "One role", a.role)
	get(api, "/api/v1/api-keys", "List API keys: one's own, and for who manages the settings all", a.keys)
	get(api, "/api/v1/api-keys/{id}", "One API key", a.key)
	a.documentRoutes(api)
	get(api, "/api/v1/notifications", "What you have been told: clients and actions that became yours, mentions, what is due, requests, imports; of clients that you still see", a.notifications)
	get(api, "/api/v1/notifications/preferences", "How you want to be told of each kind of notification", a.preferences)
	a.audited(api)
	a.refused(api)
}

func get[I, O any](api *httpapi.API, path, summary string, h func(context.Context, *I) (*O, error)) {
	httpapi.Handle(api, httpapi.GetOp(path, summary), h)
}

// After is in every read: how fresh the answer has to be.
type After struct {
	After string `header:"Annals-After" doc:"A position of the log, as a command answered it: the answer shows at least everything up to there" maxLength:"50"`
}

// Fresh is in every answer: how fresh it is.
type Fresh struct {
	Position string `header:"Annals-Position" doc:"The answer shows everything up to this position of the log"`
}

const freshness = `select commit, prepare from annals_read.freshness order by commit, prepare limit 1`

var errBehind = domain.Errorf(domain.Unavailable, "behind", "the read model has not reached that position yet; try again")

// wait returns when all read models have reached the position that in asks for.
func (a *API) wait(ctx context.Context, in After) error {
	if in.After == "" {
		return nil
	}
	want, err := eventlog.ParsePosition(in.After)
	if err != nil {
		return domain.Fault("Annals-After", "malformed", "is not a position of the log, as in Annals-Position")
	}
	return a.Shown(ctx, want)
}

// Shown returns when all read models have reached the position.
func (a *API) Shown(ctx context.Context, want eventlog.Position) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(a.Patience, 10*time.Second))
	defer cancel()
	for pause := time.Millisecond; ; pause = min(2*pause, 25*time.Millisecond) {
		var at position
		var b pgx.Batch
		b.Queue(freshness).QueryRow(func(r pgx.Row) error { return at.scan(r) })
		if err := a.DB.Ask(ctx, &b); err != nil && ctx.Err() == nil {
			return err
		}
		if eventlog.Position(at).Compare(want) >= 0 {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errBehind
		}
	}
}

// position reads the result of freshness.
type position eventlog.Position

func (p *position) scan(row pgx.Row) error {
	var commit, prepare *int64
	if err := row.Scan(&commit, &prepare); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("freshness: %w", err)
	}
	*p = reached(commit, prepare)
	return nil
}

// reached is the position that freshness tells, the zero one if it tells none.
func reached(commit, prepare *int64) position {
	if commit == nil || prepare == nil {
		return position{}
	}
	return position{uint64(*commit), uint64(*prepare)} //nolint:gosec // positions have 63 bits
}

func (p position) String() string { return eventlog.Position(p).String() }
