package webhook_test

import (
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"annals/internal/npmtest"
	"annals/internal/webhook"
)

//go:embed npm/package.json npm/package-lock.json npm/.npmrc npm/verify.mjs
var npm embed.FS

// claim is a delivery, perhaps tampered with, and whether a receiver with the secret takes it.
type claim struct {
	Name    string            `json:"name"`
	Secret  string            `json:"secret"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	OK      bool              `json:"ok"`
}

func claimOf(name, secret string, d delivery, ok bool) claim {
	h := map[string]string{}
	for _, k := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
		h[k] = d.Get(k)
	}
	return claim{name, secret, h, string(d.body), ok}
}

// TestOthersVerify: the official libraries of Standard Webhooks, and the samples in the
// documentation, take real deliveries, also while the secret changes, and nothing that
// was tampered with.
func TestOthersVerify(t *testing.T) {
	s, r := newSite(t), newReceiver(t)
	s.deliver(nil)
	id, secret, public := s.hook(s.User, r.URL, nil)
	client := s.client("Moreau")
	before := r.got(1)[0]
	rotated := s.Post(t, "/api/v1/webhooks/"+id+"/rotate", nil)
	rotated.Want(t, 200)
	second, secondPublic := rotated.Text("secret"), rotated.Text("public_key")
	if second == secret || secondPublic == public {
		t.Fatal("the secret is the same as before")
	}
	s.Clock.Advance(3 * time.Second) // longer than a key is remembered
	s.edit(client, "Martin")
	during := r.got(2)[1]

	changed := during
	changed.body = []byte(strings.Replace(string(during.body), "client.edited", "client.editeD", 1))
	old := during
	old.Header = during.Clone()
	old.Set("webhook-timestamp", strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10))
	other := webhook.NewKey()
	stale := during // signed, an hour ago
	stale.Header = during.Clone()
	at := time.Now().Add(-time.Hour)
	stale.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
	stale.Set("webhook-signature", webhook.Sign([]webhook.Key{other}, stale.Get("webhook-id"), at, stale.body))
	pairs := func(kind, first, second, none string) []claim {
		return []claim{
			claimOf(kind+": before", first, before, true),
			claimOf(kind+": before, by the secret that came then", second, before, false),
			claimOf(kind+": during, by the first secret", first, during, true),
			claimOf(kind+": during, by the second", second, during, true),
			claimOf(kind+": a changed byte", second, changed, false),
			claimOf(kind+": another timestamp", second, old, false),
			claimOf(kind+": an old timestamp", none, stale, false),
			claimOf(kind+": another secret", none, during, false),
		}
	}
	symmetric := pairs("v1", secret, second, other.Secret())
	all := append(symmetric, pairs("v1a", public, secondPublic, other.Public())...)

	for _, c := range all {
		err := webhook.Verify(c.Secret, c.Headers["webhook-id"], c.Headers["webhook-timestamp"], c.Headers["webhook-signature"], []byte(c.Body), time.Now().Add(3*time.Second))
		if (err == nil) != c.OK {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
	for _, c := range symmetric {
		w, err := standardwebhooks.NewWebhook(c.Secret)
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		for k, v := range c.Headers {
			h.Set(k, v)
		}
		if err := w.Verify([]byte(c.Body), h); (err == nil) != c.OK {
			t.Errorf("the library of Go: %s: %v", c.Name, err)
		}
	}
	files, err := fs.Sub(npm, "npm")
	if err != nil {
		t.Fatal(err)
	}
	dir := npmtest.Folder(t, files, "verify.mjs")
	given := filepath.Join(dir, "claims.json")
	write(t, given, symmetric)
	npmtest.Run(t, exec.CommandContext(t.Context(), npmtest.Node(t), "verify.mjs", given), dir)

	samples(t, dir, given)
}

func write(t *testing.T, name string, v any) {
	t.Helper()
	raw, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(name, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// samples runs those of the documentation, each with a few lines that ask it about every claim.
func samples(t *testing.T, dir, given string) {
	t.Helper()
	doc, err := os.ReadFile("../../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	block := func(language string) string {
		_, rest, ok := strings.Cut(string(doc), "\n```"+language+"\n")
		code, _, end := strings.Cut(rest, "\n```\n")
		if !ok || !end {
			t.Fatalf("docs/webhooks.md has no sample in %s", language)
		}
		return code + "\n"
	}
	file := func(name, code string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file("sample.py", block("python")+`
import json, sys
for c in json.load(open(sys.argv[1])):
    ok = verify(c["secret"], c["headers"], c["body"].encode())
    assert ok == c["ok"], c["name"]
`)
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatalf("python3 is not installed: %v", err)
	}
	npmtest.Run(t, exec.CommandContext(t.Context(), python, "sample.py", given), dir)

	// Types are for people and compilers: without them it is what runs.
	js := strings.NewReplacer(": string", "", ": Record<string, string>", "", ": boolean", "").Replace(block("typescript"))
	file("sample.mjs", js+`
import { readFileSync } from "node:fs";
for (const c of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  if (verify(c.secret, c.headers, c.body) !== c.ok) throw new Error(c.name);
}
`)
	npmtest.Run(t, exec.CommandContext(t.Context(), npmtest.Node(t), "sample.mjs", given), dir)

	if err := os.Mkdir(filepath.Join(dir, "sample"), 0o700); err != nil {
		t.Fatal(err)
	}
	file("sample/go.mod", "module sample\n\ngo 1.24\n")
	file("sample/verify.go", block("go"))
	file("sample/main.go", `package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
)

func main() {
	raw, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	var all []struct {
		Name, Secret, Body string
		Headers            map[string]string
		OK                 bool
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		log.Fatal(err)
	}
	for _, c := range all {
		h := http.Header{}
		for k, v := range c.Headers {
			h.Set(k, v)
		}
		if verify(c.Secret, h, []byte(c.Body)) != c.OK {
			log.Fatal(c.Name)
		}
	}
}
`)
	npmtest.Run(t, exec.CommandContext(t.Context(), "go", "run", ".", given), filepath.Join(dir, "sample"))
}
