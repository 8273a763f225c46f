package csvimport

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	utf16 "golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// file is a CSV file whose header has been read.
type file struct {
	*splitter

	fields      fieldReader
	delimiter   rune
	charset     string // as the rows are told about it
	utf8        bool   // not decoded: what is invalid is still as it was
	mark        bool   // the file began with a byte order mark
	header      []string
	headerLine  int // the last line of it
	emptyBefore int // empty lines before it
	mapping     *mapping
}

// open tells the format of r, reads the header and finds the columns. The error is
// a [*UsageError] or the reader's.
func open(r io.Reader, o Options) (*file, error) {
	f := &file{delimiter: o.Delimiter}
	text, err := f.decode(r, o.Encoding)
	if err != nil {
		return nil, err
	}
	f.splitter = newSplitter(text)
	head := f.peek()
	if !bytes.Contains(head, []byte{'\n'}) && bytes.Contains(head, []byte{'\r'}) {
		f.eol = '\r' // as in files of a Macintosh before 2001
	}
	if f.delimiter == 0 {
		f.delimiter = tellDelimiter(head)
	}
	if d := f.delimiter; !utf8.ValidRune(d) || d == utf8.RuneError || strings.ContainsRune("\"\r\n", d) {
		return nil, usagef("delimiter: %q cannot be one", d)
	}
	f.delim = utf8.AppendRune(nil, f.delimiter)
	if err := f.readHeader(); err != nil {
		return nil, err
	}
	f.mapping, err = newMapping(f.header, o)
	return f, err
}

// decode makes UTF-8 of r.
func (f *file) decode(r io.Reader, name string) (io.Reader, error) {
	if name == "" {
		name = "utf-8"
	}
	e, err := htmlindex.Get(strings.TrimSpace(name))
	if err != nil { // a mistake even where a byte order mark says what the file is
		return nil, usagef("encoding: %q is not known; such are utf-8, utf-16le, windows-1252, iso-8859-15, shift_jis, gb18030", name)
	}
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	decoded := func(charset string, e encoding.Encoding) io.Reader {
		f.charset = charset
		return transform.NewReader(b, e.NewDecoder())
	}
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return nil, usagef("the file is a spreadsheet or an archive: save it as CSV")
	case bytes.HasPrefix(head, []byte("\xff\xfe\x00\x00")), bytes.HasPrefix(head, []byte("\x00\x00\xfe\xff")):
		return nil, usagef("encoding: UTF-32 is not supported: save the file as UTF-8")
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		_, err := b.Discard(3)
		f.charset, f.utf8, f.mark = "UTF-8", true, true
		return b, err
	case bytes.HasPrefix(head, []byte("\xff\xfe")):
		f.mark = true
		return decoded("UTF-16", utf16.UTF16(utf16.LittleEndian, utf16.ExpectBOM)), nil
	case bytes.HasPrefix(head, []byte("\xfe\xff")):
		f.mark = true
		return decoded("UTF-16", utf16.UTF16(utf16.BigEndian, utf16.ExpectBOM)), nil
	}
	switch charset, _ := htmlindex.Name(e); charset {
	case "utf-8":
		f.charset, f.utf8 = "UTF-8", true
		return b, nil
	case "replacement", "x-user-defined":
		return nil, usagef("encoding: %q is not supported", name)
	default:
		return decoded(charset, e), nil
	}
}

// delimiters are told by the one that the header has most of, the first where two
// are equal.
var delimiters = []struct {
	r    rune
	name string
}{{',', "comma"}, {';', "semicolon"}, {'\t', "tab"}, {'|', "vertical bar"}}

func delimiterName(r rune) string {
	for _, d := range delimiters {
		if d.r == r {
			return d.name
		}
	}
	return string(r)
}

func tellDelimiter(head []byte) rune {
	head = bytes.TrimLeft(head, blanks)
	if i := bytes.IndexAny(head, "\r\n"); i >= 0 {
		head = head[:i]
	}
	var count [128]int
	quoted := false
	for _, b := range head {
		switch {
		case b == '"':
			quoted = !quoted
		case !quoted && b < 128:
			count[b]++
		}
	}
	best := delimiters[0].r
	for _, d := range delimiters[1:] {
		if count[d.r] > count[best] {
			best = d.r
		}
	}
	return best
}

func (f *file) readHeader() error {
	for {
		rec, err := f.next()
		switch {
		case errors.Is(err, io.EOF):
			return usagef("the file is empty: its first line has to name the columns")
		case err != nil:
			return err
		case f.blank(rec.raw):
			f.emptyBefore++
			continue
		}
		if bytes.IndexByte(rec.raw, 0) >= 0 {
			return usagef("the header holds NUL bytes: is the file UTF-16? Then give its encoding, utf-16le or utf-16be")
		}
		if !f.valid(rec.raw) {
			return usagef("the header is not valid %s: give the encoding of the file, as in windows-1252", f.charset)
		}
		if rec.fault != "" {
			return usagef("the header, line %d, %s", rec.line, rec.fault)
		}
		if f.header, err = f.fields.read(rec.raw, f.delimiter); err != nil {
			return usagef("the header, line %d: %v", rec.line, err)
		}
		f.headerLine = rec.line + rec.lines - 1
		return nil
	}
}

// valid says whether all of raw could be decoded. What could not be has become the
// replacement character, except in UTF-8, which is not decoded.
func (f *file) valid(raw []byte) bool {
	if f.utf8 {
		return utf8.Valid(raw)
	}
	return !bytes.ContainsRune(raw, utf8.RuneError)
}

// blank says whether there is nothing on a line but white space and delimiters.
func (f *file) blank(raw []byte) bool {
	for len(raw) > 0 {
		r, n := utf8.DecodeRune(raw)
		if r != f.delimiter && !unicode.IsSpace(r) {
			return false
		}
		raw = raw[n:]
	}
	return true
}

// fieldReader takes records apart, holding on to its buffers.
type fieldReader struct {
	raw bytes.Reader
	buf *bufio.Reader
}

// read is the fields of one record that is not blank.
func (r *fieldReader) read(raw []byte, delimiter rune) ([]string, error) {
	r.raw.Reset(raw)
	if r.buf == nil {
		r.buf = bufio.NewReaderSize(nil, 4<<10) // so large that encoding/csv makes none of its own
	}
	r.buf.Reset(&r.raw)
	c := csv.NewReader(r.buf)
	c.Comma = delimiter
	c.FieldsPerRecord = -1
	fields, err := c.Read()
	if e, ok := errors.AsType[*csv.ParseError](err); ok {
		return nil, e.Err
	}
	if err == nil && c.InputOffset() < int64(len(raw)) {
		return nil, errLineEnd
	}
	return fields, err
}

var errLineEnd = errors.New("holds a line end of another kind than those before")

func allBlank(fields []string) bool { return !slices.ContainsFunc(fields, notBlank) }

func notBlank(s string) bool { return strings.TrimSpace(s) != "" }
