package readapi

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/domain/field"
	"annals/domain/filter"
	"annals/internal/access"
	"annals/internal/accesslog"
)

// clientList is a list of clients that is asked for.
type clientList struct {
	who    domain.Authority
	now    time.Time
	filter filter.Node
	text   text
	limit  int
	asOf   *time.Time
	facets []string
	fields []listField // nil: those of lists
	sort   string      // as it was asked for
	sorts  []string    // fields
	keys   []key       // of the sort, and the id
	at     *cursor
	back   bool

	custom  map[string]field.Type // custom fields that are asked for
	tags    map[string]meaning    // and tags
	indexed map[string]walk       // fields that have an index

	q        *query
	past     string                 // the parameter of asOf
	vis      string                 // what the caller sees
	reach    string                 // that a row is in an arm, if there are any that are of use
	conds    []string               // what is asked for
	levels   []string               // how well a search is met
	typos    string                 // what meets the last level and no other, if that can be told
	expected expectation            // of all that is asked for
	plans    map[string]expectation // what PostgreSQL has been asked, by condition
	total    *int                   // and as was counted with the page
	implied  int                    // how many of the first conds the query's arms imply
}

// relevance is the sort of what is searched for.
const relevance = "relevance"

// Clients answers which clients the caller in ctx sees. It does not record it.
func (a *API) Clients(ctx context.Context, in *ClientsRequest) (*clientPage, error) {
	return a.asked(ctx, a.newList(ctx), in)
}

func (a *API) clients(ctx context.Context, in *ClientsRequest) (*clientPage, error) {
	l := a.newList(ctx)
	out, err := a.asked(ctx, l, in)
	if err != nil {
		return nil, err
	}
	return out, a.listed(ctx, l, out, in.Q, in.AsOf)
}

func (a *API) asked(ctx context.Context, l *clientList, in *ClientsRequest) (*clientPage, error) {
	var f domain.Faults
	l.filter = filter.Node{And: in.conditions(&f)}
	if len(l.filter.And) == 0 {
		l.filter = filter.Node{}
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	return a.list(ctx, l, listRequest{in.After, nil, in.Q, in.Sort, in.Fields, in.Limit, in.Cursor, in.AsOf, nil})
}

// Query answers which of the clients that the caller sees meet a filter. It does not
// record it.
func (a *API) Query(ctx context.Context, in *ClientsQuery) (*clientPage, error) {
	return a.queried(ctx, a.newList(ctx), in)
}

func (a *API) query(ctx context.Context, in *ClientsQuery) (*clientPage, error) {
	l := a.newList(ctx)
	out, err := a.queried(ctx, l, in)
	if err != nil {
		return nil, err
	}
	return out, a.listed(ctx, l, out, in.Body.Q, in.Body.AsOf)
}

// listed records that whoever asks is about to be shown a page of a list.
func (a *API) listed(ctx context.Context, l *clientList, page *clientPage, searched, asOf string) error {
	look := accesslog.Look{Kind: accesslog.List, AsOf: asOf, Filters: l.filter.Conditions(), Searched: searched, Clients: make([]uuid.UUID, len(page.Body.Items))}
	if searched != "" {
		look.Kind = accesslog.Search
	}
	for i, c := range page.Body.Items {
		look.Clients[i] = c.ID
	}
	return a.AccessLog.Record(ctx, look)
}

func (a *API) queried(ctx context.Context, l *clientList, in *ClientsQuery) (*clientPage, error) {
	b := in.Body
	return a.list(ctx, l, listRequest{in.After, json.RawMessage(b.Filter), b.Q, strings.Join(b.Sort, ","), b.Fields, b.Limit, b.Cursor, b.AsOf, b.Facets})
}

func (a *API) newList(ctx context.Context) *clientList {
	return &clientList{who: access.Authority(ctx), now: a.now().UTC().Truncate(time.Microsecond), custom: map[string]field.Type{}, q: &query{}}
}

func (a *API) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now() //nolint:forbidigo // where nobody gave another
}

// listRequest is what both ways to ask have in common.
type listRequest struct {
	after  After
	filter json.RawMessage
	q      string
	sort   string
	fields []string
	limit  int
	cursor string
	asOf   string
	facets []string
}

// list answers a list.
func (a *API) list(ctx context.Context, l *clientList, in listRequest) (*clientPage, error) {
	if err := a.wait(ctx, in.after); err != nil {
		return nil, err
	}
	if err := a.parse(ctx, l, in); err != nil {
		return nil, err
	}
	out := &clientPage{}
	if err := a.position(ctx, out); err != nil { // before what is found: it is at least that fresh
		return nil, err
	}
	hits, err := l.find(ctx, a)
	if err != nil {
		return nil, err
	}
	if out.Body.Total, err = l.size(ctx, a, hits); err != nil {
		return nil, err
	}
	if out.Body.Facets, err = l.count(ctx, a); err != nil {
		return nil, err
	}
	l.cursors(out, &hits)
	return out, l.show(ctx, a, hits, out)
}

// parse reads the request.
func (a *API) parse(ctx context.Context, l *clientList, in listRequest) error {
	l.limit = cmp.Or(in.limit, 50)
	mentioned := slices.Concat(mentioned(in.filter), in.fields)
	for name := range strings.SplitSeq(in.sort, ",") {
		mentioned = append(mentioned, strings.TrimPrefix(strings.TrimSpace(name), "-"))
	}
	if err := a.resolveFields(ctx, l, mentioned); err != nil {
		return err
	}
	var f domain.Faults
	if in.filter != nil {
		var err error
		l.filter, err = filter.Parse("filter", in.filter, l.customType)
		f.Add(err)
	}
	f.Add(domain.CheckText("q", in.q, 200))
	l.text = parseText(in.q)
	if l.sort = in.sort; l.sort == "" && len(l.text.terms) > 0 {
		l.sort = relevance
	}
	switch in.sort {
	case "":
		f.Add(l.parseSort("-created_at"))
	default:
		f.Add(l.parseSort(in.sort))
	}
	f.Add(l.parseFields(in.fields))
	f.Add(l.parseFacets(in.facets))
	f.Add(l.parseAsOf(in.asOf))
	f.Add(l.parseCursor(in.cursor))
	if err := f.Err(); err != nil {
		return err
	}
	if err := l.text.resolve(ctx, a); err != nil {
		return err
	}
	if err := a.resolveTags(ctx, l); err != nil {
		return err
	}
	a.index(ctx, l)
	l.compile()
	return nil
}

func (l *clientList) parseAsOf(s string) error {
	if s == "" {
		return nil
	}
	t, err := parseAsOf("as_of", s)
	if err != nil {
		return err
	}
	l.asOf = &t
	return nil
}

func (l *clientList) parseCursor(s string) error {
	if s == "" {
		return nil
	}
	c, err := parseCursor(s, l.sort, len(l.keys))
	if err != nil || c.Level < 0 {
		return errCursor
	}
	for i, k := range l.keys {
		if v := c.Values[i]; v != nil && (strings.ContainsRune(*v, 0) || !fits(*v, k.cast)) {
			return errCursor
		}
	}
	l.at, l.back = &c, c.Back
	return nil
}

// fits says whether a text may be a value of a type.
func fits(s, cast string) bool {
	if cast == "uuid" {
		_, err := uuid.Parse(s)
		return err == nil
	}
	return true
}

// compile makes conditions of what is asked for.
func (l *clientList) compile() {
	at := "c"
	if l.asOf != nil {
		l.past, at = l.q.bind(*l.asOf), "v"
	}
	l.vis = access.Clients(l.who, domain.ClientsView, at, l.q.bind)
	parts := []filter.Node{l.filter}
	if len(l.filter.And) > 0 {
		parts = l.filter.And
	}
	if l.narrow(parts); len(l.q.arms) > 0 && l.asOf == nil {
		l.reach = l.q.inArms()
	}
	for _, part := range parts {
		if cond := l.where(part); cond != "true" {
			l.conds = append(l.conds, cond)
		}
	}
	all, typos := l.text.conditions(l.q.bind)
	if l.text.wordless {
		l.conds = append(l.conds, "false")
	}
	if l.sort == relevance {
		l.levels, l.typos = all, typos
	} else if len(all) > 0 {
		l.conds = append(l.conds, all[len(all)-1])
	}
}

// met are all conditions, a search included.
func (l *clientList) met() []string {
	if n := len(l.levels); n > 0 {
		return append(slices.Clip(l.conds), l.levels[n-1])
	}
	return l.conds
}

// within is that the caller sees a row, and that it meets conditions, as far as PostgreSQL
// is to know: what the arms of the list imply would only make it expect too few.
func (l *clientList) within(conds []string) string {
	if l.reach == "" {
		return strings.Join(append([]string{l.vis}, conds...), " and ")
	}
	return strings.Join(append([]string{l.reach}, conds[l.implied:]...), " and ")
}

// seen is that the caller sees a row, and that it meets conditions.
func (l *clientList) seen(conds []string) string {
	if l.reach == "" {
		return l.within(conds)
	}
	return l.within(conds) + " and " + opaque(strings.Join(append([]string{l.vis}, conds[:l.implied]...), " and "))
}

// cursors says where the pages before and after begin, and takes the client away that
// is only there to tell that there are more.
func (l *clientList) cursors(out *clientPage, hits *[]hit) {
	all := *hits
	more := len(all) > l.limit
	all = all[:min(len(all), l.limit)]
	if l.back {
		slices.Reverse(all)
	}
	*hits = all
	if len(all) == 0 {
		return
	}
	end := func(h hit, back bool) string { return cursor{l.sort, h.values, h.level, back}.String() }
	if more && !l.back || l.back {
		out.Body.NextCursor = end(all[len(all)-1], false)
	}
	if more && l.back || !l.back && l.at != nil {
		out.Body.PrevCursor = end(all[0], true)
	}
}

// show reads the rows of what was found, as far as the caller may see them.
func (l *clientList) show(ctx context.Context, a *API, hits []hit, out *clientPage) error {
	out.Body.Items = make([]listedClient, 0, len(hits))
	if len(hits) == 0 {
		return nil
	}
	ids := make([]uuid.UUID, len(hits))
	for i, h := range hits {
		ids[i] = h.id
	}
	q := &query{}
	s := wholeSource
	if l.asOf != nil {
		s.from = strings.Replace(s.from, "annals_read.clients c", asTable(q.bind(*l.asOf))+" c", 1)
	}
	if !slices.ContainsFunc(l.fields, func(f listField) bool { return f.detail }) {
		s.columns = strings.Replace(s.columns, "c.details", "null::jsonb as details", 1)
	}
	if slices.ContainsFunc(l.fields, func(f listField) bool { return f.Name == "favourite" }) {
		s.columns = strings.Replace(s.columns, "false as favourite", l.mine(favourite)+" as favourite", 1)
	}
	q.and("c.id = any(" + q.bind(ids) + "::uuid[])")
	if l.asOf == nil {
		q.and(access.Clients(l.who, domain.ClientsView, "c", q.bind))
	}
	rows := make(map[uuid.UUID]*clientRecordRow, len(ids))
	var b pgx.Batch
	b.Queue(fmt.Sprintf("select %s, null::text[] as cursor from %s where %s", s.columns, s.from, q.all()), q.args...).Query(func(r pgx.Rows) error {
		all, err := collect[clientRecordRow](r, len(ids))
		for i := range all {
			rows[all[i].ID] = &all[i]
		}
		return err
	})
	if err := a.DB.Ask(ctx, &b); err != nil {
		return fmt.Errorf("list: %w", err)
	}
	for _, id := range ids {
		row, ok := rows[id]
		if !ok {
			continue // it has gone since it was found
		}
		item := listedClient{clientItem: row.item()}
		if l.fields != nil {
			item.chosen = chosen(row, l.fields)
		}
		if len(l.text.terms) > 0 {
			item.Matches = l.matches(row)
		}
		out.Body.Items = append(out.Body.Items, item)
	}
	return nil
}

// matches are where what is searched for is in what is shown.
func (l *clientList) matches(r *clientRecordRow) map[string][]spanned {
	out := map[string][]spanned{}
	for name, shown := range map[string]string{"name": r.Name, "company": r.Company, "email": r.Email, "phone": r.Phone} {
		if marks := l.text.marks(shown); len(marks) > 0 {
			out[name] = marks
		}
	}
	return out
}

// asTable is clients as they were at the time that a parameter has.
func asTable(at string) string {
	return fmt.Sprintf(`(select %s from annals_read.clients where since <= %s::timestamptz
		union all select %[1]s from annals_read.client_past where since <= %[2]s::timestamptz and until > %[2]s::timestamptz)`, pastColumns, at)
}

// pastColumns are the columns of clients, which client_past has as well.
const pastColumns = `id, type, first_name, middle_name, last_name, display_name, company, email, phone, website, street, city, region, postal_code, country,
	status, status_at, status_reason, project_id, desk_id, manager_id, tags, deactivated_at, deactivation_reason, portal_access, portal_override,
	portal_signed_in_at, last_contacted_at, created_at, updated_at, revision, erased, since, details, keys, words, name, name_key,
	first_name_key, last_name_key, company_key, email_key, phone_key, city_key, country_key, status_rank, search`

// position says how fresh the answer is.
func (a *API) position(ctx context.Context, out *clientPage) error {
	var b pgx.Batch
	b.Queue(freshness).QueryRow(func(r pgx.Row) error {
		var at position
		err := at.scan(r)
		out.Position, out.Body.Position = at.String(), at.String()
		return err
	})
	return a.DB.Ask(ctx, &b)
}

// clientPage is a page of a list of clients.
type clientPage struct {
	Fresh
	Body struct {
		Items      []listedClient   `json:"items"`
		NextCursor string           `json:"next_cursor,omitempty" doc:"Of the next page; missing on the last"`
		PrevCursor string           `json:"prev_cursor,omitempty" doc:"Of the page before; missing on the first"`
		Total      total            `json:"total"`
		Facets     map[string]facet `json:"facets,omitempty" doc:"How many of the clients have which value, by field"`
		Position   string           `json:"position" doc:"The answer shows everything up to this position of the log"`
	}
}

// listedClient is a client in a list, or the fields of one that were asked for.
type listedClient struct {
	clientItem
	Matches map[string][]spanned `json:"matches,omitempty" doc:"Where what was searched for is, by field"`
	chosen  map[string]any
}

// MarshalJSON writes the fields that were asked for.
func (c listedClient) MarshalJSON() ([]byte, error) {
	if c.chosen != nil {
		if len(c.Matches) > 0 {
			c.chosen["matches"] = c.Matches
		}
		return json.Marshal(c.chosen)
	}
	type plain struct {
		clientItem
		Matches map[string][]spanned `json:"matches,omitempty"`
	}
	return json.Marshal(plain{c.clientItem, c.Matches})
}

// TransformSchema says what huma cannot: it is a client with something beside.
func (listedClient) TransformSchema(r huma.Registry, s *huma.Schema) *huma.Schema {
	item := *r.Schema(reflect.TypeFor[clientItem](), false, "")
	item.Properties = maps.Clone(item.Properties)
	item.Properties["matches"] = s.Properties["matches"]
	part := *r.SchemaFromRef(item.Properties["address"].Ref)
	part.Required = nil // likewise
	item.Properties["address"] = &part
	item.Required = []string{"id"} // with fields, the others are there only if they are among them
	item.AdditionalProperties = true
	return &item
}
