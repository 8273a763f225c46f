package readapi

import (
	"context"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/textfold"
)

// named is something that is shown by its name.
type named struct {
	ID   uuid.UUID `json:"id" format:"uuid"`
	Name string    `json:"name"`
}

func namedOrNil(id *uuid.UUID, name *string) *named {
	if id == nil {
		return nil
	}
	n := named{ID: *id}
	if name != nil {
		n.Name = *name
	}
	return &n
}

// clientItem is a client as it is answered in lists.
type clientItem struct {
	ID         uuid.UUID  `json:"id" format:"uuid"`
	Type       string     `json:"type" enum:"person,company"`
	Name       string     `json:"name"`
	FirstName  string     `json:"first_name"`
	MiddleName string     `json:"middle_name"`
	LastName   string     `json:"last_name"`
	Company    string     `json:"company"`
	Email      string     `json:"email"`
	Phone      string     `json:"phone"`
	Website    string     `json:"website"`
	Address    address    `json:"address"`
	Status     string     `json:"status" enum:"lead,active,inactive"`
	Project    *named     `json:"project"`
	Desk       *named     `json:"desk"`
	Manager    *named     `json:"manager"`
	Tags       []string   `json:"tags"`
	Active     bool       `json:"active" doc:"false while the client is deactivated"`
	Deactive   *time.Time `json:"deactivated_at"`
	Reason     string     `json:"deactivation_reason,omitempty"`
	Contacted  *time.Time `json:"last_contacted_at" doc:"When a call was made or a message was sent or came, last"`
	Erased     bool       `json:"erased,omitempty" doc:"The person has been erased: what identified them is gone"`
	CreatedAt  time.Time  `json:"created_at"`
	UpdatedAt  time.Time  `json:"updated_at"`
	Revision   int64      `json:"revision"`
}

// TransformSchema says what huma cannot: these may be null.
func (clientItem) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema { return orNull(s) }

type address struct {
	Street     string `json:"street"`
	City       string `json:"city"`
	Region     string `json:"region"`
	PostalCode string `json:"postal_code"`
	Country    string `json:"country"`
}

// clientRow is a row of clientSource.
type clientRow struct {
	keyset
	ID                 uuid.UUID
	Type               string
	Name               string
	FirstName          string
	MiddleName         string
	LastName           string
	Company            string
	Email              string
	Phone              string
	Website            string
	Street             string
	City               string
	Region             string
	PostalCode         string
	Country            string
	Status             string
	ProjectID          *uuid.UUID
	ProjectName        *string
	DeskID             *uuid.UUID
	DeskName           *string
	ManagerID          *uuid.UUID
	ManagerName        *string
	Tags               []string
	DeactivatedAt      *time.Time
	DeactivationReason string
	LastContactedAt    *time.Time
	Erased             bool
	CreatedAt          time.Time
	UpdatedAt          time.Time
	Revision           int64
}

func (r clientRow) at() int64 { return r.Revision }

func (r clientRow) item() clientItem {
	return clientItem{
		r.ID, r.Type, r.Name, r.FirstName, r.MiddleName, r.LastName, r.Company, r.Email, r.Phone, r.Website,
		address{r.Street, r.City, r.Region, r.PostalCode, r.Country},
		r.Status,
		namedOrNil(r.ProjectID, r.ProjectName), namedOrNil(r.DeskID, r.DeskName), namedOrNil(r.ManagerID, r.ManagerName),
		append([]string{}, r.Tags...), r.DeactivatedAt == nil, r.DeactivatedAt, r.DeactivationReason, r.LastContactedAt, r.Erased, r.CreatedAt, r.UpdatedAt, r.Revision,
	}
}

var clientSource = source{
	columns: `c.id, c.type, c.name, c.first_name, c.middle_name, c.last_name, c.company, c.email, c.phone, c.website,
		c.street, c.city, c.region, c.postal_code, c.country, c.status, c.project_id, p.name as project_name,
		c.desk_id, d.name as desk_name, c.manager_id, m.name as manager_name, ` + tagLabels("c") + ` as tags, c.deactivated_at, c.deactivation_reason,
		c.last_contacted_at, c.erased, c.created_at, c.updated_at, c.revision`,
	from: `annals_read.clients c
		left join annals_read.projects p on p.id = c.project_id
		left join annals_read.desks d on d.id = c.desk_id
		left join annals_read.names m on m.id = c.manager_id`,
	id:      "c.id",
	natural: "-created_at",
	table:   "annals_read.clients c",
	indexed: map[string]bool{"c.name_key": true, "c.created_at": false},
	sorts: map[string]column{
		"name":       {"c.name_key", "text"},
		"type":       textColumn("c.type"),
		"first_name": textColumn("c.first_name"), "middle_name": textColumn("c.middle_name"), "last_name": textColumn("c.last_name"),
		"company": textColumn("c.company"), "email": textColumn("c.email"), "phone": textColumn("c.phone"), "website": textColumn("c.website"),
		"street": textColumn("c.street"), "city": textColumn("c.city"), "region": textColumn("c.region"),
		"postal_code": textColumn("c.postal_code"), "country": textColumn("c.country"),
		"address.street": textColumn("c.street"), "address.city": textColumn("c.city"), "address.region": textColumn("c.region"),
		"address.postal_code": textColumn("c.postal_code"), "address.country": textColumn("c.country"),
		"status":  {`case c.status when 'lead' then 1 when 'active' then 2 else 3 end`, "int"},
		"project": textColumn("p.name"), "desk": textColumn("d.name"), "manager": textColumn("m.name"),
		"deactivated_at":    {"c.deactivated_at", "timestamptz"},
		"last_contacted_at": {"c.last_contacted_at", "timestamptz"},
		"created_at":        {"c.created_at", "timestamptz"},
		"updated_at":        {"c.updated_at", "timestamptz"},
		"revision":          {"c.revision", "bigint"},
	},
}

// ClientsRequest asks for a list of clients.
type ClientsRequest struct {
	Page
	Q           string   `query:"q" doc:"Finds by name, e-mail, company and phone: every word has to be in there, whatever its accents and case" maxLength:"200"`
	Project     []string `query:"project,explode" doc:"Ids of projects" maxItems:"100"`
	Desk        []string `query:"desk,explode" doc:"Ids of desks, or none" maxItems:"100"`
	Manager     []string `query:"manager,explode" doc:"Ids of employees, or none" maxItems:"100"`
	Status      []string `query:"status,explode" maxItems:"10"`
	Tag         []string `query:"tag,explode" doc:"Clients with any of these tags" maxItems:"100"`
	Active      string   `query:"active" doc:"false: only deactivated clients; true: only the others" enum:"true,false"`
	CreatedFrom string   `query:"created_from" doc:"A time or a date, included" maxLength:"40"`
	CreatedTo   string   `query:"created_to" doc:"A time, excluded, or a date, included" maxLength:"40"`
	UpdatedFrom string   `query:"updated_from" maxLength:"40"`
	UpdatedTo   string   `query:"updated_to" maxLength:"40"`
}

// Clients answers which clients the caller in ctx sees.
func (a *API) Clients(ctx context.Context, in *ClientsRequest) (*list[clientItem], error) {
	q := visibleClients(ctx)
	var f domain.Faults
	f.Add(filter(q, in))
	f.Add(span(q, "created", "c.created_at", in.CreatedFrom, in.CreatedTo))
	f.Add(span(q, "updated", "c.updated_at", in.UpdatedFrom, in.UpdatedTo))
	f.Add(search(q, in.Q))
	if err := f.Err(); err != nil {
		return nil, err
	}
	if err := a.tagged(ctx, q, in.Tag, in.After); err != nil {
		return nil, err
	}
	q.narrow(access.Authority(ctx), in)
	return fetch(ctx, a, clientSource, q, in.Page, clientRow.item)
}

// visibleClients begins every query of clients.
func visibleClients(ctx context.Context) *query {
	q := &query{}
	q.and(access.Clients(access.Authority(ctx), domain.ClientsView, "c", q.bind))
	return q
}

func filter(q *query, r *ClientsRequest) error {
	var f domain.Faults
	f.Add(in(q, "project", "c.project_id", r.Project))
	f.Add(in(q, "desk", "c.desk_id", r.Desk))
	f.Add(in(q, "manager", "c.manager_id", r.Manager))
	for _, s := range r.Status {
		if s != "lead" && s != "active" && s != "inactive" {
			f.Add(domain.Fault("status", "unknown", "%q is none of lead, active, inactive", s))
		}
	}
	if len(r.Status) > 0 {
		q.and("c.status = any(" + q.bind(r.Status) + ")")
	}
	switch r.Active {
	case "true":
		q.and("c.deactivated_at is null")
	case "false":
		q.and("c.deactivated_at is not null")
	}
	return f.Err()
}

var likeEscape = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// search adds that every word is in the client's searchable text. A word of digits
// and what stands between digits in phone numbers also finds those digits, however
// the number was punctuated when it was stored.
func search(q *query, text string) error {
	if err := domain.CheckText("q", text, 200); err != nil {
		return err
	}
	for word := range strings.FieldsSeq(textfold.Fold(text)) {
		cond := contains(q, word)
		if digits := textfold.Digits(word); digits != "" && digits != word && strings.Trim(word, "0123456789+-()./") == "" {
			cond = "(" + cond + " or " + contains(q, digits) + ")"
		}
		q.and(cond)
	}
	return nil
}

func contains(q *query, word string) string {
	return "c.search like '%' || " + q.bind(likeEscape.Replace(word)) + "::text || '%'"
}
