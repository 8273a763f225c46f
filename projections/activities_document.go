package projections

import (
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/domain/document"
	"annals/internal/eventlog"
	"annals/internal/filetype"
)

// addDocumentVersion puts a version behind those that there are. Digests of the bytes
// are erased with the person, so that they are apart.
var addDocumentVersion = NewUpdate("activities", "id", `revision = $2,
	data = jsonb_set(data || $3::jsonb, '{versions}', (data->'versions') || $4::jsonb),
	personal = case when $5::jsonb = '{}' then personal
		else jsonb_set(personal, '{sha256}', coalesce(personal->'sha256', '{}') || $5::jsonb) end,
	sealed = sealed or $6, erased = erased or $7`)

func applyDocument(b *pgx.Batch, r *eventlog.Record, e document.Event) {
	switch e := e.(type) {
	case document.Added:
		latest, version, digest := documentVersion(r, e.Version)
		latest["versions"] = []any{version}
		a := activity{kind: domain.Document, at: r.Meta.At, data: latest, personal: map[string]any{"name": e.Name, "description": e.Description}}
		if len(digest) > 0 {
			a.personal["sha256"] = digest
		}
		a.add(b, r)
	case document.VersionAdded:
		latest, version, digest := documentVersion(r, e.Version)
		addDocumentVersion.Queue(b, id(r), r.Revision, object(latest), object(version), object(digest), personalIn(r), len(r.Erased) > 0)
	case document.Renamed:
		changed := map[string]any{}
		if e.To.Name != "" {
			changed["name"] = e.To.Name
		}
		if e.From.Description != "" || e.To.Description != "" {
			changed["description"] = e.To.Description
		}
		activity{personal: changed}.change(b, r)
	case document.Deleted:
		activity{data: map[string]any{"deleted_at": r.Meta.At}, personal: map[string]any{"deletion_reason": e.Reason}}.change(b, r)
	}
}

// documentVersion is what a document shows of its latest version, the version as it is
// kept, and the digest of its bytes by its id, unless that is erased.
func documentVersion(r *eventlog.Record, v document.Version) (latest, kept map[string]any, digest map[string]string) {
	latest = map[string]any{"size": v.Size, "media_type": v.MediaType, "preview": filetype.Preview(v.MediaType)}
	kept = map[string]any{
		"id": v.ID, "at": r.Meta.At, "actor_id": r.Meta.Actor, "size": v.Size, "media_type": v.MediaType, "stored_sha256": v.StoredSHA256,
	}
	digest = map[string]string{}
	if v.SHA256 != "" {
		digest[v.ID.String()] = v.SHA256
	}
	return latest, kept, digest
}

func object(values any) []byte {
	raw, err := json.Marshal(values)
	if err != nil {
		panic(err) // the fields of an event were read from JSON
	}
	return raw
}
