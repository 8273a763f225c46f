package pgtest_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"annals/internal/postgres/pgtest"
)

func TestDatabaseIsFreshAndEmpty(t *testing.T) {
	for range 2 {
		conn, err := pgx.Connect(t.Context(), pgtest.Database(t))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		if _, err := conn.Exec(t.Context(), "CREATE TABLE a (b text); CREATE EXTENSION pg_trgm"); err != nil {
			t.Fatal(err)
		}
		var s string
		if err := conn.QueryRow(t.Context(), "SELECT lower('ÄÉŁ')").Scan(&s); err != nil || s != "äéł" {
			t.Fatal(s, err)
		}
	}
}
