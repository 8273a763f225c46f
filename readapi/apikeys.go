package readapi

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"annals/domain"
	"annals/internal/access"
)

type keyItem struct {
	ID          uuid.UUID      `json:"id" format:"uuid"`
	Name        string         `json:"name"`
	Owner       named          `json:"owner" doc:"On whose behalf it acts: it may never do more than they may"`
	Permissions []domain.Grant `json:"permissions"`
	Projects    []uuid.UUID    `json:"projects" doc:"Empty together with desks: those that the owner works for"`
	Desks       []uuid.UUID    `json:"desks"`
	ExpiresAt   *time.Time     `json:"expires_at"`
	RevokedAt   *time.Time     `json:"revoked_at"`
	Live        bool           `json:"live" doc:"Neither revoked nor expired"`
	LastUsedAt  *time.Time     `json:"last_used_at"`
	CreatedAt   time.Time      `json:"created_at"`
	Revision    int64          `json:"revision"`
}

type keyRow struct {
	keyset
	ID          uuid.UUID
	Name        string
	OwnerID     uuid.UUID
	OwnerName   *string
	Permissions []domain.Grant
	Projects    []uuid.UUID
	Desks       []uuid.UUID
	ExpiresAt   *time.Time
	RevokedAt   *time.Time
	CreatedAt   time.Time
	Revision    int64
}

func (k keyRow) at() int64 { return k.Revision }

func (k keyRow) item(now time.Time) keyItem {
	return keyItem{
		k.ID, k.Name, *namedOrNil(&k.OwnerID, k.OwnerName), k.Permissions, append([]uuid.UUID{}, k.Projects...), append([]uuid.UUID{}, k.Desks...),
		k.ExpiresAt, k.RevokedAt, k.RevokedAt == nil && (k.ExpiresAt == nil || now.Before(*k.ExpiresAt)), nil, k.CreatedAt, k.Revision,
	}
}

var keySource = source{
	columns: `k.id, k.name, k.owner_id, o.name as owner_name, k.permissions, k.projects, k.desks, k.expires_at, k.revoked_at, k.created_at, k.revision`,
	from:    "annals_read.api_keys k left join annals_read.names o on o.id = k.owner_id",
	id:      "k.id",
	natural: "name",
	sorts: map[string]column{
		"name": textColumn("k.name"), "owner": textColumn("o.name"), "created_at": {"k.created_at", "timestamptz"},
		"expires_at": {"k.expires_at", "timestamptz"}, "revoked_at": {"k.revoked_at", "timestamptz"},
	},
}

// visibleKeys are one's own, and all for who manages the settings, which the policy
// goes by as well.
func visibleKeys(ctx context.Context) *query {
	a := access.Authority(ctx)
	q := &query{}
	if !a.MayIn(domain.SettingsManage, domain.ID{}) {
		q.and("k.owner_id = " + q.bind(a.ID) + "::uuid")
	}
	return q
}

type keysRequest struct {
	Page
	Live string `query:"live" doc:"true: only keys that can be used; false: only the others" enum:"true,false"`
}

func (a *API) keys(ctx context.Context, r *keysRequest) (*list[keyItem], error) {
	q, now := visibleKeys(ctx), a.Now()
	if r.Live != "" {
		live := "(k.revoked_at is null and (k.expires_at is null or k.expires_at > " + q.bind(now) + "::timestamptz))"
		q.and(live + " = " + q.bind(r.Live == "true") + "::boolean")
	}
	out, err := fetch(ctx, a, keySource, q, r.Page, func(k keyRow) keyItem { return k.item(now) })
	if err != nil {
		return nil, err
	}
	items := make([]*keyItem, len(out.Body.Items))
	for i := range out.Body.Items {
		items[i] = &out.Body.Items[i]
	}
	return out, a.used(ctx, items...)
}

func (a *API) key(ctx context.Context, in *byID) (*one[keyItem], error) {
	now := a.Now()
	out, err := fetchOne(ctx, a, keySource, visibleKeys(ctx), *in, "api_key", func(k keyRow) keyItem { return k.item(now) })
	if err != nil {
		return nil, err
	}
	return out, a.used(ctx, &out.Body)
}

// used adds when the keys were last used, which no read model knows: it is no event.
func (a *API) used(ctx context.Context, items ...*keyItem) error {
	if a.Uses == nil || len(items) == 0 {
		return nil
	}
	ids := make([]uuid.UUID, len(items))
	for i, k := range items {
		ids[i] = k.ID
	}
	at, err := a.Uses(ctx, ids)
	if err != nil {
		return fmt.Errorf("uses of API keys: %w", err)
	}
	for _, k := range items {
		if t, ok := at[k.ID]; ok {
			k.LastUsedAt = &t
		}
	}
	return nil
}
