package bench

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"annals/domain"
	"annals/internal/access"
)

// answer is what the endpoint answers: a page, how many there are, and how fresh it is.
type answer struct {
	rows            []line
	count           int
	commit, prepare int64
}

// line is a client with everything that the endpoint shows.
type line struct {
	id, projectID                                              uuid.UUID
	kind, name, first, middle, last, company, email, phone     string
	website, street, city, region, postalCode, country, status string
	project, desk, manager                                     *string
	deskID, managerID                                          *uuid.UUID
	tags                                                       []string
	deactivatedAt                                              *time.Time
	reason                                                     string
	erased                                                     bool
	createdAt, updatedAt                                       time.Time
	revision                                                   int64
}

const (
	lineColumns = `c.id, c.type, c.name, c.first_name, c.middle_name, c.last_name, c.company, c.email, c.phone, c.website,
		c.street, c.city, c.region, c.postal_code, c.country, c.status, c.project_id, p.name, c.desk_id, d.name, c.manager_id, m.name,
		c.tags, c.deactivated_at, c.deactivation_reason, c.erased, c.created_at, c.updated_at, c.revision`
	lineJoins = ` left join annals_read.projects p on p.id = c.project_id left join annals_read.desks d on d.id = c.desk_id
		left join annals_read.names m on m.id = c.manager_id`
)

// byHand is the best that somebody who knows the reach would write for it, as the
// tables' owner, whom no policy concerns.
func byHand(ctx context.Context, db *pgxpool.Pool, who *access.Actor, sort string) (a answer, err error) {
	order := "c.created_at desc, c.id desc"
	if sort == "name" {
		order = "c.name_key, c.id"
	}
	var args []any
	var arms, counts []string
	arm := func(cond string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			cond = strings.Replace(cond, "?", fmt.Sprintf("$%d", len(args)), 1)
		}
		arms = append(arms, fmt.Sprintf("(select c.id, c.created_at, c.name_key from annals_read.clients c where %s order by %s limit %d)", cond, order, pageRows+1))
		counts = append(counts, fmt.Sprintf("(select from annals_read.clients c where %s limit 1001)", cond))
	}
	projects, desks := access.Assigned(who.Scope)
	switch who.Rights[domain.ClientsView] {
	case domain.Everywhere:
		arm("true")
	case domain.InProjects:
		for _, p := range projects {
			arm("project_id = ?", p)
		}
	case domain.OnDesks:
		for _, d := range desks {
			arm("desk_id = ?", d)
		}
		arm("manager_id = ? and desk_id is null and project_id = any(?)", who.ID, projects)
	case domain.Own, domain.Nothing:
	}
	page := fmt.Sprintf("select %s from (select id from (%s) c order by %s limit %d) k join annals_read.clients c on c.id = k.id%s order by %[3]s",
		lineColumns, strings.Join(arms, " union all "), order, pageRows+1, lineJoins)
	var b pgx.Batch
	b.Queue(`select commit, prepare from annals_read.freshness order by commit, prepare limit 1`).
		QueryRow(func(row pgx.Row) error { return row.Scan(&a.commit, &a.prepare) })
	b.Queue("select count(*) from (select from ("+strings.Join(counts, " union all ")+") c limit 1001) c", args...).
		QueryRow(func(row pgx.Row) error { return row.Scan(&a.count) })
	b.Queue(page, args...).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var l line
			err := rows.Scan(&l.id, &l.kind, &l.name, &l.first, &l.middle, &l.last, &l.company, &l.email, &l.phone, &l.website,
				&l.street, &l.city, &l.region, &l.postalCode, &l.country, &l.status, &l.projectID, &l.project, &l.deskID, &l.desk, &l.managerID, &l.manager,
				&l.tags, &l.deactivatedAt, &l.reason, &l.erased, &l.createdAt, &l.updatedAt, &l.revision)
			if err != nil {
				return err
			}
			a.rows = append(a.rows, l)
		}
		return rows.Err()
	})
	if err := db.SendBatch(ctx, &b).Close(); err != nil {
		return a, fmt.Errorf("by hand: %w", err)
	}
	a.rows, a.count = a.rows[:min(len(a.rows), pageRows)], min(a.count, 1000)
	return a, nil
}
