package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes the test binary the program as well: in a script, annals is a process of its own that runs main.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"annals": main})
}

// TestScript runs the stories of testdata/script. What they have beyond testscript's own commands is in scriptCommands.
func TestScript(t *testing.T) {
	root := workDir(t)
	stories, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(stories) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range stories {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if regexp.MustCompile(`(?m)^(\[.*\] *)?stop\b`).Match(bytes.ReplaceAll(text, []byte("stop-server"), nil)) {
			t.Errorf("%s: stop is the end of a story: what comes after it is not told", file)
		}
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		WorkdirRoot:         root,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                scriptCommands,
		Setup: func(env *testscript.Env) error {
			data, err := filepath.Abs("testdata")
			if err != nil {
				return err
			}
			bin, err := os.Executable()
			if err != nil {
				return err
			}
			env.Vars = append(hermetic(), env.Vars...)
			for name, value := range map[string]string{
				"ANNALS_DATA":              filepath.Join(env.WorkDir, "data"),
				"ANNALS_LISTEN":            "127.0.0.1:0",
				"ANNALS_EVENTSTORE_LISTEN": "127.0.0.1:0",
				"TESTDATA":                 data,
				"TEST_BINARY":              bin,
				"HOME":                     env.WorkDir,
				"TMPDIR":                   env.Getenv("TMPDIR"),
			} {
				env.Setenv(name, value)
			}
			env.Values[storyKey{}] = &story{tb: t, servers: map[string]*process{}, data: map[string]string{}}
			return nil
		},
	})
}
