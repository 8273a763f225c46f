// Package filetype says what a file is by its first bytes, and as what it may be given
// to a browser. What its sender calls it counts for nothing: neither the media type
// that came along, nor the name, which is only compared.
//
// A file can be valid as several types at once (a polyglot). Whatever it is taken for
// here, it is served as a type of a short list that browsers do not run, or as bytes;
// TestPolyglots holds that.
package filetype

import (
	"mime"
	"path"
	"strings"
	"sync"

	"github.com/gabriel-vasile/mimetype"
)

// Head is how many bytes from the beginning on [Detect] looks at.
const Head = 64 << 10

// Bytes is the type of what is not known, and as what all that a browser might run is
// served.
const Bytes = "application/octet-stream"

var limit = sync.OnceFunc(func() { mimetype.SetLimit(Head) })

// Detect is the media type of a file that begins so, without parameters.
func Detect(head []byte) string {
	limit()
	media, _, err := mime.ParseMediaType(mimetype.Detect(head).String())
	if err != nil {
		return Bytes
	}
	return media
}

// kind is how files of a type are treated.
type kind struct {
	served  string // Content-Type
	preview string // see [Preview]
}

const openXML = "application/vnd.openxmlformats-officedocument."

// kinds are the types that are served as what they are. SVG and HTML are not among
// them, nor is any other that a browser would run.
var kinds = map[string]kind{
	"image/png":          {"image/png", "image"},
	"image/apng":         {"image/png", "image"},
	"image/jpeg":         {"image/jpeg", "image"},
	"image/gif":          {"image/gif", "image"},
	"image/webp":         {"image/webp", "image"},
	"image/avif":         {"image/avif", "image"},
	"image/bmp":          {"image/bmp", "image"},
	"image/tiff":         {"image/tiff", "none"},
	"image/heic":         {"image/heic", "none"},
	"application/pdf":    {"application/pdf", "pdf"},
	"text/plain":         {plain, "text"},
	"text/csv":           {plain, "text"},
	"application/json":   {plain, "text"},
	"application/msword": {"application/msword", "none"},

	"application/vnd.ms-excel":                        {"application/vnd.ms-excel", "none"},
	"application/vnd.ms-powerpoint":                   {"application/vnd.ms-powerpoint", "none"},
	openXML + "wordprocessingml.document":             {openXML + "wordprocessingml.document", "none"},
	openXML + "spreadsheetml.sheet":                   {openXML + "spreadsheetml.sheet", "none"},
	openXML + "presentationml.presentation":           {openXML + "presentationml.presentation", "none"},
	"application/vnd.oasis.opendocument.text":         {"application/vnd.oasis.opendocument.text", "none"},
	"application/vnd.oasis.opendocument.spreadsheet":  {"application/vnd.oasis.opendocument.spreadsheet", "none"},
	"application/vnd.oasis.opendocument.presentation": {"application/vnd.oasis.opendocument.presentation", "none"},
}

// plain is what text is served as. Its encoding is said, so that nobody guesses one in
// which it would mean something else.
const plain = "text/plain; charset=utf-8"

// Served is the Content-Type for a file of that name whose content is of the media type.
// Where they contradict each other, it is served as bytes.
func Served(media, name string) string {
	if k, ok := kinds[media]; ok && !Contradicts(media, name) {
		return k.served
	}
	return Bytes
}

// AllServed are the media types that [Served] may answer, without parameters.
func AllServed() map[string]bool {
	all := map[string]bool{Bytes: true}
	for _, k := range kinds {
		media, _, _ := strings.Cut(k.served, ";")
		all[media] = true
	}
	return all
}

// Preview says how a page can show the content of a file: image, pdf, text or none.
func Preview(media string) string {
	if k, ok := kinds[media]; ok {
		return k.preview
	}
	return "none"
}

// named are the types that a name promises by its extension.
var named = map[string]string{
	".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp",
	".avif": "image/avif", ".bmp": "image/bmp", ".tif": "image/tiff", ".tiff": "image/tiff", ".heic": "image/heic", ".svg": "image/svg+xml",
	".pdf": "application/pdf", ".txt": "text/plain", ".log": "text/plain", ".md": "text/plain", ".csv": "text/csv", ".json": "application/json",
	".html": "text/html", ".htm": "text/html", ".xml": "text/xml", ".rtf": "text/rtf",
	".doc": "application/msword", ".xls": "application/vnd.ms-excel", ".ppt": "application/vnd.ms-powerpoint",
	".docx": openXML + "wordprocessingml.document", ".xlsx": openXML + "spreadsheetml.sheet", ".pptx": openXML + "presentationml.presentation",
	".odt": "application/vnd.oasis.opendocument.text", ".ods": "application/vnd.oasis.opendocument.spreadsheet", ".odp": "application/vnd.oasis.opendocument.presentation",
	".zip": "application/zip", ".7z": "application/x-7z-compressed", ".gz": "application/gzip", ".mp3": "audio/mpeg", ".mp4": "video/mp4",
}

// Contradicts says whether the extension of a file's name promises something that the
// content is not. A type that is more, or less, precise is no contradiction.
func Contradicts(media, name string) bool {
	promised, ok := named[strings.ToLower(path.Ext(name))]
	if !ok {
		return false
	}
	return !within(media, promised) && !within(promised, media)
}

// within says whether a media type is the other, or a special case of it.
func within(media, of string) bool {
	if of == Bytes {
		return false // which everything is
	}
	for m := mimetype.Lookup(media); m != nil; m = m.Parent() {
		if m.Is(of) {
			return true
		}
	}
	return false
}
