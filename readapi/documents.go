package readapi

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/accesslog"
	"annals/internal/blobs"
	"annals/internal/eventlog"
	"annals/internal/filetype"
	"annals/internal/httpapi"
)

// documentItem is a document as it is answered, in lists and alone.
type documentItem struct {
	ID          uuid.UUID         `json:"id" format:"uuid"`
	Name        string            `json:"name"`
	Description string            `json:"description,omitempty"`
	Version     int               `json:"version" doc:"The number of the latest version, which the fields below are about"`
	Size        int64             `json:"size" doc:"In bytes"`
	MediaType   string            `json:"media_type" doc:"What it is, by its content" example:"application/pdf"`
	Preview     string            `json:"preview" enum:"image,pdf,text,none" doc:"As what a page can show it"`
	Contradicts bool              `json:"name_contradicts,omitempty" doc:"The extension of the name promises something that the content is not"`
	At          time.Time         `json:"at" doc:"When it was added"`
	Actor       named             `json:"actor" doc:"Who added it"`
	UpdatedAt   time.Time         `json:"updated_at" doc:"When the latest version was added"`
	Revision    int64             `json:"revision"`
	Erased      bool              `json:"erased,omitempty" doc:"The person has been erased: nobody can read the bytes any more"`
	Versions    []documentVersion `json:"versions,omitempty" doc:"Of a document alone: all of them, latest first"`
}

// documentVersion is one version of a document.
type documentVersion struct {
	Number       int       `json:"number" doc:"From 1 on"`
	ID           uuid.UUID `json:"id" format:"uuid"`
	At           time.Time `json:"at"`
	Actor        named     `json:"actor"`
	Size         int64     `json:"size" doc:"In bytes"`
	MediaType    string    `json:"media_type"`
	SHA256       string    `json:"sha256,omitempty" doc:"Of the bytes, hexadecimal"`
	StoredSHA256 string    `json:"stored_sha256" doc:"Of the encrypted bytes in storage, hexadecimal"`
}

// ActivityVersion is a version of a document as the feed shows it. It is exported for
// huma, see ActivityData.
type ActivityVersion struct {
	ID        uuid.UUID `json:"id" format:"uuid"`
	At        time.Time `json:"at"`
	ActorID   uuid.UUID `json:"actor_id" format:"uuid"`
	Size      int64     `json:"size" doc:"In bytes"`
	MediaType string    `json:"media_type"`
}

// storedVersion is a version as the projector of activities keeps it.
type storedVersion struct {
	ID           uuid.UUID `json:"id"`
	At           time.Time `json:"at"`
	ActorID      uuid.UUID `json:"actor_id"`
	ActorName    *string   `json:"actor_name"`
	Size         int64     `json:"size"`
	MediaType    string    `json:"media_type"`
	StoredSHA256 string    `json:"stored_sha256"`
}

type documentRow struct {
	keyset
	ID        uuid.UUID
	At        time.Time
	ActorID   uuid.UUID
	ActorName *string
	Revision  int64
	Erased    bool
	Count     int
	Versions  json.RawMessage // the latest, or all of them
	Personal  json.RawMessage
}

func (r documentRow) at() int64 { return r.Revision }

// personal is what of a document is erased with the person.
type personal struct {
	Name        string            `json:"name"`
	Description string            `json:"description"`
	SHA256      map[string]string `json:"sha256"` // by version
}

func (r documentRow) read() (p personal, versions []storedVersion) {
	if err := errors.Join(json.Unmarshal(r.Personal, &p), json.Unmarshal(r.Versions, &versions)); err != nil {
		panic(err) // the projector wrote it
	}
	return p, versions
}

func (r documentRow) item() documentItem {
	p, versions := r.read()
	latest := versions[len(versions)-1]
	return documentItem{
		ID: r.ID, Name: p.Name, Description: p.Description, Version: r.Count, Size: latest.Size, MediaType: latest.MediaType,
		Preview: filetype.Preview(latest.MediaType), Contradicts: filetype.Contradicts(latest.MediaType, p.Name),
		At: r.At, Actor: actor(r.ActorID, r.ActorName), UpdatedAt: latest.At, Revision: r.Revision, Erased: r.Erased,
	}
}

func (r documentRow) whole() documentItem {
	item := r.item()
	p, versions := r.read()
	for i, v := range slices.Backward(versions) {
		item.Versions = append(item.Versions, documentVersion{
			i + 1, v.ID, v.At, actor(v.ActorID, v.ActorName), v.Size, v.MediaType, p.SHA256[v.ID.String()], v.StoredSHA256,
		})
	}
	return item
}

// documentSource has the latest version of each document.
var documentSource = source{
	columns: documentColumns + `, jsonb_build_array(a.data->'versions'->-1) as versions`,
	from:    `annals_read.activities a left join annals_read.names n on n.id = a.actor_id`,
	id:      "a.id",
	natural: "-at",
	table:   "annals_read.activities a",
	indexed: map[string]bool{"a.at": false},
	sorts:   map[string]column{"at": {"a.at", "timestamptz"}},
}

const documentColumns = `a.id, a.at, a.actor_id, n.name as actor_name, a.revision, a.erased, a.personal,
	jsonb_array_length(a.data->'versions') as count`

// wholeDocumentSource has all versions, and who added them.
var wholeDocumentSource = source{
	columns: documentColumns + `, (select jsonb_agg(v.version || jsonb_build_object('actor_name', m.name) order by v.n)
		from jsonb_array_elements(a.data->'versions') with ordinality v (version, n)
		left join annals_read.names m on m.id = (v.version->>'actor_id')::uuid) as versions`,
	from: documentSource.from,
	id:   "a.id",
}

const notDeleted = `a.data->'deleted_at' is null`

type documentsRequest struct {
	ID uuid.UUID `path:"id" format:"uuid"`
	Page
}

// OneDocument is a request for one. It is exported for huma, see ActivityData.
type OneDocument struct {
	ID   uuid.UUID `path:"id" format:"uuid" doc:"Of the client"`
	Item uuid.UUID `path:"item" format:"uuid"`
	After
}

type contentRequest struct {
	OneDocument
	Version int `query:"version" doc:"Its number; the latest if left out" minimum:"1"`
}

// documentRoutes are the reads of documents.
func (a *API) documentRoutes(api *httpapi.API) {
	const path = "/api/v1/clients/{id}/documents"
	get(api, path, "List the documents of a client, newest first", a.documents)
	get(api, path+"/{item}", "One document, with its versions", a.document)
	media := slices.Sorted(maps.Keys(filetype.AllServed()))
	httpapi.HandleDownload(api, httpapi.GetOp(path+"/{item}/content", "The bytes of a document"), media, a.documentContent)
}

func (a *API) documents(ctx context.Context, in *documentsRequest) (*list[documentItem], error) {
	q := &query{}
	q.before = visible(ctx, in.ID)
	q.arms = []arm{{"a.client_id", []uuid.UUID{in.ID}, "a.kind = 'document'"}}
	q.and(notDeleted)
	out, err := fetch(ctx, a, documentSource, q, in.Page, documentRow.item)
	if err = a.orAbsent(ctx, in.ID, out, err); err != nil {
		return nil, err
	}
	return out, a.shown(ctx, accesslog.Documents, in.ID)
}

func (a *API) document(ctx context.Context, in *OneDocument) (*one[documentItem], error) {
	out, err := fetchDocument(ctx, a, in, documentRow.whole)
	if err != nil {
		return nil, err
	}
	return out, a.shownItem(ctx, accesslog.Documents, in.ID, in.Item)
}

func fetchDocument[T any](ctx context.Context, a *API, in *OneDocument, item func(documentRow) T) (*one[T], error) {
	q := &query{}
	q.before = visible(ctx, in.ID)
	q.and("a.kind = 'document' and a.client_id = " + q.bind(in.ID))
	q.and(notDeleted)
	return fetchOne(ctx, a, wholeDocumentSource, q, byID{in.Item, in.After}, "document", item)
}

// What may become of bytes that there were.
var (
	errNoVersion = domain.Errorf(domain.NotFound, "document.no_such_version", "the document has no version of that number")
	errErased    = domain.Errorf(domain.NotFound, "document.erased", "the person has been erased, and with them the key to these bytes")
	errNoBytes   = domain.Errorf(domain.Unavailable, "documents_unavailable", "there is no storage for documents")
)

func (a *API) documentContent(ctx context.Context, in *contentRequest) (*httpapi.Download, error) {
	if a.Blobs == nil {
		return nil, errNoBytes
	}
	found, err := fetchDocument(ctx, a, &in.OneDocument, func(r documentRow) documentItem { return r.whole() })
	if err != nil {
		return nil, err
	}
	doc := found.Body
	number := in.Version
	if number == 0 {
		number = doc.Version
	}
	if number > doc.Version {
		return nil, errNoVersion
	}
	v := doc.Versions[doc.Version-number]
	if err := a.shownItem(ctx, accesslog.Content, in.ID, in.Item); err != nil {
		return nil, err
	}
	d := &httpapi.Download{
		Name: doc.Name, MediaType: filetype.Served(v.MediaType, doc.Name), Size: v.Size,
		Header: http.Header{"ETag": {strconv.Quote(v.ID.String())}, "Annals-Position": {found.Position}},
		Open: func(ctx context.Context) (io.ReadCloser, error) {
			r, err := a.Blobs.Open(ctx, blobs.Name{Client: in.ID, Document: in.Item, Version: v.ID})
			if errors.Is(err, eventlog.ErrErased) {
				return nil, errErased
			}
			return r, err
		},
	}
	if digest, err := hex.DecodeString(v.SHA256); err == nil && len(digest) > 0 {
		d.Header.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(digest)+":")
	}
	return d, nil
}

// Documents is about how many documents a client has.
func (d *Directory) Documents(ctx context.Context, client domain.ID) (n int, err error) {
	c := access.From(ctx)
	c.Actor = &access.Actor{Authority: domain.Root, Who: domain.System}
	var b pgx.Batch
	b.Queue(`select set_config('annals.client', $1, true)`, client.String())
	b.Queue(`select count(*) from annals_read.activities a where a.client_id = $1 and a.kind = 'document' and `+notDeleted, client).
		QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
	return n, d.api.DB.Ask(access.With(ctx, c), &b)
}
