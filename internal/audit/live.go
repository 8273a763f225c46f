package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"annals/eventschema"
	"annals/internal/audit/proof"
	"annals/internal/eventlog"
)

// Live is what checking a running log came to.
type Live struct {
	Compared
	Checkpoint proof.Checkpoint
	Cosigned   []proof.Cosigned
}

// Verification is what a running log is checked with.
type Verification struct {
	Log          Log
	Tree         *Store
	Key          note.Verifier
	Witnesses    []proof.Witness
	Authenticity func(*eventlog.Record) eventschema.Authenticity // see [Comparison]
}

// Live holds the log against the tree, event by event, and the tree, with every
// hash above its leaves, against the latest checkpoint that was signed. Each thing that
// is wrong is reported.
func (v Verification) Live(ctx context.Context, report func(Finding)) (out Live, err error) {
	tree := v.Tree
	c, err := tree.Checkpoint(ctx)
	if err != nil {
		return out, err
	}
	wrong := func(format string, args ...any) { report(Finding{-1, c.At, fmt.Sprintf(format, args...)}) }
	out.Checkpoint, out.Cosigned, err = proof.Open(c.Note, v.Key, v.Witnesses...)
	if err != nil || out.Checkpoint.Size != c.Size {
		wrong("the checkpoint of %d leaves is not one that the log has signed", c.Size)
		out.Checkpoint.Size = c.Size
	}
	var failed error
	out.Compared, err = Comparison{
		Log: v.Log, Leaves: tree.All(ctx, 0), Size: c.Size, Until: c.At, Report: report, Authenticity: v.Authenticity,
		Whole: func(t proof.Tile, want []tlog.Hash) {
			got, err := tree.Tile(ctx, t)
			switch {
			case errors.Is(err, ErrAbsent) || err == nil && !slices.Equal(got, want):
				wrong("tile %s is not the one over the leaves that it is of", t.Path())
			case err != nil:
				failed = err
			}
		},
	}.Run(ctx)
	if err = errors.Join(err, failed); err != nil {
		return out, err
	}
	if out.Root != out.Checkpoint.Root {
		wrong("the hashes of the tree's leaves are not those that were signed")
	}
	// What proofs are made of at the tree's right edge.
	above, err := tlog.TreeHash(c.Size, tree.Hashes(ctx, c.Size))
	if err != nil && !errors.Is(err, ErrAbsent) {
		return out, err
	}
	if err != nil || above != out.Checkpoint.Root {
		wrong("the tiles of the tree are not those that were signed")
	}
	return out, nil
}
