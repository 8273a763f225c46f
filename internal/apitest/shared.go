package apitest

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
)

// Main runs the tests of a package that share a [System], from its TestMain. After
// them, check is asked what is wrong with what they left behind.
func Main(m *testing.M, check func(*System) error) {
	code := m.Run()
	if shared.system != nil && check != nil {
		if err := check(shared.system); err != nil {
			fmt.Fprintln(os.Stderr, "FAIL: after all tests:", err)
			code = max(code, 1)
		}
	}
	shared.process.end()
	if shared.process.failed {
		code = max(code, 1)
	}
	os.Exit(code)
}

var shared struct {
	once    sync.Once
	process process
	system  *System
}

// Shared returns the System of all tests of the package, which live with each other
// by keeping to projects of their own. The package has to have a TestMain with [Main].
func Shared(tb testing.TB) *System {
	tb.Helper()
	shared.once.Do(func() { shared.system = Start(&shared.process) })
	if shared.system == nil {
		tb.Fatal("the shared system did not start")
	}
	return shared.system
}

// process stands for the whole test process where a test is asked for.
type process struct {
	testing.TB // nil: what is not below is not used
	mu         sync.Mutex
	cleanups   []func()
	failed     bool
}

func (p *process) Helper()                  {}
func (p *process) Name() string             { return "shared" }
func (p *process) Context() context.Context { return context.Background() }
func (p *process) Failed() bool             { return p.failed }

func (p *process) Cleanup(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cleanups = append(p.cleanups, f)
}

func (p *process) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func (p *process) Errorf(format string, args ...any) {
	p.failed = true
	p.Logf(format, args...)
}

func (p *process) Fatalf(format string, args ...any) {
	p.Errorf(format, args...)
	panic("the shared system: " + fmt.Sprintf(format, args...))
}

func (p *process) Fatal(args ...any) { p.Fatalf("%s", fmt.Sprint(args...)) }

func (p *process) end() {
	for _, f := range slices.Backward(p.cleanups) {
		f()
	}
}
