package csvimport

import (
	"fmt"
	"io"
	"strings"
	"unicode"
)

// toldRejects is how many rejects are told one by one when a file has them all.
const toldRejects = 20

// Console tells people how an import goes. Its methods Progress and Rejected are for
// the [Options] of the same name.
type Console struct {
	Out      io.Writer // as a rule standard error
	Terminal bool      // Out is one: progress is told, in one line that is rewritten
	Size     int64     // bytes of the file; 0: not known
	Rejects  string    // name of the file of rejects; empty: there is none, and all are told

	told, untold int
	drawn        bool
	trouble      string
}

// Progress rewrites the line on a terminal, and says once when the server takes
// nothing.
func (c *Console) Progress(p Progress) {
	if p.Trouble != "" && c.trouble == "" {
		c.println("the server takes nothing, trying again: " + p.Trouble)
	}
	c.trouble = p.Trouble
	if !c.Terminal {
		return
	}
	var b strings.Builder
	if c.Size > 0 {
		fmt.Fprintf(&b, "%d%% ", min(100, 100*p.Bytes/c.Size))
	} else {
		fmt.Fprintf(&b, "%d KiB ", p.Bytes>>10)
	}
	fmt.Fprintf(&b, "%d rows, %d registered, %d unchanged, %d rejected", p.Rows, p.Registered, p.Unchanged, p.Rejected)
	if s := p.Elapsed.Seconds(); s > 0 {
		fmt.Fprintf(&b, ", %.0f/s", float64(p.Rows)/s)
	}
	c.drawn = true
	c.write("\r" + b.String() + "\x1b[K")
}

// Rejected tells of a reject, while they are few.
func (c *Console) Rejected(r Reject) {
	if c.Rejects != "" && c.told == toldRejects {
		c.untold++
		return
	}
	c.told++
	c.println(r.String())
}

// Finish ends the telling with what there is more in the file of rejects. The summary
// is the caller's to write.
func (c *Console) Finish() {
	c.clear()
	if c.untold > 0 {
		c.println(fmt.Sprintf("… and %d more in %s", c.untold, c.Rejects))
	}
}

func (c *Console) println(s string) {
	c.clear()
	c.write(printable(s) + "\n")
}

func (c *Console) clear() {
	if c.drawn {
		c.drawn = false
		c.write("\r\x1b[K")
	}
}

// write drops errors: an import does not fail because nobody can watch it.
func (c *Console) write(s string) { _, _ = io.WriteString(c.Out, s) }

// printable keeps what stands in a file from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\ufffd'
	}, s)
}
