package audit

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/audit/proof"
	"annals/internal/eventlog"
	"annals/internal/httpapi"
)

// API answers what others need to prove and to check.
type API struct {
	Store     *Store
	Witnesses []proof.Witness // whose signatures are taken
}

const text = "text/plain; charset=utf-8"

type plain struct {
	ContentType string `header:"Content-Type"`
	Cache       string `header:"Cache-Control"`
	Body        []byte
}

// Routes adds what is read of the tree, and takes the signatures of witnesses.
func (a *API) Routes(api *httpapi.API) {
	get := func(path, summary string) httpapi.Op {
		op := httpapi.GetOp("/api/v1/audit/"+path, summary)
		op.Needs = domain.AuditView
		return op
	}
	op := get("key", "The public key that verifies checkpoints: name+hash+key, as golang.org/x/mod/sumdb/note writes it")
	op.Media = text
	httpapi.Handle(api, op, a.key)
	op = get("checkpoint", "The latest checkpoint of the tree over all events, signed: size and root, as C2SP tlog-checkpoint writes it")
	op.Media = text
	httpapi.Handle(api, op, a.checkpoint)
	httpapi.Handle(api, get("proof", "Prove that an event is in the tree, by its position; or, with from and to, that a later tree has all of an earlier one"), a.proof)
	tiles[Tile1](a, api, "{n}")
	tiles[Tile2](a, api, "{a}/{n}")
	tiles[Tile3](a, api, "{b}/{a}/{n}")
	tiles[Tile4](a, api, "{c}/{b}/{a}/{n}")
	op = httpapi.Op{
		ID: "post-audit-cosignature", Method: http.MethodPost, Path: "/api/v1/audit/cosignature", Tag: "audit", Status: http.StatusNoContent,
		Summary: "Add the signature of a witness to a checkpoint", Needs: domain.AuditView,
	}
	httpapi.Handle(api, op, a.cosign)
}

// permitted: what is in the tree is of all projects.
func permitted(ctx context.Context) error {
	if !access.Authority(ctx).MayIn(domain.AuditView, domain.ID{}) {
		return domain.ErrForbidden
	}
	return nil
}

var (
	errEmpty = domain.Errorf(domain.NotFound, "audit.empty", "there is no checkpoint yet: nothing has been written, or the worker does not run")
	errTile  = domain.Errorf(domain.NotFound, "audit.no_tile", "the tree has no such tile (yet)")
)

func (a *API) key(ctx context.Context, _ *struct{}) (*plain, error) {
	if err := permitted(ctx); err != nil {
		return nil, err
	}
	st, err := a.Store.State(ctx)
	if err == nil && st.Public == "" {
		err = errEmpty
	}
	if err != nil {
		return nil, err
	}
	return &plain{text, "no-cache", []byte(st.Public + "\n")}, nil
}

func (a *API) checkpoint(ctx context.Context, in *struct {
	Witnessed bool  `query:"witnessed" doc:"The latest that a witness has signed too"`
	Size      int64 `query:"size" minimum:"1" doc:"The one of a tree of that size"`
},
) (*plain, error) {
	if err := permitted(ctx); err != nil {
		return nil, err
	}
	c, err := a.Store.Checkpoint(ctx)
	switch {
	case in.Size > 0:
		c, err = a.Store.CheckpointAt(ctx, in.Size)
	case in.Witnessed:
		if c, err = a.Store.CheckpointFor(ctx, 0); err == nil && c.By == 0 {
			err = ErrAbsent
		}
	}
	if errors.Is(err, ErrAbsent) {
		return nil, errEmpty
	}
	if err != nil {
		return nil, err
	}
	return &plain{text, "no-cache", c.Note}, nil
}

// Tile1 to Tile4 are the path of a tile: its level, and as many parts as its number has
// thousands, with one more for its width.
type (
	Tile1 struct {
		Level int    `path:"level" minimum:"0" maximum:"7"`
		N     string `path:"n" maxLength:"10"`
	}
	Tile2 struct {
		A string `path:"a" maxLength:"10"`
		Tile1
	}
	Tile3 struct {
		B string `path:"b" maxLength:"10"`
		Tile2
	}
	Tile4 struct {
		C string `path:"c" maxLength:"10"`
		Tile3
	}
)

func (t Tile1) path() (int, string) { return t.Level, t.N }

func (t Tile2) path() (int, string) {
	l, rest := t.Tile1.path()
	return l, t.A + "/" + rest
}

func (t Tile3) path() (int, string) {
	l, rest := t.Tile2.path()
	return l, t.B + "/" + rest
}

func (t Tile4) path() (int, string) {
	l, rest := t.Tile3.path()
	return l, t.C + "/" + rest
}

// tiles adds the tiles whose paths have so many parts; the document has them once.
func tiles[T interface{ path() (int, string) }](a *API, api *httpapi.API, names string) {
	op := httpapi.GetOp("/api/v1/audit/tile/{level}/"+names, "A tile of the tree: up to 256 hashes of a level, as C2SP tlog-tiles names it: 0/x001/067 is the one with number 1067 of the level of leaves, 0/x001/067.p/10 its first ten hashes")
	op.Needs, op.Media, op.Hidden = domain.AuditView, "application/octet-stream", names != "{n}"
	httpapi.Handle(api, op, func(ctx context.Context, in *T) (*plain, error) { return a.tile(ctx, (*in).path) })
}

// tileAt is the tile of a path.
func tileAt(level int, path string) (proof.Tile, bool) {
	t := proof.Tile{L: level, W: proof.Width}
	number, width, partial := strings.Cut(path, ".p/")
	if partial {
		w, err := strconv.Atoi(width)
		if err != nil || w < 1 || w >= proof.Width {
			return t, false
		}
		t.W = w
	}
	n, err := strconv.ParseInt(strings.NewReplacer("x", "", "/", "").Replace(number), 10, 64)
	if err != nil || n < 0 {
		return t, false
	}
	t.N = n
	_, own, _ := strings.Cut(t.Path(), "/")
	return t, own == path // written in the one way that it is
}

func (a *API) tile(ctx context.Context, path func() (int, string)) (*plain, error) {
	if err := permitted(ctx); err != nil {
		return nil, err
	}
	t, ok := tileAt(path())
	if !ok {
		return nil, errTile
	}
	hashes, err := a.Store.Tile(ctx, t)
	if errors.Is(err, ErrAbsent) {
		return nil, errTile
	}
	if err != nil {
		return nil, err
	}
	// What a tile has does not change, and is nobody else's business.
	return &plain{"application/octet-stream", "private, max-age=31536000, immutable", proof.Join(hashes[:t.W])}, nil
}

// Proof is what proves that a leaf is in a tree, or that a tree has all of an earlier one.
type Proof struct {
	Index      *int64   `json:"index,omitempty" doc:"Of the leaf, from 0"`
	LeafHash   string   `json:"leaf_hash,omitempty" doc:"Hash of the leaf, in base64"`
	From       int64    `json:"from,omitempty" doc:"Leaves of the earlier tree"`
	Size       int64    `json:"size" doc:"Leaves of the tree that has it"`
	Hashes     []string `json:"hashes" doc:"Of RFC 6962, in base64"`
	Checkpoint string   `json:"checkpoint" doc:"Signed, of the tree that has it"`
}

type proofRequest struct {
	Position string `query:"position" maxLength:"50" doc:"Of an event"`
	From     int64  `query:"from" minimum:"1" doc:"How many leaves the earlier tree has"`
	To       int64  `query:"to" minimum:"1" doc:"How many leaves the later tree has; a checkpoint's size. The latest checkpoint's if missing"`
}

type proofAnswer struct{ Body Proof }

func (a *API) proof(ctx context.Context, in *proofRequest) (*proofAnswer, error) {
	if err := permitted(ctx); err != nil {
		return nil, err
	}
	var err error
	out := &proofAnswer{}
	switch {
	case in.Position != "" && in.From == 0:
		out.Body, err = a.inclusion(ctx, in)
	case in.From > 0 && in.Position == "":
		out.Body, err = a.consistency(ctx, in)
	default:
		return nil, domain.Fault("position", "required", "is missing: either the position of an event, or from which size on")
	}
	if errors.Is(err, ErrAbsent) {
		return nil, domain.Errorf(domain.NotFound, "audit.not_in_tree", "the tree does not have it (yet)")
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// signedTree is the checkpoint to prove with: of that many leaves, or if zero one with at
// least so many.
func (a *API) signedTree(ctx context.Context, size, least int64) (Issued, error) {
	if size > 0 {
		return a.Store.CheckpointAt(ctx, size)
	}
	return a.Store.CheckpointFor(ctx, least)
}

func (a *API) inclusion(ctx context.Context, in *proofRequest) (p Proof, err error) {
	at, err := eventlog.ParsePosition(in.Position)
	if err != nil {
		return p, domain.Fault("position", "malformed", "is no position of the log")
	}
	n, err := a.Store.Index(ctx, at)
	if err != nil {
		return p, err
	}
	c, err := a.signedTree(ctx, in.To, n+1)
	if err != nil {
		return p, err
	}
	if n >= c.Size {
		return p, ErrAbsent
	}
	hashes := a.Store.Hashes(ctx, c.Size)
	own, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, n)})
	if err != nil {
		return p, err
	}
	path, err := tlog.ProveRecord(c.Size, n, hashes)
	return Proof{Index: &n, LeafHash: encode(own[0]), Size: c.Size, Hashes: encoded(path), Checkpoint: string(c.Note)}, err
}

func (a *API) consistency(ctx context.Context, in *proofRequest) (p Proof, err error) {
	c, err := a.Store.Checkpoint(ctx)
	if in.To > 0 {
		c, err = a.Store.CheckpointAt(ctx, in.To)
	}
	if err != nil {
		return p, err
	}
	if in.From > c.Size {
		return p, ErrAbsent
	}
	path, err := tlog.ProveTree(c.Size, in.From, a.Store.Hashes(ctx, c.Size))
	return Proof{From: in.From, Size: c.Size, Hashes: encoded(path), Checkpoint: string(c.Note)}, err
}

func encode(h tlog.Hash) string { return base64.StdEncoding.EncodeToString(h[:]) }

func encoded(hashes []tlog.Hash) []string {
	out := make([]string, len(hashes))
	for i, h := range hashes {
		out[i] = encode(h)
	}
	return out
}

type cosignRequest struct {
	Body struct {
		Size      int64  `json:"size" minimum:"1" doc:"Leaves of the checkpoint"`
		Witness   string `json:"witness" maxLength:"200" doc:"Name of the witness"`
		Signature string `json:"signature" maxLength:"1000" doc:"The line of its signature, as C2SP tlog-cosignature writes it"`
	}
}

func (a *API) cosign(ctx context.Context, in *cosignRequest) (*struct{}, error) {
	if err := permitted(ctx); err != nil {
		return nil, err
	}
	st, err := a.Store.State(ctx)
	if err != nil {
		return nil, err
	}
	log, err := note.NewVerifier(st.Public)
	if err != nil {
		return nil, errEmpty
	}
	for _, w := range a.Witnesses {
		if w.Name() != in.Body.Witness {
			continue
		}
		err := a.Store.Cosign(ctx, in.Body.Size, log, w, []byte(strings.TrimRight(in.Body.Signature, "\n")+"\n"))
		if errors.Is(err, ErrAbsent) {
			return nil, domain.Errorf(domain.NotFound, "audit.no_checkpoint", "there is no checkpoint of %d leaves", in.Body.Size)
		}
		return nil, err
	}
	return nil, domain.Errorf(domain.Forbidden, "audit.unknown_witness", "ANNALS_WITNESSES has no witness of that name")
}
