// Package document is a file that belongs to a client, in one version or several. Its
// bytes are not in the log; what they are is.
package document

import "annals/domain"

// Event is the closed set of facts about a document. A shipped event never changes
// shape: add a version in package eventschema instead.
//
//sumtype:decl
type Event interface{ event() }

type (
	// Added is a new document with its first version.
	Added struct {
		ClientID domain.ID `json:"client_id"`
		Title
		Version
	}
	// VersionAdded is a version after the first; the ones before it are kept.
	VersionAdded struct {
		Version
	}
	// Renamed changes what a document is called. From and To hold what differs.
	Renamed struct {
		From Title `json:"from,omitzero"`
		To   Title `json:"to,omitzero"`
	}
	// Deleted takes the document away. Its bytes go, the history says so.
	Deleted struct {
		Reason string `json:"reason,omitempty" personal:"yes"`
	}
)

func (Added) event()        {}
func (VersionAdded) event() {}
func (Renamed) event()      {}
func (Deleted) event()      {}

// Title is what a document is called.
type Title struct {
	Name        string `json:"name,omitempty" personal:"yes"`
	Description string `json:"description,omitempty" personal:"yes"`
}

// Version is what is known of the bytes of one version. Which bytes somebody has, tells
// something about them, so that the digest is sealed; that of what is in storage, which
// is encrypted, is not: with it storage can be checked for ever.
type Version struct {
	ID           domain.ID `json:"version_id"` // names the bytes in storage, with the ids of client and document
	Size         int64     `json:"size"`
	SHA256       string    `json:"sha256" personal:"yes"` // hexadecimal
	StoredSHA256 string    `json:"stored_sha256"`         // hexadecimal
	MediaType    string    `json:"media_type"`            // by the content
}
