package masterkey

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"annals/eventschema"
)

func TestGeneratedOnce(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	ids := make([]string, 8)
	for i := range ids {
		wg.Go(func() {
			m, err := Load(dir, "")
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = m.ID()
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id == "" || id != ids[0] {
			t.Fatalf("keys differ: %v", ids)
		}
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*"))
	if info, err := os.Stat(filepath.Join(dir, File)); err != nil || info.Mode().Perm() != 0o600 || len(left) != 1 {
		t.Errorf("%v %v, files %v", info, err, left)
	}
}

func TestRefused(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "short": "abcd", "no hex": strings.Repeat("z", 64)} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, File), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir, ""); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, File), []byte(strings.Repeat("ab", 32)), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir, ""); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("readable by all: %v", err)
	}
	if m, err := Load(dir, strings.Repeat("cd", 32)); err != nil || m.ID() == "" {
		t.Errorf("configured: %v", err)
	}
}

// TestReplaced: a new key comes before the one that there is, once however often it is asked
// for, and the former one goes when it is told to.
func TestReplaced(t *testing.T) {
	dir := t.TempDir()
	if err := Renew(dir); err == nil {
		t.Error("there was no key to replace")
	}
	first, err := Load(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	var second *eventschema.Masters
	for range 2 {
		if err := Renew(dir); err != nil {
			t.Fatal(err)
		}
		again, err := Load(dir, "")
		if err != nil || again.ID() == first.ID() || len(again.Former()) != 1 || again.Former()[0].ID() != first.ID() {
			t.Fatalf("%+v, %v", again, err)
		}
		if second != nil && again.ID() != second.ID() {
			t.Error("renewed twice")
		}
		second = again
	}
	for range 2 {
		if err := Retire(dir); err != nil {
			t.Fatal(err)
		}
		left, err := Load(dir, "")
		if err != nil || left.ID() != second.ID() || len(left.Former()) != 0 || left.Has(first.ID()) {
			t.Fatalf("%+v, %v", left, err)
		}
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	if info, err := os.Stat(filepath.Join(dir, File)); err != nil || info.Mode().Perm() != 0o600 || len(files) != 1 {
		t.Errorf("%v %v, files %v", info, err, files)
	}
}

// Several keys are configured in one line.
func TestConfigured(t *testing.T) {
	one, two := strings.Repeat("ab", 32), strings.Repeat("cd", 32)
	m, err := Load("", one+", "+two)
	if err != nil || len(m.Former()) != 1 {
		t.Fatalf("%+v, %v", m, err)
	}
	alone, err := Load("", two)
	if err != nil || m.Former()[0].ID() != alone.ID() || m.ID() == alone.ID() || !m.Has(alone.ID()) {
		t.Errorf("%+v, %v", alone, err)
	}
	for _, text := range []string{one + "," + one, one + ",abcd", ",", one + two} {
		if _, err := Load("", text); err == nil {
			t.Errorf("%q: taken", text)
		}
	}
}
