package masterkey

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
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
