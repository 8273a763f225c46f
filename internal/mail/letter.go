package mail

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"path"
	"strings"

	gomail "github.com/wneessen/go-mail"
)

// letter is a message as it is handed over.
type letter struct {
	from, to string // addresses
	utf8     bool   // to needs SMTPUTF8 (RFC 6531)
	write    func(io.Writer) error
}

// compose writes the message (RFC 5322, RFC 2045). It differs between attempts in
// nothing but the boundaries of its parts.
func (m *Mailer) compose(ctx context.Context, e Entry, content Message) (letter, error) {
	to, err := asciiDomain(content.To)
	if err != nil {
		return letter{}, &refusal{step: "address", text: "its domain is not a domain", permanent: true}
	}
	l := letter{from: m.from.addr.Address, to: to}
	l.utf8 = strings.ContainsFunc(l.from+l.to, func(r rune) bool { return r >= 0x80 })
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	msg.FromMailAddress(&m.from.addr)
	msg.ToMailAddress(&mail.Address{Name: content.ToName, Address: to})
	if reply, err := asciiDomain(content.ReplyTo); content.ReplyTo != "" && err == nil {
		msg.ReplyToMailAddress(&mail.Address{Name: content.ReplyToName, Address: reply})
	}
	msg.Subject(content.Subject)
	msg.SetDateWithValue(e.Created.UTC())
	msg.SetMessageIDWithValue(e.MessageID)
	if !content.Written {
		msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no holiday notices, please
		msg.SetGenHeader("X-Auto-Response-Suppress", "All")  // the same for Exchange
	}
	msg.SetBodyString(gomail.TypeTextPlain, content.Text)
	if content.HTML != "" {
		msg.AddAlternativeString(gomail.TypeTextHTML, content.HTML)
	}
	var b bytes.Buffer
	if _, err := msg.WriteTo(&b); err != nil {
		return letter{}, fmt.Errorf("compose: %w", err)
	}
	l.write = func(w io.Writer) error { _, err := w.Write(b.Bytes()); return err }
	if len(content.Attachments) > 0 {
		l.write = func(w io.Writer) error { return m.mixed(ctx, w, b.Bytes(), content.Attachments) }
	}
	return l, nil
}

// mixed writes the message and its attachments as parts of one (RFC 2046 §5.1.3). They
// are never in memory as a whole, which the library would have them.
func (m *Mailer) mixed(ctx context.Context, to io.Writer, msg []byte, attachments []Attachment) error {
	outer, inner, body, err := split(msg)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(to, 32<<10)
	parts := multipart.NewWriter(w)
	if err := parts.SetBoundary("=_" + rand.Text()); err != nil { // "=_" is in no quoted-printable or base64 line, RFC 2045 §6.7
		return err
	}
	fmt.Fprintf(w, "%sContent-Type: multipart/mixed;\r\n boundary=\"%s\"\r\n\r\n", outer, parts.Boundary())
	part, err := parts.CreatePart(inner)
	if err != nil {
		return err
	}
	if _, err := part.Write(body); err != nil {
		return err
	}
	for i, a := range attachments {
		part, err := parts.CreatePart(a.header())
		if err != nil {
			return err
		}
		if err := a.copy(ctx, part); err != nil {
			if r, ok := errors.AsType[*refusal](err); ok {
				return r
			}
			m.cfg.Logger.WarnContext(ctx, "mail: an attachment cannot be sent", slog.Int("attachment", i), slog.Any("err", err))
			return &refusal{step: "attachment", text: "cannot be read"}
		}
	}
	if err := parts.Close(); err != nil {
		return err
	}
	return w.Flush()
}

// split takes a message apart: the headers that stay outside, those that describe its
// body, and that.
func split(msg []byte) (outer string, inner textproto.MIMEHeader, body []byte, err error) {
	head, body, ok := bytes.Cut(msg, []byte("\r\n\r\n"))
	if !ok {
		return "", nil, nil, errors.New("compose: no end of the headers")
	}
	inner = textproto.MIMEHeader{}
	var b strings.Builder
	for field := range fields(string(head)) {
		name, value, _ := strings.Cut(field, ":")
		if strings.HasPrefix(strings.ToLower(name), "content-") {
			inner.Set(name, strings.TrimSpace(value))
			continue
		}
		b.WriteString(field + "\r\n")
	}
	return b.String(), inner, body, nil
}

// fields yields the header fields as they are, folded lines together (RFC 5322 §2.2.3).
func fields(head string) func(func(string) bool) {
	return func(yield func(string) bool) {
		field := ""
		for line := range strings.SplitSeq(head, "\r\n") {
			if folded := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t"); folded || field == "" {
				if folded {
					line = "\r\n" + line
				}
				field += line
				continue
			}
			if !yield(field) {
				return
			}
			field = line
		}
		if field != "" {
			yield(field)
		}
	}
}

// header is that of the attachment's part. Names that are not ASCII are written as RFC
// 2231 says, which leaves no character that could end a header.
func (a Attachment) header() textproto.MIMEHeader {
	name := path.Base(strings.ReplaceAll(a.Name, `\`, "/"))
	if name == "." || name == "/" || name == ".." {
		name = "attachment"
	}
	kind, _, err := mime.ParseMediaType(a.Type)
	if err != nil || !strings.Contains(kind, "/") || strings.HasPrefix(kind, "multipart/") || strings.HasPrefix(kind, "message/") {
		kind = "application/octet-stream" // the others may not be base64, RFC 2046 §5
	}
	h := textproto.MIMEHeader{}
	h.Set("Content-Type", mime.FormatMediaType(kind, map[string]string{"name": name}))
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	h.Set("Content-Transfer-Encoding", "base64")
	return h
}

// copy writes the attachment in base64, all of it or with an error.
func (a Attachment) copy(ctx context.Context, to io.Writer) error {
	r, err := a.Open(ctx)
	if err != nil {
		return err
	}
	lines := &lineBreaker{to: to}
	enc := base64.NewEncoder(base64.StdEncoding, lines)
	n, err := io.Copy(enc, r)
	err = errors.Join(err, r.Close(), enc.Close())
	if err == nil && n != a.Size {
		err = fmt.Errorf("has %d bytes instead of %d", n, a.Size)
	}
	return err
}

// lineBreaker ends lines after 76 characters (RFC 2045 §6.8).
type lineBreaker struct {
	to io.Writer
	at int
}

func (l *lineBreaker) Write(p []byte) (int, error) {
	const width = 76
	for done := 0; ; {
		n := min(len(p)-done, width-l.at)
		if _, err := l.to.Write(p[done : done+n]); err != nil {
			return done, err
		}
		done, l.at = done+n, l.at+n
		if done == len(p) {
			return done, nil
		}
		if _, err := io.WriteString(l.to, "\r\n"); err != nil {
			return done, err
		}
		l.at = 0
	}
}
