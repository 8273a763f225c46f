package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"annals/internal/postgres/pgtest"
)

// How much is imported, and how much memory that may take, in KiB. The race detector takes ten times as long, and
// several times the memory.
const (
	manyRows   = 20_000 / slowdownOfMany
	manyMemory = 96 << 10
)

// TestImportManyRows imports a file that does not fit into what the program may use, and again.
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
		cmd.Env = env
		var said strings.Builder
		cmd.Stderr = &said
		out, err := cmd.Output()
		if cmd.ProcessState.ExitCode() != exitRejected || strings.TrimSpace(string(out)) != want {
			t.Fatalf("import: %v, %s\n%s", err, out, said.String())
		}
		usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
		t.Logf("%s\t%v of CPU time, at most %d MiB of memory", strings.TrimSpace(string(out)), cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime(), usage.Maxrss>>10)
		if usage.Maxrss > manyMemory*slowdown {
			t.Errorf("the import took %d KiB of memory, and may take %d", usage.Maxrss, manyMemory*slowdown)
		}
	}
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
