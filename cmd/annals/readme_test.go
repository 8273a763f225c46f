package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shown is one command of a page, with what the page says it prints.
type shown struct {
	line            int
	command, output string
}

// consoleBlocks finds the commands in a page's blocks of ```console. A line that begins with "$ " is a command, one
// with "> " goes on with it, and what follows is its output.
func consoleBlocks(page string) (all []shown) {
	inside := false
	for i, line := range strings.Split(page, "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case !inside:
		case strings.HasPrefix(line, "$ "):
			all = append(all, shown{line: i + 1, command: line[2:]})
		case len(all) == 0:
		case strings.HasPrefix(line, "> ") && all[len(all)-1].output == "":
			all[len(all)-1].command += "\n" + line[2:]
		default:
			all[len(all)-1].output += line + "\n"
		}
	}
	return all
}

// varying is what no two runs print alike, and what stands for it on both sides.
var varying = []struct {
	what  *regexp.Regexp
	stand string
}{
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b`), "UUID"}, // random ones only
	{regexp.MustCompile(`\bannals_s_[\w-]{43}`), "TOKEN"},
	// Rules append as well, at their own pace, and only what is still so then.
	{regexp.MustCompile(`"position":"\d+"`), "POSITION"},
	{regexp.MustCompile(`\blive +\d+ +\d+`), "live"},
	{regexp.MustCompile(`\d+ rows, 0 differ`), "ROWS, 0 differ"},
	{regexp.MustCompile(`\d+ events in \d+ streams`), "EVENTS"},
	{regexp.MustCompile(`\b\d+(\.\d+)?(ns|µs|ms|s)\b`), "DURATION"},
	{regexp.MustCompile(`\b(annals|witness)/[0-9a-f]{8,16}(\+[0-9a-f]{8}\+[A-Za-z0-9+/=]{44})?`), "KEY"},
	{regexp.MustCompile(`\btree of \d+`), "tree of SIZE"},
	{regexp.MustCompile(`\b\d+ events(, as they were| of the log)`), "SIZE events$1"},
	{regexp.MustCompile(`"index":\d+`), "INDEX"},
	{regexp.MustCompile(`  +`), "  "}, // columns, as wide as what is in them
	{regexp.MustCompile(` +\n`), "\n"},
}

func normal(s string) string {
	for _, v := range varying {
		s = v.what.ReplaceAllString(s, v.stand)
	}
	return s
}

var update = flag.Bool("update", false, "write what the commands of the README and the documents print into them")

// rewritten is the page with what was printed. Where only what varies differs, it stays as it is.
func rewritten(page string, tour []shown, got []string) string {
	lines := strings.Split(page, "\n")
	var out []string
	done := 0
	for i, s := range tour {
		first := s.line + strings.Count(s.command, "\n") // after the command, from 0
		out = append(out, lines[done:first]...)
		done = first
		if s.output != "" {
			done += strings.Count(s.output, "\n")
		}
		printed := s.output
		if normal(printed) != normal(got[i]) {
			printed = got[i]
		}
		for line := range strings.Lines(printed) {
			out = append(out, strings.TrimRight(line, " \n"))
		}
	}
	return strings.Join(append(out, lines[done:]...), "\n")
}

// pages are those whose commands can be typed on a server of one's own with the sample data.
var pages = []string{"README.md", "docs/record.md", "docs/list.md", "docs/history.md", "docs/audit.md", "docs/events.md"}

// TestReadme is a newcomer who types what a page shows, one command after the other in one shell, and gets what it
// shows.
func TestReadme(t *testing.T) {
	for _, page := range pages {
		t.Run(page, func(t *testing.T) { testPage(t, page) })
	}
}

func testPage(t *testing.T, name string) {
	t.Helper()
	path := filepath.Join("../..", name)
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	tour := consoleBlocks(string(page))
	if len(tour) == 0 {
		t.Fatal("the page shows no command")
	}
	dir := workDir(t)
	bin := build(t)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"bin": filepath.Dir(bin), "cmd": filepath.Join(root, "cmd"), "docs": filepath.Join(root, "docs")} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(dir, "data")
	p, err := launch(bin, hermetic("ANNALS_LISTEN=127.0.0.1:0", "ANNALS_EVENTSTORE_LISTEN=127.0.0.1:0", "ANNALS_DATA="+data), "--demo")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.cleanUp(data); err != nil {
			t.Error(err)
		}
	})
	if err := p.untilReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := walk(t, dir, p.url, tour)
	if *update {
		if err := os.WriteFile(path, []byte(rewritten(string(page), tour, got)), 0o644); err != nil {
			t.Fatal(err)
		}
		tour = consoleBlocks(rewritten(string(page), tour, got))
	}
	for i, s := range tour {
		if diff := cmp.Diff(normal(s.output), normal(got[i])); diff != "" {
			t.Errorf("%s:%d: $ %s\nprints\n%s(- what the page shows, + what it is)\n%s", name, s.line, s.command, got[i], diff)
		}
	}
	if err := p.stop(syscall.SIGTERM); err != nil || p.err != nil {
		t.Errorf("stop: %v, %v", err, p.err)
	}
}

// address is where a server of a newcomer listens.
const address = "http://127.0.0.1:8080"

// walk types all commands into one shell, and returns what each printed.
func walk(t *testing.T, dir, url string, tour []shown) []string {
	t.Helper()
	const mark = "\x1e"
	var script bytes.Buffer
	for _, s := range tour {
		fmt.Fprintf(&script, "printf '%s'\n%s\n", mark, strings.ReplaceAll(s.command, address, url))
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	sh := exec.CommandContext(ctx, "bash", "-s")
	sh.Dir = dir
	sh.Env = hermetic("ANNALS_DATA=" + filepath.Join(dir, "data"))
	sh.Stdin = &script
	out, err := sh.CombinedOutput()
	if err != nil {
		t.Errorf("the last command failed: %v", err)
	}
	got := strings.Split(strings.ReplaceAll(string(out), url, address), mark)[1:]
	if len(got) != len(tour) {
		t.Fatalf("%d of %d commands ran:\n%s", len(got), len(tour), out)
	}
	for i := range got {
		if got[i] != "" && !strings.HasSuffix(got[i], "\n") {
			got[i] += "\n" // where a terminal has the next prompt
		}
	}
	return got
}
