package bundle

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"annals/internal/audit/proof"
)

// Keys are the public keys that a bundle is checked with.
type Keys struct {
	Log       note.Verifier
	Witnesses []proof.Witness
}

// ParseKeys reads public keys, one a line: the log's, and any of witnesses.
func ParseKeys(text string) (k Keys, err error) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if w, err := proof.ParseWitness(line); err == nil {
			k.Witnesses = append(k.Witnesses, w)
			continue
		}
		v, err := note.NewVerifier(line)
		if err != nil || k.Log != nil {
			return k, fmt.Errorf("%q is no public key, or there is more than one of a log", line)
		}
		k.Log = v
	}
	if k.Log == nil {
		return k, errors.New("there is no public key of a log")
	}
	return k, nil
}

// Verdict is what checking a bundle came to.
type Verdict struct {
	Scope    string
	Made     string
	Events   int64
	Leaves   int64
	Cosigned []proof.Cosigned
	Faults   []string // what is wrong, and where; at most [mostFaults]
	More     int      // faults that are not listed
}

const mostFaults = 100

// maxLine bounds the memory that a line of a bundle takes: an event has at most 16 MiB.
const maxLine = 64 << 20

// maxSmall is how large a file may be that is read at once.
const maxSmall = 16 << 20

func (v *Verdict) fault(format string, args ...any) {
	if len(v.Faults) == mostFaults {
		v.More++
		return
	}
	v.Faults = append(v.Faults, fmt.Sprintf(format, args...))
}

// Verify checks a bundle. Everything that is wrong is a fault of the verdict; the error
// says that the bundle could not be read at all. Memory is bounded however many events
// there are, but for the names of streams.
func Verify(dir string, keys Keys) (*Verdict, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is no bundle: it is not a directory", dir)
	}
	v := &Verdict{}
	c := &check{Verdict: v, dir: dir, keys: keys}
	m := c.manifest()
	c.checkpoint()
	if m == nil {
		m = &manifest{}
	}
	c.files(m)
	counts := c.streams()
	c.events(m, counts)
	v.Scope, v.Made, v.Events, v.Leaves = m.scope, m.made, m.events, m.leaves
	return v, nil
}

// check is one under way.
type check struct {
	*Verdict
	dir  string
	keys Keys
	tree *proof.Checkpoint // nil: there is none to be trusted
}

func (c *check) read(name string) ([]byte, bool) {
	f, err := os.Open(filepath.Join(c.dir, name)) //nolint:gosec // names are ours
	if err != nil {
		c.fault("%s: it is missing, or cannot be read", name)
		return nil, false
	}
	defer f.Close() //nolint:errcheck // read only
	b, err := io.ReadAll(io.LimitReader(f, maxSmall+1))
	if err != nil || len(b) > maxSmall {
		c.fault("%s: it cannot be read, or is too large", name)
		return nil, false
	}
	return b, true
}

// manifest is nil when it cannot be trusted.
func (c *check) manifest() *manifest {
	raw, ok := c.read(manifestFile)
	if !ok {
		return nil
	}
	n, err := note.Open(raw, note.VerifierList(c.keys.Log))
	if err != nil {
		c.fault("%s: %s", manifestFile, explain(err))
		return nil
	}
	// The text is what was signed; what is around it must be as it was written, too.
	s := n.Sigs[0]
	if again := fmt.Sprintf("%s\n— %s %s\n", n.Text, s.Name, s.Base64); again != string(raw) || !canonical(s.Base64) {
		c.fault("%s: there is more than one signature of the log, or it is not written as such", manifestFile)
		return nil
	}
	m, err := parseManifest(n.Text)
	if err != nil {
		c.fault("%s: %v", manifestFile, err)
		return nil
	}
	if m.origin != c.keys.Log.Name() {
		c.fault("%s: it is of the log %s, and the key of %s", manifestFile, m.origin, c.keys.Log.Name())
	}
	return m
}

func explain(err error) string {
	var unverified *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	switch {
	case errors.As(err, &unverified):
		return "the log has not signed it: it was signed with another key, or the signature is missing"
	case errors.As(err, &invalid):
		return "the signature does not hold: it was changed after it was signed"
	}
	return "it is not a signed note: " + err.Error()
}

func (c *check) checkpoint() {
	raw, ok := c.read(checkpointFile)
	if !ok {
		return
	}
	p, by, err := proof.Open(raw, c.keys.Log, c.keys.Witnesses...)
	if err != nil {
		c.fault("%s: %v", checkpointFile, err)
		return
	}
	c.tree, c.Cosigned = &p, by
}

// files holds every file against the manifest.
func (c *check) files(m *manifest) {
	if m.origin == "" {
		return // there is nothing to hold them against
	}
	listed := map[string]bool{manifestFile: true}
	for _, f := range m.files {
		listed[f.name] = true
		if !filepath.IsLocal(filepath.FromSlash(f.name)) {
			c.fault("%s: it names %q", manifestFile, f.name)
			continue
		}
		sum, size, err := digest(filepath.Join(c.dir, filepath.FromSlash(f.name)))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			c.fault("%s: it is missing", f.name)
		case err != nil:
			c.fault("%s: it cannot be read", f.name)
		case size != f.size:
			c.fault("%s: it has %d bytes, and had %d when it was signed", f.name, size, f.size)
		case sum != f.sum:
			c.fault("%s: it is not what was signed", f.name)
		}
	}
	for _, name := range []string{checkpointFile, eventsFile, streamsFile, historyFile, KeysFile, reportFile} {
		if !listed[name] {
			c.fault("%s: it does not list %s", manifestFile, name)
		}
	}
	err := filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(c.dir, path)
		if name = filepath.ToSlash(name); err == nil && !listed[name] {
			c.fault("%s: it is not in the manifest: it was added", name)
		}
		return err
	})
	if err != nil {
		c.fault("the directory cannot be read")
	}
}

func digest(path string) (sum [sha256.Size]byte, size int64, err error) {
	f, err := os.Open(path) //nolint:gosec // the caller has checked it
	if err != nil {
		return sum, 0, err
	}
	defer f.Close() //nolint:errcheck // read only
	h := sha256.New()
	size, err = io.Copy(h, f)
	return [sha256.Size]byte(h.Sum(nil)), size, err
}

// streams is how many events of each stream there should be.
func (c *check) streams() map[string]int64 {
	counts := map[string]int64{}
	c.lines(streamsFile, func(n int64, line []byte) {
		count, stream, ok := strings.Cut(string(line), " ")
		k, err := strconv.ParseInt(count, 10, 64)
		if _, twice := counts[stream]; !ok || err != nil || k < 1 || twice {
			c.fault("%s line %d: it is not a count and a stream, or there are two of it", streamsFile, n)
			return
		}
		counts[stream] = k
	})
	return counts
}

// lines goes through a file line by line, and says how many there were.
func (c *check) lines(name string, each func(n int64, line []byte)) (n int64) {
	f, err := os.Open(filepath.Join(c.dir, name)) //nolint:gosec // names are ours
	if err != nil {
		c.fault("%s: it is missing, or cannot be read", name)
		return 0
	}
	defer f.Close() //nolint:errcheck // read only
	in := bufio.NewScanner(f)
	in.Buffer(make([]byte, 1<<16), maxLine)
	in.Split(wholeLines)
	for in.Scan() {
		n++
		each(n, in.Bytes())
	}
	if in.Err() != nil {
		c.fault("%s line %d: it is too long, is not a whole line, or cannot be read", name, n+1)
	}
	return n
}

// wholeLines is [bufio.ScanLines] for files whose lines end with a newline, the last too.
func wholeLines(data []byte, end bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if end && len(data) > 0 {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return 0, nil, nil
}

// events checks every event by itself, their order, and that none is left out.
func (c *check) events(m *manifest, counts map[string]int64) {
	s := &sequence{check: c, period: strings.HasPrefix(m.scope, "period "), seen: map[string]int64{}, last: -1}
	n := c.lines(eventsFile, func(n int64, line []byte) {
		if what := s.line(line); what != "" {
			c.fault("%s line %d%s", eventsFile, n, what)
		}
	})
	if m.origin != "" && n != m.events {
		c.fault("%s: it has %d events, and had %d when it was signed", eventsFile, n, m.events)
	}
	var names []string
	for stream := range counts {
		names = append(names, stream)
	}
	for stream := range s.seen {
		if _, ok := counts[stream]; !ok {
			names = append(names, stream)
		}
	}
	slices.Sort(names)
	for _, stream := range names {
		if counts[stream] != s.seen[stream] {
			c.fault("%s: it has %d events of %s, and there should be %d", eventsFile, s.seen[stream], stream, counts[stream])
		}
	}
}

// sequence is the events so far.
type sequence struct {
	*check
	period   bool
	seen     map[string]int64
	last     int64 // index
	position uint64
}

// line says what is wrong with a line, if anything.
func (s *sequence) line(raw []byte) string {
	var l line
	in := json.NewDecoder(bytes.NewReader(raw))
	in.DisallowUnknownFields()
	if err := in.Decode(&l); err != nil {
		return ": it cannot be read"
	}
	var again bytes.Buffer
	if err := encoder(&again).Encode(&l); err != nil || !bytes.Equal(bytes.TrimSuffix(again.Bytes(), []byte("\n")), raw) {
		return ": it is not written as it was"
	}
	leaf, err := l.leaf()
	if err != nil {
		return ": " + err.Error()
	}
	what := fmt.Sprintf(" (%s revision %d): ", l.Stream, l.Revision)
	before := s.last
	s.last = max(s.last, l.Index)
	switch {
	case l.Index <= before || l.Commit < s.position:
		return what + "it is out of order: it comes after a later one, or twice"
	case s.period && before >= 0 && l.Index != before+1:
		return what + fmt.Sprintf("%d events before it are missing", l.Index-before-1)
	}
	s.position = l.Commit
	if !s.period && l.Revision != uint64(s.seen[l.Stream]) && l.Type != deleted { //nolint:gosec // counts from 0
		s.seen[l.Stream] = int64(l.Revision) + 1 //nolint:gosec // servers count to 2^63-1
		return what + "an event of its stream before it is missing"
	}
	s.seen[l.Stream]++
	return s.proven(&l, leaf, what)
}

// proven checks that the event is in the tree that was signed.
func (s *sequence) proven(l *line, leaf *proof.Leaf, what string) string {
	if s.tree == nil {
		return ""
	}
	path := make(tlog.RecordProof, len(l.Proof))
	for i, h := range l.Proof {
		if len(h) != tlog.HashSize {
			return what + "its proof cannot be read"
		}
		copy(path[i][:], h)
	}
	if err := tlog.CheckRecord(path, s.tree.Size, s.tree.Root, l.Index, leaf.Hash()); err != nil {
		return what + "it is not in the tree that was signed: it, its place or its proof was changed"
	}
	return ""
}

// canonical says whether text is how its bytes are written in base64, and the only way.
func canonical(text string) bool {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	return err == nil && base64.StdEncoding.EncodeToString(raw) == text
}
