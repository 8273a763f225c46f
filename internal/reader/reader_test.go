package reader_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"annals/domain"
	"annals/internal/access"
	"annals/internal/postgres"
	"annals/internal/postgres/pgtest"
	"annals/internal/reader"
)

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func open(t *testing.T, url string) *reader.DB {
	t.Helper()
	db, err := reader.Open(t.Context(), url, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// ask returns what the statements answer, and the refusal's code.
func ask(ctx context.Context, db *reader.DB, statements ...string) (out []string, code string) {
	var b pgx.Batch
	for _, sql := range statements {
		b.Queue(sql).Query(func(rows pgx.Rows) error {
			texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
			out = append(out, texts...)
			return err
		})
	}
	if err := db.Ask(ctx, &b); err != nil {
		code = err.Error()
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
			code = pg.Code
		}
	}
	return out, code
}

func as(ctx context.Context, id domain.ID) context.Context {
	return access.With(ctx, access.Caller{Actor: &access.Actor{Who: id, Authority: domain.Authority{ID: id}}})
}

// What is asked is asked as somebody, on a connection that everybody uses.
func TestAsk(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	db := open(t, url)
	const who = `select coalesce(nullif(current_setting('annals.me', true), ''), 'nobody')`
	one, two := domain.ID{1}, domain.ID{2}
	for _, c := range []struct {
		ctx  context.Context
		want string
	}{
		{t.Context(), "nobody"},
		{as(t.Context(), one), one.String()},
		{as(t.Context(), two), two.String()},
		{t.Context(), "nobody"},
		{as(t.Context(), domain.ID{}), "nobody"},
	} {
		if out, code := ask(c.ctx, db, who, who); code != "" || strings.Join(out, " ") != c.want+" "+c.want {
			t.Errorf("%v %s, want %s", out, code, c.want)
		}
		// A batch that fails leaves nothing either.
		if _, code := ask(as(t.Context(), one), db, who, `select 1 / 0`); code != "22012" {
			t.Errorf("dividing by zero: %s", code)
		}
	}
	if out, code := ask(as(t.Context(), one), db, `select current_user::text`, `select current_setting('transaction_read_only')`); code != "" || strings.Join(out, " ") != postgres.Reader+" on" {
		t.Errorf("%v %s", out, code)
	}
}

// The role writes nothing, reads what it was given, and is held by the policies there.
func TestRole(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	db := open(t, url)
	_, err := connect(t, url).Exec(t.Context(), `
		create table given (me uuid); insert into given values ('01000000-0000-0000-0000-000000000000'), ('02000000-0000-0000-0000-000000000000');
		alter table given enable row level security; grant select on given to annals_reader;
		create policy visible on given to public using (me = (select nullif(current_setting('annals.me', true), '')::uuid));
		create table forgotten as table given; alter table forgotten enable row level security; grant select on forgotten to annals_reader;
		create table kept as table given; create schema secret; create table secret.s (n int)`)
	if err != nil {
		t.Fatal(err)
	}
	me := as(t.Context(), domain.ID{1})
	if out, code := ask(me, db, `select me::text from given`); code != "" || len(out) != 1 {
		t.Errorf("%v %s", out, code)
	}
	if out, code := ask(t.Context(), db, `select me::text from given`); code != "" || len(out) != 0 {
		t.Errorf("nobody sees %v %s", out, code)
	}
	if out, code := ask(me, db, `select me::text from forgotten`); code != "" || len(out) != 0 {
		t.Errorf("without a policy: %v %s", out, code)
	}
	// Were the connection not read-only, the role would still be nobody who writes.
	writable := connect(t, url)
	if _, err := writable.Exec(t.Context(), "set role "+postgres.Reader); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`insert into given values ('01000000-0000-0000-0000-000000000000')`, `delete from given`, `update given set me = null`,
		`truncate given`, `select me::text from kept`, `select n::text from secret.s`, `create table x (n int)`, `create schema x`,
		`drop table given`, `alter table given disable row level security`, `create role other`, `copy given to '/tmp/x'`,
		`select pg_read_file('postmaster.pid')`, `select rolpassword from pg_authid`,
	} {
		if _, code := ask(me, db, sql); code != "42501" && code != "25006" {
			t.Errorf("%s: %s", sql, code)
		}
		_, err := writable.Exec(t.Context(), sql)
		if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != "42501" {
			t.Errorf("%s, writable: %v", sql, err)
		}
	}
	if _, code := ask(me, db, `select set_config('transaction_read_only', 'off', true)`); code == "" {
		t.Error("a read-only transaction became another")
	}
	if out, code := ask(me, db, `select me::text from given`); code != "" || len(out) != 1 {
		t.Errorf("afterwards: %v %s", out, code)
	}
}

// Processes that start at the same moment all find the role; who may not make it is
// told what has to be run.
func TestRoleIsMade(t *testing.T) {
	base := pgtest.Database(t)
	admin := connect(t, base)
	run := func(sql string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	for _, name := range []string{"maker createrole", "poor"} {
		run("create role test_" + name + " login")
	}
	t.Cleanup(func() {
		_, _ = admin.Exec(context.Background(), `drop role if exists test_maker, test_poor`)
	})
	user := func(name string) string {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		q.Set("user", name)
		u.User, u.RawQuery = nil, q.Encode()
		return u.String()
	}
	if _, err := admin.Exec(t.Context(), `drop role if exists annals_reader, annals_finder`); err != nil {
		t.Fatalf("somebody else uses the role on this server: %v", err)
	}
	err := postgres.EnsureReader(t.Context(), connect(t, user("test_poor")))
	none, ok := errors.AsType[*postgres.NoReaderError](err)
	if !ok || none.Statements != "create role annals_reader nologin; create role annals_finder nologin; grant annals_reader, annals_finder to test_poor;" {
		t.Errorf("who may not: %v", err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			as := base
			if i%2 == 0 {
				as = user("test_maker")
			}
			db, err := reader.Open(t.Context(), as, 1)
			if err != nil {
				t.Errorf("at once: %v", err)
				return
			}
			db.Close()
		})
	}
	wg.Wait()
	run(none.Statements[strings.Index(none.Statements, "grant"):])
	if out, code := ask(t.Context(), open(t, user("test_poor")), `select current_user::text`); code != "" || len(out) != 1 || out[0] != postgres.Reader {
		t.Errorf("%v %s", out, code)
	}
}
