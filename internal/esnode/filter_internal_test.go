package esnode

import (
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"annals/internal/esnode/engine"
)

func typeFilter(t *testing.T, e *streams.ReadReq_Options_FilterOptions_Expression) *filter {
	t.Helper()
	f, err := newFilter(&streams.ReadReq_Options_FilterOptions{
		Filter: &streams.ReadReq_Options_FilterOptions_EventType{EventType: e},
	})
	if err != nil {
		t.Fatalf("filter %v: %v", e, err)
	}
	return f
}

func TestFilters(t *testing.T) {
	t.Parallel()
	expression := func(regex string, prefixes ...string) *streams.ReadReq_Options_FilterOptions_Expression {
		return &streams.ReadReq_Options_FilterOptions_Expression{Regex: regex, Prefix: prefixes}
	}
	for _, c := range []struct {
		expression *streams.ReadReq_Options_FilterOptions_Expression
		yes, no    []string
	}{
		{expression(`^[^\$].*`), []string{"deal.opened"}, []string{"$metadata", ""}},
		{expression(`^(?!\$).*`), []string{"deal.opened", ""}, []string{"$metadata"}}, // lookahead: not RE2
		{expression(`^(a+)-\1$`), []string{"aa-aa"}, []string{"aa-a"}},                // backreference
		{expression("", "deal.", "client."), []string{"deal.x", "client."}, []string{"Deal.x", "a deal.", ""}},
		{expression("^client", "deal."), []string{"clients"}, []string{"deal.x"}}, // the expression wins
		{expression(""), nil, []string{"anything"}},
	} {
		f := typeFilter(t, c.expression)
		for want, list := range map[bool][]string{true: c.yes, false: c.no} {
			for _, typ := range list {
				got, err := f.wants(&engine.Event{Stream: "s", Type: typ})
				if err != nil || got != want {
					t.Errorf("%v of %q: %t, %v", c.expression, typ, got, err)
				}
			}
		}
	}
}

func TestSlowExpression(t *testing.T) {
	t.Parallel()
	f := typeFilter(t, &streams.ReadReq_Options_FilterOptions_Expression{Regex: `^(?=(a+)+$)(a+)+b$`})
	_, err := f.wants(&engine.Event{Stream: "s", Type: strings.Repeat("a", 40) + "!"})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("an expression that never ends: %v", err)
	}
	for _, broken := range []string{`(`, `(?<=`, strings.Repeat("a", maxRegex+1)} {
		if _, err := expression(broken); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%.10q: %v", broken, err)
		}
	}
}

func TestHidden(t *testing.T) {
	t.Parallel()
	for stream, want := range map[string]bool{
		"$epoch-information":                         true,
		"$persistentsubscription-$all::g-checkpoint": true,
		"$persistentsubscription-$all::g-parked":     true,
		"$persistentsubscription-s::g-parked":        false,
		"$$s":                                        false,
		"$users":                                     false,
		"s":                                          false,
	} {
		if got := hidden(stream); got != want {
			t.Errorf("%s: hidden %t", stream, got)
		}
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	if got := printable("a b\n\x00ä"); got != "a b%0A%00%C3%A4" {
		t.Errorf("trailer %q", got)
	}
}
