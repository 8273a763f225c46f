package markdown

import (
	"regexp"

	"github.com/yuin/goldmark/ast"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/util"
)

const uuidPattern = `[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`

// employeeLink is the target of a link to an employee.
var employeeLink = regexp.MustCompile(`^(?i:employee:|/employees/)((?i:` + uuidPattern + `))$`)

// employeeIn is the id of the employee to whom a link leads, in lower case.
func employeeIn(destination []byte) (string, bool) {
	m := employeeLink.FindSubmatch(destination)
	if m == nil {
		return "", false
	}
	return string(asciiLower(m[1])), true
}

func asciiLower(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		out[i] = c
	}
	return out
}

// ours renders what is other than usual: links, of which some are mentions, images,
// which are links, and tasks, which are no form to be filled in.
type ours struct{}

func (o ours) RegisterFuncs(r renderer.NodeRendererFuncRegisterer) {
	r.Register(ast.KindLink, o.link)
	r.Register(ast.KindImage, o.image)
	r.Register(extast.KindTaskCheckBox, o.task)
}

func (ours) link(w util.BufWriter, _ []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
	n := node.(*ast.Link) //nolint:forcetypeassert // registered for nothing else
	id, mention := employeeIn(n.Destination)
	switch {
	case mention && entering:
		_, _ = w.WriteString(`<span class="mention" data-employee="` + id + `">`)
	case mention:
		_, _ = w.WriteString(`</span>`)
	case entering:
		open(w, n.Destination)
	default:
		_, _ = w.WriteString(`</a>`)
	}
	return ast.WalkContinue, nil
}

func open(w util.BufWriter, destination []byte) {
	_, _ = w.WriteString(`<a href="`)
	_, _ = w.Write(util.EscapeHTML(util.URLEscape(destination, true)))
	_, _ = w.WriteString(`">`)
}

func (ours) image(w util.BufWriter, source []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
	if !entering {
		return ast.WalkContinue, nil
	}
	n := node.(*ast.Image) //nolint:forcetypeassert // registered for nothing else
	alone := true
	for p := n.Parent(); p != nil; p = p.Parent() {
		alone = alone && p.Kind() != ast.KindLink
	}
	label := words(n, source)
	if len(label) == 0 {
		label = n.Destination
	}
	if alone {
		open(w, n.Destination)
	}
	_, _ = w.Write(util.EscapeHTML(label))
	if alone {
		_, _ = w.WriteString(`</a>`)
	}
	return ast.WalkSkipChildren, nil
}

func (ours) task(w util.BufWriter, _ []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
	if entering {
		box := "☐ "
		if node.(*extast.TaskCheckBox).IsChecked { //nolint:forcetypeassert // registered for nothing else
			box = "☑ "
		}
		_, _ = w.WriteString(box)
	}
	return ast.WalkContinue, nil
}

// words is the text in a node, without what gives it form.
func words(n ast.Node, source []byte) []byte {
	var out []byte
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if entering {
			switch n := n.(type) {
			case *ast.Text:
				out = append(out, n.Segment.Value(source)...)
			case *ast.String:
				out = append(out, n.Value...)
			}
		}
		return ast.WalkContinue, nil
	})
	return out
}
