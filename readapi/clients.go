package readapi

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"annals/domain"
	"annals/internal/access"
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
	id: "c.id",
}

// visibleClients begins every query of clients.
func visibleClients(ctx context.Context) *query {
	q := &query{}
	q.and(access.Clients(access.Authority(ctx), domain.ClientsView, "c", q.bind))
	return q
}
