package filetype

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/gabriel-vasile/mimetype"
)

var (
	png  = unbase64("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
	gif  = unbase64("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
	jpeg = []byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00")
	pdf  = []byte("%PDF-1.7\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF")
	exe  = append([]byte("MZ\x90\x00\x03"), make([]byte, 200)...)
)

func unbase64(s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func zipped(names ...string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range names {
		f, _ := w.Create(name)
		_, _ = f.Write([]byte(strings.Repeat("0", 5000)))
	}
	_ = w.Close()
	return b.Bytes()
}

func TestDetect(t *testing.T) {
	t.Parallel()
	for media, c := range map[string]struct {
		head            []byte
		served, preview string
	}{
		"image/png":                           {png, "image/png", "image"},
		"image/gif":                           {gif, "image/gif", "image"},
		"image/jpeg":                          {jpeg, "image/jpeg", "image"},
		"application/pdf":                     {pdf, "application/pdf", "pdf"},
		"text/plain":                          {[]byte("Dear Kim,\n"), "text/plain; charset=utf-8", "text"},
		"text/csv":                            {[]byte("a,b\n1,2\n3,4\n"), "text/plain; charset=utf-8", "text"},
		"text/html":                           {[]byte("<!DOCTYPE html><script>alert(1)</script>"), Bytes, "none"},
		"image/svg+xml":                       {[]byte(`<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`), Bytes, "none"},
		"text/xml":                            {[]byte(`<?xml version="1.0"?><a/>`), Bytes, "none"},
		"application/zip":                     {zipped("a.txt"), Bytes, "none"},
		"application/java-archive":            {zipped("META-INF/MANIFEST.MF", "A.class"), Bytes, "none"},
		openXML + "wordprocessingml.document": {zipped("[Content_Types].xml", "_rels/.rels", "word/document.xml"), openXML + "wordprocessingml.document", "none"},
		"application/vnd.microsoft.portable-executable": {exe, Bytes, "none"},
		"text/x-shellscript":                            {[]byte("#!/bin/sh\nrm -rf /\n"), Bytes, "none"},
		Bytes:                                           {[]byte{0, 1, 2, 3, 0xff}, Bytes, "none"},
	} {
		if got := Detect(c.head); got != media {
			t.Errorf("detected %s, want %s", got, media)
		}
		if got := Served(media, "no extension"); got != c.served {
			t.Errorf("%s is served as %s, want %s", media, got, c.served)
		}
		if got := Preview(media); got != c.preview {
			t.Errorf("preview of %s: %s, want %s", media, got, c.preview)
		}
	}
	if got := Detect(nil); got != "text/plain" && got != Bytes {
		t.Errorf("of nothing: %s", got)
	}
}

func TestContradicts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, media string
		contradicts bool
	}{
		{"photo.jpg", "image/jpeg", false},
		{"PHOTO.JPEG", "image/jpeg", false},
		{"photo.jpg", "image/png", true},
		{"photo.jpg", "text/html", true},
		{"photo.jpg", Bytes, true},
		{"photo.jpg", "text/plain", true},
		{"invoice.pdf", "application/vnd.microsoft.portable-executable", true},
		{"invoice.pdf.exe", "application/vnd.microsoft.portable-executable", false},
		{"letter.docx", openXML + "wordprocessingml.document", false},
		{"letter.docx", "application/zip", false}, // less precise
		{"letter.docx", openXML + "spreadsheetml.sheet", true},
		{"letter.doc", "application/x-ole-storage", false},
		{"table.csv", "text/plain", false},
		{"notes.txt", "text/csv", false},
		{"notes.txt", "image/png", true},
		{"page.html", "image/gif", true},
		{"what.ever", "image/gif", false},
		{"none", "image/gif", false},
	} {
		if got := Contradicts(c.media, c.name); got != c.contradicts {
			t.Errorf("%s that is %s: %v", c.name, c.media, got)
		}
		if c.contradicts && Served(c.media, c.name) != Bytes {
			t.Errorf("%s that is %s is served as %s", c.name, c.media, Served(c.media, c.name))
		}
	}
	for ext, media := range named {
		if mimetype.Lookup(media) == nil {
			t.Errorf("%s: %s is not known", ext, media)
		}
	}
	for media := range kinds {
		if mimetype.Lookup(media) == nil {
			t.Errorf("%s is not known", media)
		}
	}
}

// TestPolyglots: whatever two types a file is at once, and whatever its name, it is never
// served as what a browser would run.
func TestPolyglots(t *testing.T) {
	t.Parallel()
	parts := [][]byte{
		png, gif, jpeg, pdf, exe, zipped("META-INF/MANIFEST.MF", "A.class"), []byte("<html><script>alert(1)</script></html>"),
		[]byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`), []byte("<?php system($_GET['c']); ?>"),
		[]byte("GIF89a/*<svg/onload=alert(1)>*/=1;alert(1)"), []byte("%!PS\n"), []byte("\x00\x00<!--<script>alert(1)</script>-->"), []byte("\xef\xbb\xbf<html>"), []byte("+ADw-script+AD4-"),
	}
	names := []string{"x.html", "x.svg", "x.png", "x.pdf", "x.js", "x.txt", "x", "x.php.jpg", "x.xhtml", "x.swf"}
	for _, a := range parts {
		for _, b := range parts {
			media := Detect(append(bytes.Clone(a), b...))
			for _, name := range names {
				served := Served(media, name)
				bare, _, _ := strings.Cut(served, ";")
				if !AllServed()[bare] || strings.Contains(served, "html") || strings.Contains(served, "xml;") || strings.Contains(served, "+xml") || strings.Contains(served, "script") {
					t.Errorf("%s that is %s is served as %s", name, media, served)
				}
			}
		}
	}
}
