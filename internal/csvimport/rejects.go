package csvimport

import (
	"encoding/csv"
	"io"
	"slices"
	"strconv"
)

// rejectsWriter writes rejected rows in a form that can be mended and imported
// again: the columns line and reason, then those of the file as they were read, with
// the file's delimiter. A record that could not be taken apart stands whole in the
// third column. A nil rejectsWriter writes nothing.
//
// Cells that a spreadsheet takes for a formula are not defused: what is mended has to
// be what was read.
type rejectsWriter struct {
	csv *csv.Writer
	row []string // reused

	// skip is how many columns of the input come from an import before, and are
	// replaced by those of this one.
	skip int
}

var rejectsColumns = []string{"line", "reason"}

func newRejectsWriter(w io.Writer, f *file) (*rejectsWriter, error) {
	if w == nil {
		return nil, nil //nolint:nilnil // see rejectsWriter
	}
	// Read again with the same options, only the mark says that this is UTF-8.
	if f.mark || !f.utf8 {
		if _, err := io.WriteString(w, "\ufeff"); err != nil {
			return nil, err
		}
	}
	r := &rejectsWriter{csv: csv.NewWriter(w)}
	r.csv.Comma = f.delimiter
	if n := len(rejectsColumns); len(f.header) > n && slices.Equal(f.header[:n], rejectsColumns) && !f.mapping.uses(n) {
		r.skip = n
	}
	if err := r.csv.Write(slices.Concat(rejectsColumns, f.header[r.skip:])); err != nil {
		return nil, err
	}
	return r, nil
}

// uses says whether one of the first n columns is mapped.
func (m *mapping) uses(n int) bool {
	return slices.ContainsFunc(m.targets, func(t target) bool { return t.column < n })
}

func (r *rejectsWriter) write(j *job, reason string) error {
	if r == nil {
		return nil
	}
	r.row = append(r.row[:0], strconv.Itoa(j.line), reason)
	if j.fields == nil {
		r.row = append(r.row, j.raw)
	} else {
		r.row = append(r.row, j.fields[min(r.skip, len(j.fields)):]...)
	}
	return r.csv.Write(r.row)
}

func (r *rejectsWriter) flush() error {
	if r == nil {
		return nil
	}
	r.csv.Flush()
	return r.csv.Error()
}
