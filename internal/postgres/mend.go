package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
)

// leftover is what PostgreSQL says when, at the end of a recovery, it wants to make the empty main file of an unlogged
// table or index, and there is one. That happens after a crash that lost the record of a transaction that made such a
// table and rolled back: the rollback removed the file by which recovery knows, at its start, that the main one has
// to go, and replay has made it again.
var leftover = regexp.MustCompile(`could not create file "(base/[0-9]+/[0-9]+)": File exists`)

// mend removes the file that keeps PostgreSQL from starting for that reason, and says whether there was one. Recovery
// empties the unlogged in any case: nothing that was promised to be kept is in there.
func (p place) mend(said string) (file string, err error) {
	m := leftover.FindStringSubmatch(said)
	if m == nil {
		return "", nil
	}
	main := filepath.Join(p.data(), m[1])
	if _, err := os.Stat(main + "_init"); err != nil { // then it is not unlogged
		if errors.Is(err, os.ErrNotExist) {
			return "", nil
		}
		return "", err
	}
	return m[1], os.Remove(main)
}
