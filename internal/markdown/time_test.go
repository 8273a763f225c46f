package markdown

import (
	"strings"
	"testing"
	"time"
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

// No text takes long, and twice the text takes some twice as long: a page shows many.
func TestAttacksOnTime(t *testing.T) {
	for name, attack := range attacks() {
		fastest := func(n int) time.Duration {
			best := time.Hour
			text := attack(n)
			for range 5 { // the machine does other things besides
				start := time.Now()
				out := HTML(text)
				Mentions(text)
				best = min(best, time.Since(start))
				if len(out) > 60*Most {
					t.Errorf("%q makes %d bytes", name, len(out))
				}
				if best < 50*time.Millisecond {
					break
				}
			}
			return best
		}
		half, whole := fastest(Most/2), fastest(Most)
		if whole > 500*time.Millisecond || whole > 100*time.Millisecond && whole > 6*half {
			t.Errorf("%q takes %v, and half of it %v", name, whole, half)
		}
	}
}
