package esnode

import (
	"regexp"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/dlclark/regexp2"

	"annals/internal/esnode/engine"
)

const (
	maxRegex    = 4096
	maxPrefixes = 4096
	// matchTimeout bounds one match of an expression that only a backtracking engine understands.
	matchTimeout = 100 * time.Millisecond
)

// filter chooses events by the name of their stream or by their type.
type filter struct {
	byStream bool
	match    func(string) (bool, error)
}

// newFilter reads a filter: the expression when there is one, otherwise any of the prefixes.
func newFilter(o *streams.ReadReq_Options_FilterOptions) (*filter, error) {
	var f filter
	var e *streams.ReadReq_Options_FilterOptions_Expression
	switch on := o.GetFilter().(type) {
	case *streams.ReadReq_Options_FilterOptions_StreamIdentifier:
		f.byStream, e = true, on.StreamIdentifier
	case *streams.ReadReq_Options_FilterOptions_EventType:
		e = on.EventType
	default:
		return nil, invalid("the filter says neither stream nor event type")
	}
	var err error
	if e.GetRegex() != "" {
		f.match, err = expression(e.GetRegex())
		return &f, err
	}
	prefixes := e.GetPrefix()
	if len(prefixes) > maxPrefixes {
		return nil, invalid("more than %d prefixes", maxPrefixes)
	}
	f.match = func(s string) (bool, error) {
		for _, p := range prefixes {
			if strings.HasPrefix(s, p) {
				return true, nil
			}
		}
		return false, nil
	}
	return &f, nil
}

// unicodeClass finds the classes that mean ASCII to RE2 and all of Unicode to .NET.
var unicodeClass = regexp.MustCompile(`\\[wWdDsSbB]`)

// expression compiles a regular expression. The protocol's are those of .NET: what RE2 does not know, such as
// lookaround and backreferences, or knows otherwise, goes to an engine that backtracks, with a limit on its time.
func expression(source string) (func(string) (bool, error), error) {
	if len(source) > maxRegex {
		return nil, invalid("the regular expression is longer than %d bytes", maxRegex)
	}
	if re, err := regexp.Compile(source); err == nil && !unicodeClass.MatchString(source) {
		return func(s string) (bool, error) { return re.MatchString(s), nil }, nil
	}
	re, err := regexp2.Compile(source, regexp2.None)
	if err != nil {
		return nil, invalid("the filter's regular expression: %v", err)
	}
	re.MatchTimeout = matchTimeout
	return func(s string) (bool, error) {
		ok, err := re.MatchString(s)
		if err != nil {
			return false, invalid("the filter's regular expression takes too long on %q", s)
		}
		return ok, nil
	}, nil
}

// wants tells whether a reader of $all sees an event. A nil filter wants all but what $all never shows.
func (f *filter) wants(e *engine.Event) (bool, error) {
	if hidden(e.Stream) {
		return false, nil
	}
	switch {
	case f == nil:
		return true, nil
	case f.byStream:
		return f.match(e.Stream)
	default:
		return f.match(e.Type)
	}
}

// hidden tells the streams of a server's own bookkeeping, which no reader of $all is shown.
func hidden(stream string) bool {
	if !strings.HasPrefix(stream, "$") {
		return false
	}
	if stream == "$epoch-information" {
		return true
	}
	rest, ok := strings.CutPrefix(stream, "$persistentsubscription-$all::")
	return ok && (strings.HasSuffix(rest, "-checkpoint") || strings.HasSuffix(rest, "-parked"))
}
