package readapi

import (
	"context"
	"io"

	"github.com/google/uuid"
)

// ExportPage is how many items of an export are in memory at a time.
const ExportPage = exportPage

// BeginExport begins an export, of which nothing is written yet.
func (a *API) BeginExport(ctx context.Context, client uuid.UUID) (func(io.Writer) error, error) {
	file, err := a.export(ctx, &exportRequest{ID: client, Format: "json"})
	if err != nil {
		return nil, err
	}
	return func(w io.Writer) error { return file.Write(ctx, w) }, nil
}
