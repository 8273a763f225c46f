package csvimport

import (
	"bytes"
	"io"
)

// Bounds of what is held at once.
const (
	maxLine       = 1 << 20  // bytes of a line, and of a record
	maxField      = 64 << 10 // bytes of a quoted field that spans lines
	maxFieldLines = 100      // and its lines
	keepOfLong    = 1 << 10  // bytes kept of a line that is too long
)

const blanks = " \t\r\n"

// Reasons for which a record cannot be taken apart.
const (
	faultQuote    = `has a quote (") inside a field: write it twice and put the whole field in quotes`
	faultUnclosed = `opens a quote (") that nothing closes within 100 lines and 64 KiB`
	faultLong     = "is longer than 1 MiB; its first 1,024 bytes are kept"
)

// record is one record as it stands in the file.
type record struct {
	line  int    // where it begins; 1 is the first line of the file
	lines int    // how many it takes
	raw   []byte // without the last line end; until the next call of next
	size  int    // bytes in the file, with the line end
	fault string // why it cannot be taken apart, else empty
}

// splitter finds where records end. A quoted field may span lines. A quote in a
// wrong place must not swallow the records that follow: such a record is its first
// line only, at fault, and the next record begins on the next line. So it is, too,
// when a quoted field goes on for too long, or to the end of the file.
//
// Every byte belongs to exactly one record.
type splitter struct {
	r     io.Reader
	buf   []byte
	start int   // of the record to come
	end   int   // of what has been read
	err   error // of the last read
	line  int   // of the record to come
	taken int   // size of the record that is out
	delim []byte
	eol   byte
}

func newSplitter(r io.Reader) *splitter {
	return &splitter{r: r, buf: make([]byte, 64<<10), line: 1, delim: []byte{','}, eol: '\n'}
}

// peek is the beginning of what is to come, for telling the format: at least the
// first line that holds something, if the buffer can hold it.
func (s *splitter) peek() []byte {
	for s.err == nil && s.end < len(s.buf) && bytes.IndexByte(bytes.TrimLeft(s.buf[s.start:s.end], blanks), '\n') < 0 {
		s.fill()
	}
	return s.buf[s.start:s.end]
}

// next is the next record. The error is io.EOF at the end, else the reader's.
func (s *splitter) next() (record, error) {
	s.start, s.taken = s.start+s.taken, 0
	first, err := s.lineEnd(0)
	if err == errLongLine { //nolint:errorlint // never wrapped
		return s.long(), nil
	}
	if err != nil {
		return record{}, err
	}
	rec := record{lines: 1, size: first}
	q := quotes{delim: s.delim}
	q.walk(s.text(0, first))
	switch {
	case q.misplaced:
		rec.fault = faultQuote
	case q.open:
		end, lines, err := s.unfold(&q, first)
		if err != nil {
			return record{}, err
		}
		if lines == 0 {
			rec.fault = faultUnclosed
		} else {
			rec.lines, rec.size = lines, end
		}
	}
	return s.take(rec), nil
}

// unfold follows an open quote over lines to where its record ends. No lines means
// that it does not end properly. The error is the reader's.
func (s *splitter) unfold(q *quotes, first int) (end, lines int, err error) {
	fieldAt, fieldLine := 0, 1
	end, lines = first, 1
	for q.open {
		if end-fieldAt > maxField || lines-fieldLine >= maxFieldLines || end > maxLine {
			return 0, 0, nil
		}
		next, err := s.lineEnd(end)
		if err == io.EOF || err == errLongLine { //nolint:errorlint // never wrapped
			return 0, 0, nil
		}
		if err != nil {
			return 0, 0, err
		}
		fields := q.opened
		q.walk(s.text(end, next))
		if q.misplaced {
			return 0, 0, nil
		}
		lines++
		if q.opened > fields { // another field than the one that began this
			fieldAt, fieldLine = end, lines
		}
		end = next
	}
	return end, lines, nil
}

func (s *splitter) take(rec record) record {
	rec.line = s.line
	rec.raw = s.text(0, rec.size)
	s.line += rec.lines
	s.taken = rec.size
	return rec
}

// text is what stands between two offsets, without the line end.
func (s *splitter) text(from, to int) []byte {
	t := s.buf[s.start+from : s.start+to]
	if s.eol == '\n' {
		t = bytes.TrimSuffix(t, []byte{'\n'})
	}
	return bytes.TrimSuffix(t, []byte{'\r'})
}

var errLongLine = io.ErrShortBuffer

// lineEnd is the offset after the line that begins at from, both from the start of
// the record. The error is io.EOF when nothing begins there, errLongLine, or the
// reader's.
func (s *splitter) lineEnd(from int) (int, error) {
	for at := from; ; {
		have := s.buf[s.start:s.end]
		if i := bytes.IndexByte(have[at:], s.eol); i >= 0 {
			at += i + 1
			if at-from > maxLine {
				return 0, errLongLine
			}
			return at, nil
		}
		at = len(have)
		switch {
		case at-from > maxLine:
			return 0, errLongLine
		case s.err == nil:
			s.fill()
		case s.err == io.EOF && at > from: //nolint:errorlint // io.Reader's contract
			return at, nil
		default:
			return 0, s.err
		}
	}
}

// long takes a line that is too long, without holding it.
func (s *splitter) long() record {
	rec := record{line: s.line, lines: 1, fault: faultLong}
	rec.raw = bytes.Clone(s.buf[s.start : s.start+keepOfLong])
	for {
		have := s.buf[s.start:s.end]
		if i := bytes.IndexByte(have, s.eol); i >= 0 {
			s.start += i + 1
			rec.size += i + 1
			break
		}
		s.start = s.end
		rec.size += len(have)
		if s.err != nil {
			break
		}
		s.fill()
	}
	s.line++
	return rec
}

// fill reads something or sets err, making room first.
func (s *splitter) fill() {
	if s.end == len(s.buf) {
		if s.start > len(s.buf)/2 {
			s.end = copy(s.buf, s.buf[s.start:s.end])
		} else {
			grown := make([]byte, 2*len(s.buf))
			s.end = copy(grown, s.buf[s.start:s.end])
			s.buf = grown
		}
		s.start = 0
	}
	for range 100 {
		n, err := s.r.Read(s.buf[s.end:])
		s.end, s.err = s.end+n, err
		if n > 0 || err != nil {
			return
		}
	}
	s.err = io.ErrNoProgress
}

// quotes follows the quotes of one record over its lines.
type quotes struct {
	delim     []byte
	open      bool // within a quoted field
	opened    int  // fields so far that are quoted
	misplaced bool // a quote within an unquoted field, or something after a closing one
}

// walk goes over one line, given without its end.
func (q *quotes) walk(line []byte) {
	for pos := 0; ; {
		i := bytes.IndexByte(line[pos:], '"')
		if i < 0 {
			return
		}
		at := pos + i
		rest := line[at+1:]
		switch {
		case !q.open && (at == 0 || bytes.HasSuffix(line[pos:at], q.delim)):
			q.open = true
			q.opened++
			pos = at + 1
		case !q.open:
			q.misplaced = true
			return
		case len(rest) > 0 && rest[0] == '"':
			pos = at + 2
		case len(rest) == 0 || bytes.HasPrefix(rest, q.delim):
			q.open = false
			pos = at + 1
		default:
			q.misplaced = true
			return
		}
	}
}
