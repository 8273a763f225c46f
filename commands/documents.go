package commands

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/attached"
	"annals/domain/client"
	"annals/domain/document"
	"annals/internal/blobs"
	"annals/internal/eventlog"
	"annals/internal/filetype"
	"annals/internal/httpapi"
	"annals/internal/jobs"
)

// Documents is what taking in documents needs. The zero value takes none.
type Documents struct {
	Blobs *blobs.Store
	// MostBytes is how large a file may be; 100 MiB if zero.
	MostBytes int64
	// MostVersions is how many a document may have; 100 if zero.
	MostVersions int
	// MostPerClient is about how many documents a client may have; 10,000 if zero. Those
	// that arrive at the same moment do not count each other.
	MostPerClient int
}

func (d Documents) mostBytes() int64   { return cmp.Or(d.MostBytes, 100<<20) }
func (d Documents) mostVersions() int  { return cmp.Or(d.MostVersions, 100) }
func (d Documents) mostPerClient() int { return cmp.Or(d.MostPerClient, 10_000) }

var errNoStorage = domain.Errorf(domain.Unavailable, "documents_unavailable", "there is no storage for documents")

// Titled is what a request may say about a file whose bytes are its body.
// It is exported for huma, see Keyed.
type Titled struct {
	Name        string `query:"name" doc:"What the file is called; if not here, as the form says" maxLength:"1000"`
	Description string `query:"description" maxLength:"2000"`
}

// documents takes in, changes and deletes documents.
func (a *API) documents(api *httpapi.API) {
	type adding struct {
		ID uuid.UUID `path:"id" format:"uuid" doc:"Of the client"`
		Keyed
		Titled
	}
	type addingVersion struct {
		Item
		Params
	}
	type deleting struct {
		Item
		Params
		Body *document.Delete
	}
	const path = "/api/v1/clients/{id}/documents"
	add := route{"POST", path, domain.DocumentsWrite, "Add a document to a client: a form with a part file, or the bytes themselves"}
	op := add.op()
	op.Status = http.StatusCreated
	httpapi.HandleUpload(api, op, a.Documents.mostBytes(), func(ctx context.Context, in *adding, up *httpapi.Upload) (*created, error) {
		at := route{add.method, strings.Replace(path, "{id}", in.ID.String(), 1), add.needs, add.summary}
		return a.create(a.addDocument(ctx, in.ID, at, in.Key, in.Titled, up))(at)
	})
	version := route{"POST", path + "/{item}/versions", domain.DocumentsWrite, "Add a version of a document: a form with a part file, or the bytes themselves"}
	op = version.op()
	op.Status = http.StatusCreated
	httpapi.HandleUpload(api, op, a.Documents.mostBytes(), func(ctx context.Context, in *addingVersion, up *httpapi.Upload) (*created, error) {
		at := version
		at.path = strings.Replace(strings.Replace(version.path, "{id}", in.ID.String(), 1), "{item}", in.Item.Item.String(), 1)
		o, err := a.addVersion(ctx, in.Item, at, in.Params, up)
		if err != nil {
			return nil, err
		}
		to := answerTo(o)
		return &created{strings.TrimSuffix(at.path, "/versions"), to.ETag, to.Position, to.Replayed, to.Body}, nil
	})
	within[document.Rename](a, api, route{"PATCH", path + "/{item}", domain.DocumentsWrite, "Rename or describe a document"}, document.Aggregate)
	remove := route{"DELETE", path + "/{item}", domain.DocumentsWrite, "Delete a document, with the bytes of all versions; the history says that there was one"}
	httpapi.Handle(api, remove.op(), func(ctx context.Context, in *deleting) (*answer, error) {
		c := document.Delete{}
		if in.Body != nil {
			c = *in.Body
		}
		o, err := a.deleteDocument(ctx, in.Item, remove, in.Params, c)
		if err != nil {
			return nil, err
		}
		out := answerTo(o)
		return &out, nil
	})
}

// arrival is a file on its way into a document.
type arrival struct {
	client, document domain.ID
	target, key      string // of the request, see meta
	ifMatch          string
	title            document.Title
	command          func(document.Title, document.Version) document.Command
}

func (a *API) addDocument(ctx context.Context, of domain.ID, at route, key string, t Titled, up *httpapi.Upload) (Outcome, error) {
	m, err := a.meta(ctx, at.method+" "+at.path, key, nil)
	if err != nil {
		return Outcome{}, err
	}
	in := arrival{
		client: of, document: newID(m), target: at.method + " " + at.path, key: key, title: document.Title{Name: t.Name, Description: t.Description},
		command: func(t document.Title, v document.Version) document.Command { return document.Add{Title: t, Version: v} },
	}
	to, err := Load[client.State](ctx, a.Store, domain.Ref{Category: domain.Client, ID: of})
	if err != nil {
		return Outcome{}, err
	}
	if err := to.Admits(m.By, domain.DocumentsWrite); err != nil {
		return Outcome{}, err
	}
	done, err := a.doneBefore(ctx, in.document, m)
	if err != nil {
		return Outcome{}, err
	}
	if !done && a.Directory != nil {
		n, err := a.Directory.Documents(ctx, of)
		if err != nil {
			return Outcome{}, err
		}
		if most := a.Documents.mostPerClient(); n >= most {
			return Outcome{}, domain.Errorf(domain.Conflict, "client.too_many_documents", "the client has %d documents, at most %d are allowed", n, most)
		}
	}
	return a.arrive(ctx, in, m, up)
}

func (a *API) addVersion(ctx context.Context, at Item, r route, p Params, up *httpapi.Upload) (Outcome, error) {
	in := arrival{
		client: at.ID, document: at.Item, target: r.method + " " + r.path, key: p.Key, ifMatch: p.IfMatch,
		command: func(_ document.Title, v document.Version) document.Command {
			return document.AddVersion{Version: v, Most: a.Documents.mostVersions()}
		},
	}
	m, err := a.meta(ctx, in.target, in.key, nil)
	if err != nil {
		return Outcome{}, err
	}
	if err := a.mayArrive(ctx, in, m); err != nil { // before a byte is read
		return Outcome{}, err
	}
	return a.arrive(ctx, in, m, up)
}

// mayArrive refuses early what would be refused once the file is there.
func (a *API) mayArrive(ctx context.Context, in arrival, m domain.Meta) error {
	unknown := document.Version{SHA256: "unknown"}
	_, err := would(ctx, a.Store, document.Aggregate, in.document, in.to(unknown), m)
	if err == nil || domain.KindOf(err) == domain.NotFound || domain.KindOf(err) == domain.Forbidden {
		return err
	}
	if done, errDone := a.doneBefore(ctx, in.document, m); errDone != nil || done {
		return errDone
	}
	return err
}

func (a *API) doneBefore(ctx context.Context, id domain.ID, m domain.Meta) (bool, error) {
	e, err := a.Store.load(ctx, domain.Ref{Category: domain.Document, ID: id})
	return err == nil && a.Store.did(e, m.Command), err
}

func (in arrival) to(v document.Version) attached.To[document.Command] {
	return attached.To[document.Command]{Client: in.client, Command: in.command(in.title, v)}
}

// arrive takes the bytes of a file into storage, and then what is known of them into the
// log. Whatever comes between, in the end storage has what the log has.
func (a *API) arrive(ctx context.Context, in arrival, m domain.Meta, up *httpapi.Upload) (Outcome, error) {
	if a.Documents.Blobs == nil {
		return Outcome{}, errNoStorage
	}
	at, err := revision(in.ifMatch)
	if err != nil {
		return Outcome{}, err
	}
	file, err := up.File()
	if err != nil {
		return Outcome{}, err
	}
	in.title = document.Title{Name: cmp.Or(in.title.Name, file.Name), Description: cmp.Or(in.title.Description, file.Description)}
	if err := a.mayArrive(ctx, in, m); err != nil {
		return Outcome{}, err
	}
	draft, media, err := a.store(ctx, in, file)
	if err != nil {
		return Outcome{}, err
	}
	o, err := a.arrived(ctx, in, m, up, draft, media, at)
	a.settleDraft(ctx, in, draft, err)
	return o, err
}

// store puts the file into storage. Its name there is new each time, so that no attempt
// at the same request is in the way of another.
func (a *API) store(ctx context.Context, in arrival, file io.Reader) (*blobs.Draft, string, error) {
	head := make([]byte, filetype.Head)
	n, err := io.ReadFull(file, head)
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		return nil, "", domain.Fault("file", "empty", "has no bytes")
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, "", err
	}
	head = head[:n]
	name := blobs.Name{Client: in.client, Document: in.document, Version: uuid.New()}
	draft, err := a.Documents.Blobs.Put(ctx, name, io.MultiReader(bytes.NewReader(head), file))
	return draft, filetype.Detect(head), err
}

// arrived tells the log.
func (a *API) arrived(ctx context.Context, in arrival, before domain.Meta, up *httpapi.Upload, draft *blobs.Draft, media string, at eventlog.Revision) (Outcome, error) {
	ctx, err := up.Again(ctx)
	if err != nil {
		return Outcome{}, err
	}
	v := document.Version{
		ID: draft.Name.Version, Size: draft.Size, MediaType: media,
		SHA256: hex.EncodeToString(draft.SHA256[:]), StoredSHA256: hex.EncodeToString(draft.StoredSHA256[:]),
	}
	m, err := a.meta(ctx, in.target, in.key, []string{in.title.Name, in.title.Description, v.SHA256})
	if err != nil {
		return Outcome{}, err
	}
	m.Command, m.Causation = before.Command, before.Causation
	if err := draft.Hold(ctx); err != nil {
		return Outcome{}, err
	}
	return Handle(ctx, a.Store, document.Aggregate, in.document, in.to(v), m, at)
}

// settleDraft keeps the bytes that the log has, and drops those that it does not have
// and never will. Where that is not known, time tells.
func (a *API) settleDraft(ctx context.Context, in arrival, draft *blobs.Draft, err error) {
	if err != nil {
		if refusedFor(err) {
			draft.Drop(ctx)
		}
		return
	}
	s, err := Load[document.State](ctx, a.Store, domain.Ref{Category: domain.Document, ID: in.document})
	switch {
	case err != nil:
	case s.Has(draft.Name.Version):
		draft.Keep(ctx)
	default: // the request had been carried out before, or nothing would have changed
		draft.Drop(ctx)
	}
}

// refusedFor says whether err leaves no doubt that nothing was appended.
func refusedFor(err error) bool {
	if _, answered := errors.AsType[*httpapi.Problem](err); answered {
		return true
	}
	switch domain.KindOf(err) {
	case domain.Internal, domain.Unavailable:
		return errors.Is(err, blobs.ErrOvertaken)
	case domain.Invalid, domain.NotFound, domain.Conflict, domain.Forbidden, domain.Unauthorized, domain.Precondition, domain.TooMany, domain.TooLarge:
	}
	return true
}

// deleteDocument deletes a document in the log, and then its bytes.
func (a *API) deleteDocument(ctx context.Context, at Item, r route, p Params, c document.Delete) (Outcome, error) {
	if a.Documents.Blobs == nil {
		return Outcome{}, errNoStorage
	}
	r.path = strings.Replace(strings.Replace(r.path, "{id}", at.ID.String(), 1), "{item}", "{id}", 1)
	to, err := a.addressed(ctx, r, at.Item, p, c)
	if err != nil {
		return Outcome{}, err
	}
	command := attached.To[document.Command]{Client: at.ID, Command: c}
	if _, err := would(ctx, a.Store, document.Aggregate, at.Item, command, to.meta); err != nil {
		return Outcome{}, err
	}
	if err := a.Documents.Blobs.Doom(ctx, at.ID, at.Item); err != nil {
		return Outcome{}, err
	}
	o, err := Handle(ctx, a.Store, document.Aggregate, at.Item, command, to.meta, to.at)
	if err != nil {
		return o, err
	}
	// Not those that were there before: others may have come until it was deleted.
	if left, err := a.documentContents(ctx, at.ID, at.Item); err == nil && left.Deleted {
		a.Documents.Blobs.Delete(ctx, at.ID, at.Item, left.Versions)
	}
	return o, nil
}

// SweepDocuments deletes bytes that the log does not have, which a process left behind
// that was killed, and answers how many it has settled.
func (a *API) SweepDocuments(ctx context.Context) (int, error) {
	return a.Documents.Blobs.Sweep(ctx, a.documentContents)
}

// ScheduleDocuments has that done every minute by j.
func (a *API) ScheduleDocuments(j *jobs.Jobs) error {
	return a.Documents.Blobs.Schedule(j, a.documentContents)
}

// documentContents is what the log has of a document.
func (a *API) documentContents(ctx context.Context, of, id domain.ID) (blobs.Contents, error) {
	s, err := Load[document.State](ctx, a.Store, domain.Ref{Category: domain.Document, ID: id})
	switch {
	case domain.KindOf(err) == domain.NotFound:
		return blobs.Contents{}, nil // for good
	case err != nil:
		return blobs.Contents{}, err
	case !s.Exists() || s.ClientID() != of:
		return blobs.Contents{}, nil
	}
	c := blobs.Contents{Deleted: s.Deleted}
	for _, v := range s.Versions {
		c.Versions = append(c.Versions, v.ID)
	}
	return c, nil
}
