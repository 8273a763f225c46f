package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"annals/internal/postgres/pgtest"
)

// How much is imported, and how many MB of heap that may take however much it is. Package csvimport's tests import more.
const (
	manyRows = 20_000 / slowdownOfMany
	manyHeap = 40 // some 12 of them tables of the program itself
)

// TestImportManyRows imports a large file, and imports it again.
func TestImportManyRows(t *testing.T) {
	bin, dir := build(t), workDir(t)
	env := hermetic("ANNALS_LISTEN=127.0.0.1:0", "ANNALS_EVENTSTORE_LISTEN=127.0.0.1:0", "ANNALS_ADMIN_PASSWORD=correct-horse-battery",
		"ANNALS_DATABASE="+pgtest.Database(t), "ANNALS_DATA="+filepath.Join(dir, "data"))
	p, err := launch(bin, env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.stop(syscall.SIGTERM); err != nil || p.err != nil {
			t.Errorf("stop: %v, %v", err, p.err)
		}
	})
	if err := p.untilReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := newCaller(p.url).signIn(t.Context(), "admin@annals.localhost", "correct-horse-battery")
	if err != nil {
		t.Fatal(err)
	}
	project, err := must[receipt](t.Context(), c, "POST", "/api/v1/projects", map[string]string{"name": "Many"})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "many.csv")
	bad := writeMany(t, file)
	env = append(env, "ANNALS_URL="+p.url, "ANNALS_TOKEN="+c.token)
	for _, want := range []string{
		fmt.Sprintf("%d registered, 0 unchanged, %d rejected", manyRows-bad, bad),
		fmt.Sprintf("0 registered, %d unchanged, %d rejected", manyRows-bad, bad),
	} {
		cmd := exec.CommandContext(t.Context(), bin, "import", "clients", file, "--project", project.ID, "--rejects", filepath.Join(dir, "rejects.csv"))
		cmd.Env = append(env, "GODEBUG=gctrace=1")
		var said strings.Builder
		cmd.Stderr = &said
		out, err := cmd.Output()
		if cmd.ProcessState.ExitCode() != exitRejected || strings.TrimSpace(string(out)) != want {
			t.Fatalf("import: %v, %s\n%s", err, out, said.String())
		}
		heap := largestHeap(t, said.String())
		t.Logf("%s: %v of CPU time, a heap of at most %d MB", want, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime(), heap)
		if heap > manyHeap {
			t.Errorf("the import took a heap of %d MB, and may take %d", heap, manyHeap)
		}
	}
}

// largestHeap reads what the garbage collector says of itself.
func largestHeap(t *testing.T, said string) (most int) {
	t.Helper()
	for _, m := range regexp.MustCompile(` (\d+)->(\d+)->\d+ MB`).FindAllStringSubmatch(said, -1) {
		for _, n := range m[1:] {
			mb, err := strconv.Atoi(n)
			if err != nil {
				t.Fatal(err)
			}
			most = max(most, mb)
		}
	}
	if most == 0 {
		t.Fatalf("nothing was collected:\n%s", said)
	}
	return most
}

// writeMany writes a file of clients, of which every thousandth row is bad.
func writeMany(t *testing.T, name string) (bad int) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "first_name,last_name,email,phone,company,address.street,address.city,tags")
	for i := range manyRows {
		email := fmt.Sprintf("given.%d@example.com", i)
		if i%1000 == 999 {
			email = "nowhere"
			bad++
		}
		fmt.Fprintf(w, "Given %d,\"Family, %d\",%s,+49 30 %07d,\"The \"\"%d\"\" Company\",Street %d,City %d,\n", i, i, email, i, i%977, i%499, i%97)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return bad
}
