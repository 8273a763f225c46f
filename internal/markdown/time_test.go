package markdown

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func attacks() map[string]func(n int) string {
	rep := func(s string) func(int) string {
		return func(n int) string { return strings.Repeat(s, n/len(s)) }
	}
	m := map[string]func(int) string{}
	for _, s := range []string{"[", "]", "(", "![", "[](", "[a](", "*", "_", "**", "*a ", "*a **b ", "_a __b ", "a**b", "a_b", "*_", "~~a ", "~", "`", "`a", "<", "<a", "<a@", "<http:", "<!--", "&", "&#", "\\", "\\\\", ">", "> ", ">\n", "> a\n>> b\n", "- ", "* ", "1. ", "- a\n  ", "1) ", "|", "|-", "|a", "| a | b |\n", "|-|\n", "#", "# ", "=\n", "-\n", "\n", " ", "\t", "a\n", "a@", "a.b@c.d ", "a@b.c.d", "www.", "www.a ", "http://", "http://a ", "http://a.b/(", "(http://a.b", "[a]: b\n", "[a]", "[a][b]", "[a]:", "[a]: <", "[a]: b '", "![a][b]", "@a ", "@", "@a@", "@a.", "[x](employee:", "``` \n", "~~~\n", "    a\n", "a  \n", "- [ ] ", "- [x] a\n", "[[]()", "](", "[a](<b", "[a](b \"", "*a_ ", "** a", "a * ", "\x01", "\u00a0", "é", "[^", "^", ":", "((", "a(", "_(", "~(", "* _ "} {
		m[s] = rep(s)
	}
	for _, s := range []string{"> ", "- ", "* ", "1. ", "  - ", "[", "![", "*a _", "("} {
		m["deep "+s] = func(n int) string { return strings.Repeat(s, n/2/len(s)) + "a" + strings.Repeat("]", n/2) }
	}
	m["backticks"] = func(n int) string {
		var b strings.Builder
		for i := 1; b.Len() < n; i++ {
			b.WriteString(strings.Repeat("`", i) + " ")
		}
		return b.String()[:n]
	}
	m["table"] = func(n int) string {
		k := n / 8
		return strings.Repeat("|a", k) + "\n" + strings.Repeat("|-", k) + "\n" + strings.Repeat("|\n", k)
	}
	m["table wide and long"] = func(n int) string {
		k := n / 3
		return strings.Repeat("|", k/2) + "\n" + strings.Repeat("|-", k/2) + "\n" + strings.Repeat("a\n", k/2)
	}
	m["growing quote"] = func(n int) string {
		var b strings.Builder
		for i := 1; b.Len() < n; i++ {
			b.WriteString(strings.Repeat(">", i) + "a\n")
		}
		return b.String()[:n]
	}
	m["growing list"] = func(n int) string {
		var b strings.Builder
		for i := 0; b.Len() < n; i++ {
			b.WriteString(strings.Repeat("  ", i) + "- a\n")
		}
		return b.String()[:n]
	}
	m["deep list, many lines"] = func(n int) string {
		return strings.Repeat("- ", n/10) + "a\n" + strings.Repeat("\n", n/2)
	}
	m["deep quote, many lines"] = func(n int) string {
		return strings.Repeat(">", n/4) + "a\n" + strings.Repeat("b\n", n/4)
	}
	for _, k := range []int{19, 20} {
		m["quotes below the bound "+string(rune('a'+k))] = func(n int) string {
			return strings.Repeat(">", k) + "a\n" + strings.Repeat("b\n", n/2)
		}
		m["lists below the bound "+string(rune('a'+k))] = func(n int) string {
			return strings.Repeat("- ", k) + "a\n" + strings.Repeat("\n", n)
		}
		m["quotes again and again "+string(rune('a'+k))] = func(n int) string {
			return strings.Repeat(strings.Repeat("> ", k)+"a\n", n/(2*k+2))
		}
		m["lists again and again "+string(rune('a'+k))] = func(n int) string {
			return strings.Repeat(strings.Repeat("- ", k)+"a\n", n/(2*k+2))
		}
	}
	m["marks below the bound"] = func(n int) string { return strings.Repeat("*a_ ", 999) + strings.Repeat("a ", n/2-2000) }
	m["emph then long"] = func(n int) string { return strings.Repeat("**a ", 1990) + strings.Repeat("a", n-4*1990) }
	m["links below the bound"] = func(n int) string { return strings.Repeat("[a](", 399) + strings.Repeat("a", n-1600) }
	m["links2 below the bound"] = func(n int) string { return strings.Repeat("[](", 399) + strings.Repeat("a", n-1600) }
	m["refs below the bound"] = func(n int) string { return strings.Repeat("[a][", 399) + strings.Repeat("a", n-1600) }
	m["refs2 below the bound"] = func(n int) string { return strings.Repeat("[a]: <", 399) + strings.Repeat("a", n-3600) }
	m["refs3 below the bound"] = func(n int) string { return strings.Repeat("[a]: b '", 399) + strings.Repeat("a", n-3600) }
	m["refs4 below the bound"] = func(n int) string { return strings.Repeat("[a]: b (\n", 399) + strings.Repeat("a\n", n/2-3600/2) }
	m["cells below the bound"] = func(n int) string {
		return strings.Repeat("|", 4) + "\n" + strings.Repeat("|-", 4) + "\n" + strings.Repeat("a\n", 1990)
	}
	m["references"] = func(n int) string {
		return strings.Repeat("[a]: b\n", n/14) + "\n" + strings.Repeat("[a]", n/6)
	}
	m["references long"] = func(n int) string {
		return "[a]: " + strings.Repeat("b", n/2) + "\n\n" + strings.Repeat("[a]", n/6)
	}
	m["long word _"] = func(n int) string { return strings.Repeat("aaaaa_", n/6) }
	return m
}

// dearest is how many times as much as prose of the same length a text may cost.
const dearest = 40

// No text costs much more than prose of its length, or else twice the text would cost
// some four times as much: a page shows many. What counts is the time that the thread
// was on a processor, whatever else the machine does meanwhile.
func TestAttacksOnTime(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	prose := strings.Repeat("The quick brown fox jumps over the lazy dog, and *so* on. ", Most/58)
	work(t, prose) // what is made once
	least := time.Hour
	for range 10 {
		least = min(least, work(t, prose))
	}
	for name, attack := range attacks() {
		text := attack(Most)
		cost := work(t, text)
		for range 5 {
			if cost <= dearest*least {
				break
			}
			cost = min(cost, work(t, text)) // another thread's garbage, a cold cache
		}
		if cost > dearest*least {
			t.Errorf("%q costs %v, and prose %v", name, cost, least)
		}
	}
}

// work is what a text costs.
func work(t *testing.T, text string) time.Duration {
	t.Helper()
	start := onProcessor(t)
	out := HTML(text)
	Mentions(text)
	cost := onProcessor(t) - start
	if len(out) > 60*Most {
		t.Errorf("%.20q makes %d bytes", text, len(out))
	}
	return cost
}

// onProcessor is how long this thread has worked.
func onProcessor(t *testing.T) time.Duration {
	t.Helper()
	var worked unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &worked); err != nil {
		t.Fatal(err)
	}
	return time.Duration(worked.Nano())
}
