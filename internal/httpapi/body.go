package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxBody  = 1 << 20 // bytes of a request's body
	maxDepth = 16      // of objects and lists in one another; filters may have most of them
)

// readBody replaces the request's body by one that is all there and is one JSON
// object in which no field stands twice, or nothing where it is optional. Whatever
// parses it afterwards, by whichever rules of its own, reads the same.
func readBody(w http.ResponseWriter, r *http.Request, optional bool) error {
	if err := checkMediaType(r.Header.Get("Content-Type")); err != nil {
		return err
	}
	if r.ContentLength > maxBody {
		return errTooLarge
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return bodyError(err) // the frame's deadline stands: net/http reads what is left of the body before it answers
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // it would cancel the request's context while the operation runs
	if err := checkObject(raw); err != nil && (!optional || len(raw) > 0) {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(raw))
	r.Header.Set("Content-Type", "application/json")
	return nil
}

var errTooLarge = newProblem(http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("the body is larger than %d bytes", maxBody))

func bodyError(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return errTooLarge
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return newProblem(http.StatusRequestTimeout, "timeout", "the body did not arrive in time")
	}
	return malformed("body", "truncated", "did not arrive whole")
}

func checkMediaType(header string) error {
	if header == "" {
		return nil
	}
	mt, params, err := mime.ParseMediaType(header)
	charset := params["charset"]
	if err == nil && (mt == "application/json" || mt == "application/merge-patch+json") && (charset == "" || strings.EqualFold(charset, "utf-8")) {
		return nil
	}
	p := newProblem(http.StatusUnsupportedMediaType, "media_type", "the body has to be application/json in UTF-8")
	p.header = http.Header{"Accept-Patch": {"application/merge-patch+json, application/json"}}
	return p
}

func malformed(field, code, message string) *Problem {
	p := newProblem(http.StatusBadRequest, "malformed", field+": "+message)
	p.Errors = []FieldError{{field, code, message}}
	return p
}

// checkObject faults what is not one JSON object, or leaves it open what a field
// is: which of two fields of a name counts differs between parsers.
func checkObject(raw []byte) error {
	switch {
	case len(bytes.TrimSpace(raw)) == 0:
		return malformed("body", "required", "is required")
	case !utf8.Valid(raw):
		return malformed("body", "encoding", "is not valid UTF-8")
	}
	var whole json.RawMessage
	if err := json.Unmarshal(raw, &whole); err != nil {
		if e, ok := errors.AsType[*json.SyntaxError](err); ok {
			return malformed("body", "syntax", fmt.Sprintf("is not JSON: %v, at byte %d", e, e.Offset))
		}
		return malformed("body", "syntax", "is not JSON")
	}
	if whole = bytes.TrimLeft(whole, " \t\r\n"); whole[0] != '{' {
		p := newProblem(http.StatusUnprocessableEntity, "invalid", "body: has to be an object")
		p.Errors = []FieldError{{"body", "type", "has to be an object"}}
		return p
	}
	return checkFields(whole)
}

// nest is an object or list that is being read.
type nest struct {
	names map[string]bool // nil for a list
	name  string          // of the field that is being read
	at    int             // of the element that is being read
	value bool            // the name has been read, and its value is next
}

func checkFields(raw []byte) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var nests []nest
	for {
		t, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return malformed("body", "syntax", "is not JSON")
		}
		if n := len(nests) - 1; n >= 0 && nests[n].names != nil && !nests[n].value {
			if name, ok := t.(string); ok {
				top := &nests[n]
				top.name, top.value = name, true
				if top.names[name] {
					return malformed(path(nests), "duplicate", "stands there twice")
				}
				top.names[name] = true
				continue
			}
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			if len(nests) == maxDepth {
				return malformed("body", "too_deep", fmt.Sprintf("has more than %d objects and lists in one another", maxDepth))
			}
			in := nest{}
			if t == json.Delim('{') {
				in.names = map[string]bool{}
			}
			nests = append(nests, in)
			continue
		case json.Delim('}'), json.Delim(']'):
			nests = nests[:len(nests)-1]
		}
		if n := len(nests) - 1; n >= 0 { // a value has ended
			nests[n].value = false
			nests[n].at++
		}
	}
}

// path is that of what is being read, as in address.city and tags[2].
func path(nests []nest) string {
	var b strings.Builder
	for _, n := range nests {
		switch {
		case n.names == nil:
			fmt.Fprintf(&b, "[%d]", n.at)
		case b.Len() > 0:
			b.WriteString("." + n.name)
		default:
			b.WriteString(n.name)
		}
	}
	return b.String()
}
