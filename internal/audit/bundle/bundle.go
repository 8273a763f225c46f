// Package bundle writes a part of the log so that somebody else can check it, alone and
// offline, with nothing but the public keys: the events as they are stored, the proof of
// each that it is in the tree that was signed, and the same for people to read.
//
// A bundle is a directory. MANIFEST names every other file with its digest and is signed,
// so that no byte can change, and no file come or go, without being noticed; every event
// carries its own proof, so that it can be told which one was changed.
package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"annals/internal/audit/proof"
)

// The files of a bundle.
const (
	manifestFile   = "MANIFEST"
	readmeFile     = "README.txt"
	KeysFile       = "keys.txt"       // the public keys: of the log, and of witnesses
	checkpointFile = "checkpoint.txt" // signed, by the log and by witnesses
	eventsFile     = "events.ndjson"  // as they are stored, with their proofs
	streamsFile    = "streams.txt"    // how many events of each stream there are
	historyFile    = "history.ndjson" // the same events, opened
	reportFile     = "report.html"    // the same for people
	schemaDir      = "schemas"        // what the data of each type of event looks like
)

// first is the first line of a manifest.
const first = "annals bundle v1"

// Scope is what a bundle is about.
type Scope struct {
	Kind     string // client, project or period
	ID       string // of the client or project
	From, To time.Time
}

func (s Scope) String() string {
	if s.Kind == "period" {
		return "period " + s.From.UTC().Format(time.RFC3339Nano) + " " + s.To.UTC().Format(time.RFC3339Nano)
	}
	return s.Kind + " " + s.ID
}

// file is a file as the manifest has it.
type file struct {
	name string
	size int64
	sum  [sha256.Size]byte
}

// manifest is what a bundle is, and what it has.
type manifest struct {
	origin string
	scope  string
	made   string
	events int64
	leaves int64 // of the tree that the proofs lead to
	files  []file
}

func (m *manifest) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\norigin %s\nscope %s\nmade %s\nevents %d\nleaves %d\n", first, m.origin, m.scope, m.made, m.events, m.leaves)
	for _, f := range m.files {
		fmt.Fprintf(&b, "file %s %d %s\n", hex.EncodeToString(f.sum[:]), f.size, f.name)
	}
	return b.String()
}

var errManifest = errors.New("it is not the manifest of a bundle that this program knows")

func parseManifest(text string) (*manifest, error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 7 || lines[0] != first || lines[len(lines)-1] != "" {
		return nil, errManifest
	}
	m := &manifest{}
	var err [2]error
	for i, f := range []struct {
		name string
		set  func(string)
	}{
		{"origin", func(v string) { m.origin = v }},
		{"scope", func(v string) { m.scope = v }},
		{"made", func(v string) { m.made = v }},
		{"events", func(v string) { m.events, err[0] = strconv.ParseInt(v, 10, 64) }},
		{"leaves", func(v string) { m.leaves, err[1] = strconv.ParseInt(v, 10, 64) }},
	} {
		value, ok := strings.CutPrefix(lines[1+i], f.name+" ")
		if !ok {
			return nil, errManifest
		}
		f.set(value)
	}
	for _, line := range lines[6 : len(lines)-1] {
		var f file
		var sum string
		rest, ok := strings.CutPrefix(line, "file ")
		if sum, rest, _ = strings.Cut(rest, " "); !ok {
			return nil, errManifest
		}
		size, name, _ := strings.Cut(rest, " ")
		raw, err := hex.DecodeString(sum)
		n, err2 := strconv.ParseInt(size, 10, 64)
		if err != nil || err2 != nil || len(raw) != sha256.Size || name == "" {
			return nil, errManifest
		}
		f.name, f.size = name, n
		copy(f.sum[:], raw)
		m.files = append(m.files, f)
	}
	if err[0] != nil || err[1] != nil || m.text() != text {
		return nil, errManifest
	}
	return m, nil
}

// line is a line of events.ndjson: an event as it is stored. One that has no business in
// the bundle, as the key of a client, or that is gone from the log with one, has the
// digests of its data and metadata instead of them.
type line struct {
	Index          int64    `json:"index"`
	Commit         uint64   `json:"commit"`
	Prepare        uint64   `json:"prepare"`
	Stream         string   `json:"stream"`
	Revision       uint64   `json:"revision"`
	ID             string   `json:"id"`
	Type           string   `json:"type"`
	Created        int64    `json:"created"` // in units of 100 ns since 1970
	JSON           bool     `json:"json"`
	Data           *[]byte  `json:"data,omitempty"`
	Metadata       *[]byte  `json:"metadata,omitempty"`
	DataSHA256     string   `json:"data_sha256,omitempty"`
	MetadataSHA256 string   `json:"metadata_sha256,omitempty"`
	Proof          [][]byte `json:"proof"`
}

// leaf is what the tree has of the line.
func (l *line) leaf() (*proof.Leaf, error) {
	out := &proof.Leaf{
		Commit: l.Commit, Prepare: l.Prepare, Stream: l.Stream, Revision: l.Revision, Type: l.Type, Created: l.Created, JSON: l.JSON,
	}
	if err := out.ID.UnmarshalText([]byte(l.ID)); err != nil || out.ID.String() != l.ID {
		return nil, errors.New("its id is no UUID")
	}
	for _, f := range []struct {
		name   string
		bytes  *[]byte
		digest string
		to     *[sha256.Size]byte
	}{{"data", l.Data, l.DataSHA256, &out.Data}, {"metadata", l.Metadata, l.MetadataSHA256, &out.Metadata}} {
		switch {
		case f.bytes != nil && f.digest == "":
			*f.to = proof.Sum(*f.bytes)
		case f.bytes == nil && len(f.digest) == 2*sha256.Size:
			raw, err := hex.DecodeString(f.digest)
			if err != nil || hex.EncodeToString(raw) != f.digest {
				return nil, fmt.Errorf("the digest of its %s cannot be read", f.name)
			}
			copy(f.to[:], raw)
		default:
			return nil, fmt.Errorf("it has neither %s nor their digest, or both", f.name)
		}
	}
	return out, nil
}
