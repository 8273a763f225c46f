package mail

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"annals/internal/mail/mailtest"
)

// file is an attachment of a test.
type file struct {
	name, kind string
	content    []byte
	size       int64
	err        error
	end        error // after all of it
}

func (f file) attachment() Attachment {
	return Attachment{Name: f.name, Type: f.kind, Size: f.size, Open: func(context.Context) (io.ReadCloser, error) {
		if f.end != nil {
			return io.NopCloser(io.MultiReader(bytes.NewReader(f.content), iotest.ErrReader(f.end))), f.err
		}
		return io.NopCloser(bytes.NewReader(f.content)), f.err
	}}
}

// sendFiles sends a message with attachments from a source that has but this one.
func (o *office) sendFiles(to string, files ...file) (*Mailer, uuid.UUID) {
	o.Helper()
	m, q := o.open()
	err := m.Add("files", Source{
		Fetch: func(context.Context, uuid.UUID) (Message, error) {
			msg := Message{To: to, Subject: "Files", Text: "Here they are.", HTML: "<p>Here they are.</p>"}
			for _, f := range files {
				msg.Attachments = append(msg.Attachments, f.attachment())
			}
			return msg, nil
		},
		Ended: func(context.Context, pgx.Tx, uuid.UUID, Outcome) error { return nil },
	})
	if err != nil {
		o.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- q.Run(ctx) }()
	o.Cleanup(func() { cancel(); <-done })
	var id uuid.UUID
	err = pgx.BeginFunc(o.Context(), o.pool, func(tx pgx.Tx) (err error) {
		id, err = m.SendFrom(o.Context(), tx, "files", uuid.New(), time.Time{})
		return err
	})
	if err != nil {
		o.Fatal(err)
	}
	return m, id
}

func TestAttachmentsArriveByteForByte(t *testing.T) {
	post := mailtest.New(t, nil).Open()
	o := newOffice(t, Config{SMTP: "smtp://" + post.Addr})
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	lines := "\r\n.\r\n..\n.\r\nMAIL FROM:<x@example.com>\r\n"
	files := []file{
		{name: "Ännals – \"Größe\".pdf", kind: "application/pdf", content: bytes.Repeat(all, 5000)},
		{name: "empty.txt", kind: "text/plain; charset=utf-8"},
		{name: "dots.txt", kind: "text/plain", content: []byte(strings.Repeat(lines, 99))},
		{name: "../../etc/passwd", kind: "not a type", content: []byte("x")},
		{name: `C:\Users\x.doc`, kind: "message/rfc822", content: []byte("Subject: s\r\n\r\n")},
		{name: "a\r\nBcc: b@example.com\r\n\r\n.png", kind: "image/png\r\nX: y", content: all},
	}
	names := []string{files[0].name, "empty.txt", "dots.txt", "passwd", "x.doc", files[5].name}
	kinds := []string{"application/pdf", "text/plain", "text/plain", "application/octet-stream", "application/octet-stream", "application/octet-stream"}
	for i := range files {
		files[i].size = int64(len(files[i].content))
	}
	m, id := o.sendFiles("fine@example.com", files...)
	o.became(m, id, Sent)
	read, err := mail.ReadMessage(strings.NewReader(post.All()[0].Raw))
	if err != nil {
		t.Fatal(err)
	}
	if read.Header.Get("Bcc") != "" || read.Header.Get("Subject") != "Files" || len(read.Header["Content-Type"]) != 1 {
		t.Error(read.Header)
	}
	kind, params, err := mime.ParseMediaType(read.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/mixed" {
		t.Fatal(kind, err)
	}
	parts := multipart.NewReader(read.Body, params["boundary"])
	first, err := parts.NextRawPart()
	if err != nil || !strings.HasPrefix(first.Header.Get("Content-Type"), "multipart/alternative") {
		t.Fatal(first, err)
	}
	_, params, _ = mime.ParseMediaType(first.Header.Get("Content-Type"))
	bodies := multipart.NewReader(first, params["boundary"])
	for _, want := range []string{"Here they are.", "<p>Here they are.</p>"} {
		part, err := bodies.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(part); err != nil || string(b) != want {
			t.Errorf("%q, %v", b, err)
		}
	}
	for i, f := range files {
		part, err := parts.NextRawPart()
		if err != nil {
			t.Fatal(i, err)
		}
		b, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, part))
		if err != nil || !bytes.Equal(b, f.content) {
			t.Errorf("%s: %d bytes instead of %d, %v", f.name, len(b), len(f.content), err)
		}
		_, params, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
		kind, _, err2 := mime.ParseMediaType(part.Header.Get("Content-Type"))
		if err != nil || err2 != nil || params["filename"] != names[i] || kind != kinds[i] || len(part.Header) != 3 {
			t.Errorf("%q: %v, %v %v", f.name, part.Header, err, err2)
		}
	}
	if _, err := parts.NextRawPart(); err != io.EOF {
		t.Error("more parts", err)
	}
	for line := range strings.SplitSeq(post.All()[0].Raw, "\r\n") {
		if len(line) > 998 { // RFC 5322 §2.1.1
			t.Errorf("a line of %d characters", len(line))
		}
	}
}

// An attachment that cannot be read in whole must not be sent in part: the server has
// begun to take the message, and never sees its end.
func TestAnAttachmentThatBreaksOff(t *testing.T) {
	t.Parallel()
	post := mailtest.New(t, nil).Open()
	long := file{name: "long", kind: "text/plain", content: bytes.Repeat([]byte("0123456789"), 100_000), size: 1_000_000}
	short := long
	short.size++
	for name, c := range map[string]struct {
		file
		state State
		says  string
	}{
		"cut short":          {short, Queued, "attachment: cannot be read"},
		"not to be opened":   {file{err: fmt.Errorf("secret-bucket: %w", io.ErrUnexpectedEOF)}, Queued, "attachment: cannot be read"},
		"gone for good":      {file{err: Refuse("the document was deleted")}, Failed, "content: the document was deleted"},
		"altered at its end": {file{content: []byte("ab"), size: 2, end: io.ErrUnexpectedEOF}, Queued, "attachment: cannot be read"},
		"more than was said": {file{content: []byte("ab"), size: 1}, Queued, "attachment: cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t, Config{SMTP: "smtp://" + post.Addr})
			m, id := o.sendFiles("fine@example.com", long, c.file)
			o.await("an attempt", func() bool { return o.get(m, id).LastError == c.says })
			if e := o.get(m, id); e.State != c.state {
				t.Errorf("%+v", e)
			}
		})
	}
	t.Cleanup(func() {
		if n := len(post.All()); n > 0 {
			t.Errorf("%d arrived", n)
		}
	})
}
