package refusals

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
)

// How many rows a page has.
const (
	DefaultLimit = 50
	MaxLimit     = 500
)

// Filter says which rows are asked for. What is zero does not matter.
type Filter struct {
	Actor    domain.ID
	IP       netip.Addr // finds its whole [Network]
	From, To time.Time  // when it began: not before From, before To
	Status   []int      // any of these
	Code     string
	Before   string // the cursor of the page before; empty for the first page
	Limit    int    // of rows; [DefaultLimit] for zero, at most [MaxLimit]
}

// ErrCursor is for a Filter.Before that [Store.List] has not given.
var ErrCursor = domain.Fault("cursor", "malformed", "is no cursor of this list: start again without one")

// List returns the rows that are written, newest first by when they began, and the
// cursor of the next page, which is empty on the last. It fails with [ErrCursor].
func (s *Store) List(ctx context.Context, f Filter) (rows []Row, next string, err error) {
	limit := min(f.Limit, MaxLimit)
	if limit <= 0 {
		limit = DefaultLimit
	}
	var where []string
	var args []any
	and := func(condition string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			condition = strings.Replace(condition, "?", fmt.Sprintf("$%d", len(args)), 1)
		}
		where = append(where, condition)
	}
	if f.Actor != uuid.Nil {
		and("actor = ?", f.Actor)
	}
	if p := Network(f.IP); p.IsValid() {
		and("ip <<= ?::cidr", p)
	}
	if !f.From.IsZero() {
		and("first_at >= ?", f.From)
	}
	if !f.To.IsZero() {
		and("first_at < ?", f.To)
	}
	if len(f.Status) > 0 {
		and("status = any(?::int[])", f.Status)
	}
	if f.Code != "" {
		and("code = ?", f.Code)
	}
	if f.Before != "" {
		at, id, err := parseCursor(f.Before)
		if err != nil {
			return nil, "", err
		}
		and("(first_at, id) < (?, ?)", at, id)
	}
	sql := `select id, first_at, last_at, count, request, method, route, subjects, status, code, kind, actor, ip, user_agent from annals_audit.refusals`
	if len(where) > 0 {
		sql += " where " + strings.Join(where, " and ")
	}
	found, _ := s.db.Query(ctx, sql+fmt.Sprintf(" order by first_at desc, id desc limit %d", limit+1), args...) // the error comes back from the rows
	rows, err = pgx.CollectRows(found, scan)
	if err != nil {
		return nil, "", fmt.Errorf("list refusals: %w", err)
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next = cursor(rows[limit-1].At, rows[limit-1].ID)
	}
	return rows, next, nil
}

func scan(row pgx.CollectableRow) (r Row, err error) {
	var actor *domain.ID
	var ip *netip.Addr
	err = row.Scan(&r.ID, &r.At, &r.Last, &r.Count, &r.Request, &r.Method, &r.Route, &r.Subjects, &r.Status, &r.Code, &r.Kind, &actor, &ip, &r.UserAgent)
	if actor != nil {
		r.Actor = *actor
	}
	if ip != nil {
		r.IP = *ip
	}
	if len(r.Subjects) > 0 {
		r.Subject = r.Subjects[0]
	}
	r.At, r.Last = r.At.UTC(), r.Last.UTC()
	return r, err
}

// cursor is a place in the list: microseconds and id.
func cursor(at time.Time, id domain.ID) string {
	return base64.RawURLEncoding.EncodeToString(append(binary.BigEndian.AppendUint64(nil, uint64(at.UnixMicro())), id[:]...))
}

func parseCursor(s string) (time.Time, domain.ID, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(raw) != 8+len(domain.ID{}) {
		return time.Time{}, domain.ID{}, ErrCursor
	}
	micros := int64(binary.BigEndian.Uint64(raw)) //nolint:gosec // back and forth
	at := time.UnixMicro(micros).UTC()
	if year := at.Year(); year < 1 || year > 9999 { // beyond what PostgreSQL takes
		return time.Time{}, domain.ID{}, ErrCursor
	}
	return at, domain.ID(raw[8:]), nil
}
