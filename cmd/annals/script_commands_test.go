package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"annals/internal/esnode/esnodetest"
	"annals/internal/postgres"
	"annals/internal/postgres/pgtest"
)

// scriptCommands are what the stories have beyond testscript's own.
var scriptCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	// database: a new, empty database for ANNALS_DATABASE, whose user is a superuser
	"database": func(ts *testscript.TestScript, _ bool, _ []string) {
		ts.Setenv("ANNALS_DATABASE", pgtest.Database(of(ts).tb))
	},
	// eventstore: another node, with a database of its own, for ANNALS_EVENTSTORE
	"eventstore": func(ts *testscript.TestScript, _ bool, _ []string) {
		ts.Setenv("ANNALS_EVENTSTORE", esnodetest.Start(of(ts).tb))
	},
	// serve [-as NAME] [ARG…]: annals serve, until it is ready; ANNALS_URL is then its address
	"serve": serveScript,
	// stop-server [NAME]: SIGTERM, and it has to leave with 0; stop is testscript's own, and ends the story
	"stop-server": func(ts *testscript.TestScript, _ bool, args []string) {
		p := of(ts).named(ts, args)
		ts.Check(p.stop(syscall.SIGTERM))
		ts.Check(p.err)
	},
	// kill9 [NAME]: SIGKILL
	"kill9": func(ts *testscript.TestScript, _ bool, args []string) {
		ts.Check(of(ts).named(ts, args).stop(syscall.SIGKILL))
	},
	// kill-postgres: SIGKILL for the private PostgreSQL
	"kill-postgres": func(ts *testscript.TestScript, _ bool, _ []string) {
		pid := postmaster(ts.Getenv("ANNALS_DATA"))
		if pid == 0 {
			ts.Fatalf("there is no PostgreSQL to kill")
		}
		ts.Check(syscall.Kill(pid, syscall.SIGKILL))
		for postmaster(ts.Getenv("ANNALS_DATA")) == pid && syscall.Kill(pid, 0) == nil {
			<-time.After(time.Millisecond)
		}
	},
	// until-logged WORDS [NAME]: waits until the server has written that
	"until-logged": func(ts *testscript.TestScript, _ bool, args []string) {
		ts.Check(of(ts).named(ts, args[1:]).untilLogged(context.Background(), args[0]))
	},
	// until-ready: asks until the server is in order
	"until-ready": untilReadyScript,
	// owned-by ROLE PASSWORD: that role owns the database, and is who uses it from now on
	"owned-by": func(ts *testscript.TestScript, _ bool, args []string) {
		u, err := url.Parse(ts.Getenv("ANNALS_DATABASE"))
		ts.Check(err)
		sqlScript(ts, false, []string{"alter database " + strings.TrimPrefix(u.Path, "/") + " owner to " + args[0]})
		q := u.Query()
		q.Set("user", args[0])
		q.Set("password", args[1])
		u.User, u.RawQuery = nil, q.Encode()
		ts.Setenv("ANNALS_DATABASE", u.String())
	},
	// output [NAME], logs [NAME]: what a server has written on standard output, on standard error
	"output": func(ts *testscript.TestScript, _ bool, args []string) {
		fmt.Fprint(ts.Stdout(), of(ts).named(ts, args).out.String())
	},
	"logs": func(ts *testscript.TestScript, _ bool, args []string) {
		fmt.Fprint(ts.Stdout(), of(ts).named(ts, args).logs.String())
	},
	// exits STATUS PROGRAM [ARG…]: runs it, and it has to leave with that status
	"exits": func(ts *testscript.TestScript, _ bool, args []string) {
		want, err := strconv.Atoi(args[0])
		ts.Check(err)
		got := 0
		if err := ts.Exec(args[1], args[2:]...); err != nil {
			e, ok := errors.AsType[*exec.ExitError](err)
			if !ok {
				ts.Fatalf("%v", err)
			}
			got = e.ExitCode()
		}
		if got != want {
			ts.Fatalf("%s left with %d, not %d", args[1], got, want)
		}
	},
	// capture NAME: the last standard output, in a variable
	"capture": func(ts *testscript.TestScript, _ bool, args []string) {
		ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
	},
	// sign-in EMAIL PASSWORD: ANNALS_TOKEN is then theirs
	"sign-in": func(ts *testscript.TestScript, _ bool, args []string) {
		c, err := newCaller(ts.Getenv("ANNALS_URL")).signIn(context.Background(), args[0], args[1])
		ts.Check(err)
		ts.Setenv("ANNALS_TOKEN", c.token)
	},
	// http METHOD PATH [BODY] ['Header: value'…]: the answer's body goes to standard output; it has to succeed
	"http": httpScript,
	// status CODE, header NAME VALUE: of the last answer
	"status": func(ts *testscript.TestScript, _ bool, args []string) {
		if got := strconv.Itoa(of(ts).last.status); got != args[0] {
			ts.Fatalf("status %s, not %s: %s", got, args[0], of(ts).last.body)
		}
	},
	"header": func(ts *testscript.TestScript, _ bool, args []string) {
		if got := of(ts).last.header.Get(args[0]); got != args[1] {
			ts.Fatalf("%s is %q, not %q", args[0], got, args[1])
		}
	},
	// want PATH VALUE: something in the last answer, as in items.0.name; PATH.len is the length of a list
	"want": func(ts *testscript.TestScript, neg bool, args []string) {
		if got := of(ts).at(ts, args[0]); (got == args[1]) == neg {
			ts.Fatalf("%s is %s", args[0], got)
		}
	},
	// get NAME PATH: something in the last answer, in a variable
	"get": func(ts *testscript.TestScript, _ bool, args []string) {
		ts.Setenv(args[0], of(ts).at(ts, args[1]))
	},
	// until-mail ADDRESS: waits until there is a message to it; annals mail list goes to standard output
	"until-mail": func(ts *testscript.TestScript, _ bool, args []string) {
		for range 500 {
			ts.Check(ts.Exec("annals", "mail", "list"))
			if strings.Contains(ts.ReadFile("stdout"), args[0]) {
				return
			}
			<-time.After(10 * time.Millisecond)
		}
		ts.Fatalf("nothing was mailed to %s", args[0])
	},
	// capture-mail ADDRESS NAME: what the link in the latest message to it holds, in a variable
	"capture-mail": func(ts *testscript.TestScript, _ bool, args []string) {
		ts.Check(ts.Exec("annals", "mail", "list"))
		for line := range strings.Lines(ts.ReadFile("stdout")) {
			if !strings.Contains(line, args[0]) {
				continue
			}
			ts.Check(ts.Exec("annals", "mail", "show", strings.Fields(line)[0]))
			_, token, _ := strings.Cut(ts.ReadFile("stdout"), "#token=")
			if fields := strings.Fields(token); len(fields) > 0 {
				ts.Setenv(args[1], fields[0])
				return
			}
		}
		ts.Fatalf("no link was mailed to %s", args[0])
	},
	// sql STATEMENT: in the database; rows go to standard output
	"sql": sqlScript,
	// append STREAM TYPE DATA [METADATA]: to the log, through the official client
	"append": appendScript,
	// destroy-key ID: of a client, through the official client
	"destroy-key": func(ts *testscript.TestScript, _ bool, args []string) {
		client := vendor(ts)
		defer client.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_, err := client.TombstoneStream(ctx, "key-"+args[0], esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}})
		ts.Check(err)
	},
	// until-erased ID: waits until the list of the erased has it
	"until-erased": func(ts *testscript.TestScript, _ bool, args []string) {
		for range 500 {
			raw, _ := os.ReadFile(ts.Getenv("ANNALS_DATA") + "/erased.list")
			if strings.Contains(string(raw), args[0]) {
				return
			}
			<-time.After(10 * time.Millisecond)
		}
		ts.Fatalf("%s is not on the list of the erased", args[0])
	},
	// endpoint NAME: a receiver of webhooks, whose URL is then in that variable
	"endpoint": endpointScript,
	// endpoint-down URL, endpoint-up URL: it refuses everything, or takes it
	"endpoint-down": endpointDown(true),
	"endpoint-up":   endpointDown(false),
	// endpoint-checks URL SECRET: signatures, from now on
	"endpoint-checks": endpointChecks,
	// received URL N WORD: waits for the N-th delivery, which has to hold the word, and goes to standard output
	"received": receivedScript,
	// until-noted WEBHOOK N: waits until that many deliveries are known to have been delivered, even if it dies now
	"until-noted": untilNoted,
	// nowhere WORD…: none of them is in anything that servers have written so far, except their standard output
	"nowhere": func(ts *testscript.TestScript, _ bool, args []string) {
		for name, p := range of(ts).servers {
			for _, word := range args {
				if word == "" {
					ts.Fatalf("nowhere: an empty word")
				}
				if strings.Contains(p.logs.String(), word) {
					ts.Fatalf("%s is in the log of %s", word, name)
				}
			}
		}
	},
}

// story is what a script remembers.
type story struct {
	tb      testing.TB
	servers map[string]*process
	data    map[string]string // directory by server
	last    *reply
}

type storyKey struct{}

func of(ts *testscript.TestScript) *story { return ts.Value(storyKey{}).(*story) }

const firstServer = "annals"

func (s *story) named(ts *testscript.TestScript, args []string) *process {
	name := firstServer
	if len(args) > 0 {
		name = args[0]
	}
	p := s.servers[name]
	if p == nil {
		ts.Fatalf("there is no server %s", name)
	}
	return p
}

func serveScript(ts *testscript.TestScript, _ bool, args []string) {
	s, name := of(ts), firstServer
	if len(args) > 1 && args[0] == "-as" {
		name, args = args[1], args[2:]
	}
	bin, err := exec.LookPath("annals")
	ts.Check(err)
	env := hermetic()
	names := []string{"ANNALS_CONFIG", "HOME"}
	for _, s := range settings {
		names = append(names, s.env)
	}
	for _, n := range names {
		if v := ts.Getenv(n); v != "" {
			env = append(env, n+"="+v)
		}
	}
	p, err := launch(bin, env, args...)
	ts.Check(err)
	before := s.servers[name]
	s.servers[name] = p
	data := ts.Getenv("ANNALS_DATA")
	ts.Defer(func() {
		err := p.stop(syscall.SIGKILL)
		if err == nil && (before == nil || s.data[name] != data) {
			err = stopLeftBehind(data)
		}
		if err != nil {
			ts.Logf("clean up: %v", err)
		}
	})
	s.data[name] = data
	ts.Check(p.untilReady(context.Background()))
	ts.Setenv("ANNALS_URL", p.url)
}

func untilReadyScript(ts *testscript.TestScript, _ bool, _ []string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := newCaller(ts.Getenv("ANNALS_URL"))
	for {
		res, err := c.send(ctx, "GET", "/readyz", nil)
		if err == nil && res.status == http.StatusOK {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			ts.Fatalf("not ready: %v: %s", err, of(ts).named(ts, nil).logs.tail())
		}
	}
}

func httpScript(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: http METHOD PATH [BODY] ['Header: value'…]")
	}
	c := newCaller(ts.Getenv("ANNALS_URL"))
	defer c.http.CloseIdleConnections()
	c.token = ts.Getenv("ANNALS_TOKEN")
	var body any
	var header []string
	for _, arg := range args[2:] {
		if name, value, ok := strings.Cut(arg, ": "); ok && !strings.HasPrefix(arg, "{") {
			header = append(header, name, value)
			continue
		}
		if !json.Valid([]byte(arg)) {
			ts.Fatalf("neither JSON nor a header: %s", arg)
		}
		body = json.RawMessage(arg)
	}
	res, err := c.send(context.Background(), args[0], args[1], body, header...)
	ts.Check(err)
	of(ts).last = res
	fmt.Fprintf(ts.Stdout(), "%s\n", strings.TrimSuffix(string(res.body), "\n"))
	if (res.status/100 == 2) == neg {
		ts.Fatalf("%s %s: %d: %s", args[0], args[1], res.status, res.body)
	}
}

// at finds something in the last answer.
func (s *story) at(ts *testscript.TestScript, path string) string {
	if s.last == nil {
		ts.Fatalf("there is no answer yet")
	}
	var v any
	if err := json.Unmarshal(s.last.body, &v); err != nil {
		ts.Fatalf("the answer is not JSON: %s", s.last.body)
	}
	for word := range strings.SplitSeq(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[word]
		case []any:
			if word == "len" {
				v = len(at)
				continue
			}
			i, err := strconv.Atoi(word)
			if err != nil || i >= len(at) {
				ts.Fatalf("%s: there is no %s in %s", path, word, s.last.body)
			}
			v = at[i]
		default:
			ts.Fatalf("%s: there is no %s in %s", path, word, s.last.body)
		}
	}
	if text, ok := v.(string); ok {
		return text
	}
	raw, err := json.Marshal(v)
	ts.Check(err)
	return string(raw)
}

func sqlScript(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	url := ts.Getenv("ANNALS_DATABASE")
	if url == "" {
		var err error
		url, err = postgres.URLFor(ts.Getenv("ANNALS_DATA") + "/postgres")
		ts.Check(err)
	}
	db, err := pgx.Connect(ctx, url)
	ts.Check(err)
	defer db.Close(ctx)
	for _, statement := range args {
		rows, err := db.Query(ctx, statement)
		ts.Check(err)
		for rows.Next() {
			values, err := rows.Values()
			ts.Check(err)
			words := make([]string, len(values))
			for i, v := range values {
				words[i] = fmt.Sprint(v)
				if b, ok := v.([]byte); ok {
					words[i] = string(b)
				}
			}
			fmt.Fprintln(ts.Stdout(), strings.Join(words, "\t"))
		}
		ts.Check(rows.Err())
	}
}

// vendor is the official client of the server's log.
func vendor(ts *testscript.TestScript) *esdb.Client {
	raw, err := os.ReadFile(ts.Getenv("ANNALS_DATA") + "/running.json")
	ts.Check(err)
	var r running
	ts.Check(json.Unmarshal(raw, &r))
	conf, err := esdb.ParseConnectionString(r.EventStore)
	ts.Check(err)
	conf.Logger = esdb.NoopLogging()
	client, err := esdb.NewClient(conf)
	ts.Check(err)
	return client
}

func appendScript(ts *testscript.TestScript, _ bool, args []string) {
	client := vendor(ts)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	metadata := fmt.Sprintf(`{"actor":%q,"command_id":%q,"at":%q,"schema":1}`, uuid.New(), uuid.New(), time.Now().UTC().Format(time.RFC3339Nano))
	args = append(slices.Clone(args), metadata)
	_, err := client.AppendToStream(ctx, args[0], esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, esdb.EventData{
		EventID: uuid.New(), EventType: args[1], ContentType: esdb.ContentTypeJson, Data: []byte(args[2]), Metadata: []byte(args[3]),
	})
	ts.Check(err)
}
