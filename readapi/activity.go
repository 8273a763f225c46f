package readapi

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/internal/accesslog"
	"annals/internal/markdown"
)

// kinds are what a feed is made of.
var kinds = []string{"action", "request", "note", "call", "message", "document", "change"}

// activityItem is something that happened with a client. Which of the fields after
// those that all have is there depends on the kind.
type activityItem struct {
	ID       uuid.UUID `json:"id" format:"uuid"`
	Kind     string    `json:"kind" enum:"action,request,note,call,message,document,change"`
	At       time.Time `json:"at" doc:"When it happened, by which the feed is sorted"`
	Actor    named     `json:"actor" doc:"Who wrote it down"`
	Position string    `json:"position"`
	Revision int64     `json:"revision" doc:"Send it as If-Match with a command to change this"`
	Client   *named    `json:"client,omitempty" doc:"In lists of what happened with several clients"`
	Pinned   bool      `json:"pinned,omitempty"`
	Erased   bool      `json:"erased,omitempty" doc:"The person has been erased, and with them what this said"`
	ActivityData
	Assignee *named     `json:"assignee,omitempty" doc:"Of an action or a request: who is to do it"`
	DueAt    *time.Time `json:"due_at,omitempty" doc:"Of an action: by when"`
	Overdue  bool       `json:"overdue,omitempty" doc:"Of an action: it should have been done by now, and is not"`
	Changes  []change   `json:"changes,omitempty" doc:"Of a change: what changed from what to what"`
	Reason   string     `json:"reason,omitempty" doc:"Of a change, of a message that failed"`
}

// ActivityData is what the kinds have to say, as it is stored. It is exported for huma,
// which does not look into what is not.
type ActivityData struct {
	Type           string            `json:"type,omitempty" doc:"Of a change: the type of its event. Of an action: what kind of work it is"`
	Title          string            `json:"title,omitempty" doc:"Of an action: what is to be done"`
	Text           string            `json:"text,omitempty" doc:"As it was written: of a note, an action and a call in Markdown; of a request what the client asks for"`
	Name           string            `json:"name,omitempty" doc:"Of a document: what the file is called"`
	Description    string            `json:"description,omitempty" doc:"Of a document"`
	Size           int64             `json:"size,omitempty" doc:"Of a document's latest version, in bytes"`
	MediaType      string            `json:"media_type,omitempty" doc:"Of a document's latest version, by its content"`
	Preview        string            `json:"preview,omitempty" enum:"image,pdf,text,none" doc:"As what a page can show a document"`
	Versions       []ActivityVersion `json:"versions,omitempty" doc:"Of a document, oldest first"`
	DeletedAt      *time.Time        `json:"deleted_at,omitempty" doc:"When a document was deleted, with its bytes"`
	DeletionReason string            `json:"deletion_reason,omitempty"`
	EditedAt       *time.Time        `json:"edited_at,omitempty" doc:"When the text was last edited"`
	Direction      string            `json:"direction,omitempty" enum:"inbound,outbound" doc:"Of a call or message: from the client, or to them"`
	State          string            `json:"state,omitempty" enum:"composed,sent,failed,bounced,logged" doc:"Of a message: composed is to be sent, logged came from the client"`
	Subject        string            `json:"subject,omitempty" doc:"Of a message or request"`
	HTML           string            `json:"html,omitempty" doc:"Of a message: it runs nothing, and loads nothing but images. Of what is written in Markdown, the text, or the answer to a request, to be shown as it is: <span class=mention data-employee=ID> is a colleague"`
	Language       string            `json:"language,omitempty" doc:"Of a message: that of the template's text"`
	From           string            `json:"from,omitempty" doc:"Of a message: the address that it came from"`
	To             string            `json:"to,omitempty" doc:"Of a message: the address that it goes to"`
	ToName         string            `json:"to_name,omitempty"`
	TemplateID     *uuid.UUID        `json:"template_id,omitempty" format:"uuid" doc:"Of a message: what it was made of"`
	Attachments    []ActivityFile    `json:"attachments,omitempty" doc:"Of a message: versions of documents as they went with it"`
	MessageID      string            `json:"message_id,omitempty" doc:"Of a message that was sent: that of the mail, without angle brackets"`
	SentAt         *time.Time        `json:"sent_at,omitempty" doc:"When a mail server accepted a message"`
	BouncedAt      *time.Time        `json:"bounced_at,omitempty" doc:"When a message came back"`
	Attempts       int               `json:"attempts,omitempty" doc:"How often a mail server was tried with a message"`
	InReplyTo      string            `json:"in_reply_to,omitempty" doc:"Of a message from the client: what it answers, as it says"`
	AnswerTo       *uuid.UUID        `json:"answer_to,omitempty" format:"uuid" doc:"Of a message from the client: the one to them that it answers"`
	Why            string            `json:"reason,omitempty"`
	Status         string            `json:"status,omitempty" enum:"open,done,in_progress,resolved,rejected" doc:"Of an action: open or done. Of a request: open, in_progress, resolved or rejected"`
	StatusAt       *time.Time        `json:"status_at,omitempty" doc:"Of a request: when its status last changed"`
	Answer         string            `json:"answer,omitempty" doc:"Of a request: what was said with the last change of its status, in Markdown"`
	RemindAt       *time.Time        `json:"remind_at,omitempty" doc:"Of an action: when its assignee is reminded"`
	DoneAt         *time.Time        `json:"done_at,omitempty" doc:"Of an action that is done"`
	Outcome        string            `json:"outcome,omitempty" doc:"Of a call: how it ended, as answered, no_answer, busy, voicemail, failed, other. Of an action that is done: what came of it"`
	Number         string            `json:"number,omitempty" doc:"Of a call: the client's, as it was typed"`
	Duration       int               `json:"duration_s,omitempty" doc:"Of a call, in seconds"`
}

// ActivityFile is a version of a document that went with a message.
type ActivityFile struct {
	DocumentID uuid.UUID `json:"document_id" format:"uuid"`
	VersionID  uuid.UUID `json:"version_id" format:"uuid"`
	Name       string    `json:"name"`
	MediaType  string    `json:"media_type"`
	Size       int64     `json:"size" doc:"Bytes"`
}

type activityRow struct {
	keyset
	ID        uuid.UUID
	Kind      string
	At        time.Time
	ActorID   uuid.UUID
	ActorName *string
	Position  int64
	Revision  int64
	Pinned    bool
	Erased    bool
	Data      json.RawMessage
	Personal  json.RawMessage
	Changes   json.RawMessage
	Reason    *string

	ClientID     *uuid.UUID // where it is not the one that is asked for
	ClientName   *string
	AssigneeID   *uuid.UUID
	AssigneeName *string
	DueAt        *time.Time
	Open         *bool
}

func (r activityRow) at() int64 { return r.Revision }

// item is the row as it is answered at that time.
func (r activityRow) item(now time.Time) activityItem {
	item := activityItem{
		ID: r.ID, Kind: r.Kind, At: r.At, Actor: actor(r.ActorID, r.ActorName), Position: strconv.FormatInt(r.Position, 10), Revision: r.Revision,
		Pinned: r.Pinned, Erased: r.Erased,
		Client: namedOrNil(r.ClientID, r.ClientName), Assignee: namedOrNil(r.AssigneeID, r.AssigneeName), DueAt: r.DueAt,
		Overdue: r.DueAt != nil && r.DueAt.Before(now) && r.Open != nil && *r.Open,
	}
	for _, part := range []json.RawMessage{r.Data, r.Personal} {
		if err := json.Unmarshal(part, &item.ActivityData); err != nil {
			panic(err) // the projector wrote it
		}
	}
	switch r.Kind {
	case domain.Note, domain.Action, domain.Call:
		item.HTML = markdown.HTML(item.Text)
	case domain.Request:
		item.HTML = markdown.HTML(item.Answer)
	}
	if r.Changes != nil && json.Unmarshal(r.Changes, &item.Changes) != nil {
		item.Changes = nil
	}
	if item.Reason = item.Why; r.Reason != nil {
		item.Reason = *r.Reason
	}
	return item
}

// activitySource reads a client's feed newest first, however long it is: the index of
// the client, or of its activities of a kind, has the order.
var activitySource = source{
	columns: `a.id, a.kind, a.at, a.actor_id, n.name as actor_name, a.position, a.revision, a.pinned, a.erased, a.data, a.personal, h.changes, h.reason,
		a.assignee_id, s.name as assignee_name, a.due_at, a.open, null::uuid as client_id, null::text as client_name`,
	from: `annals_read.activities a
		left join annals_read.names n on n.id = a.actor_id
		left join annals_read.names s on s.id = a.assignee_id
		left join annals_read.history h on a.kind = 'change' and h.position = a.position`,
	id:      "a.id",
	natural: "-at",
	table:   "annals_read.activities a",
	indexed: map[string]bool{"a.at": false},
	sorts:   map[string]column{"at": {"a.at", "timestamptz"}},
}

type activityRequest struct {
	ID uuid.UUID `path:"id" format:"uuid"`
	Page
	Kind   []string `query:"kind,explode" doc:"Only these kinds: action, request, note, call, message, document, change" maxItems:"10"`
	Pinned string   `query:"pinned" doc:"true: only what is pinned; false: only the others" enum:"true,false"`
}

// foundVisible is that the client has been found to be one that the caller sees: the
// policy shows actions by more than that. PostgreSQL is not to know that the client is
// asked for twice, or it would expect few rows.
var foundVisible = opaque("a.client_id = (select nullif(current_setting('annals.client', true), '')::uuid)")

func (a *API) activity(ctx context.Context, in *activityRequest) (*list[activityItem], error) {
	q := &query{before: visible(ctx, in.ID)}
	q.and(foundVisible)
	client := []uuid.UUID{in.ID}
	q.arms = []arm{{"a.client_id", client, ""}}
	if len(in.Kind) > 0 {
		q.arms = nil
		for i, k := range in.Kind {
			if !slices.Contains(kinds, k) {
				return nil, domain.Fault(domain.At("kind", i), "unknown", "%q is none of %s", k, strings.Join(kinds, ", "))
			}
			if !slices.Contains(in.Kind[:i], k) {
				q.arms = append(q.arms, arm{"a.client_id", client, "a.kind = '" + k + "'"})
			}
		}
	}
	if in.Pinned != "" {
		q.and("a.pinned = " + in.Pinned)
	}
	out, err := fetch(ctx, a, activitySource, q, in.Page, a.activityItem())
	if err = a.orAbsent(ctx, in.ID, out, err); err != nil {
		return nil, err
	}
	return out, a.shown(ctx, accesslog.Activities, in.ID)
}

// activityItem is what a row is answered as now.
func (a *API) activityItem() func(activityRow) activityItem {
	now := a.Now()
	return func(r activityRow) activityItem { return r.item(now) }
}

type oneActivityRequest struct {
	ID   uuid.UUID `path:"id" format:"uuid" doc:"Of the client"`
	Item uuid.UUID `path:"item" format:"uuid"`
	After
}

// oneActivity answers what is in the feed under an id, if the client is one that the
// caller sees.
func (a *API) oneActivity(ctx context.Context, in *oneActivityRequest) (*one[activityItem], error) {
	q := &query{before: visible(ctx, in.ID)}
	q.and("a.client_id = " + q.bind(in.ID) + "::uuid")
	q.and(foundVisible)
	out, err := fetchOne(ctx, a, activitySource, q, byID{in.Item, in.After}, "activity", a.activityItem())
	if err != nil {
		return nil, err
	}
	return out, a.shownItem(ctx, accesslog.Activities, in.ID, in.Item)
}

// orAbsent is the answer about a client that has nothing to list: that there is no such
// client, unless the caller sees it.
func (a *API) orAbsent(ctx context.Context, client uuid.UUID, out interface{ empty() bool }, err error) error {
	if err != nil || !out.empty() {
		return err
	}
	found := ""
	var b pgx.Batch
	visible(ctx, client)(&b)
	b.Queue("select current_setting('annals.client', true)").QueryRow(func(r pgx.Row) error { return r.Scan(&found) })
	if err := a.DB.Ask(ctx, &b); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	if found == "" {
		return domain.Errorf(domain.NotFound, "client.absent", "there is no such client")
	}
	return nil
}
