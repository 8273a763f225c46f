package engine

import (
	"bytes"
	"encoding/json"
	"math"
	"time"
)

// Metadata is what a metastream's last event says about its stream. The zero value says nothing.
type Metadata struct {
	MaxCount       int64         // events to keep, 0 for all
	MaxAge         time.Duration // how long to keep them, 0 for ever
	TruncateBefore int64         // first revision to show
	CacheControl   time.Duration
	ACL            *ACL // nil for the default
}

// ACL lists who may do what. A nil list stands for the default, an empty one for administrators only.
type ACL struct {
	Read, Write, Delete, MetaRead, MetaWrite []string
}

// softDeleted is the truncation that hides a whole stream.
const softDeleted = math.MaxInt64

// SoftDeleted tells whether the stream is hidden until something is appended to it.
func (m Metadata) SoftDeleted() bool { return m.TruncateBefore == softDeleted }

// ParseMetadata reads the JSON of a metadata event. What is malformed, or not positive, counts as not there, and
// what is no JSON object as empty, as the protocol has it.
func ParseMetadata(data []byte) Metadata {
	var m Metadata
	var keys map[string]json.RawMessage
	if json.Unmarshal(data, &keys) != nil {
		return m
	}
	m.MaxCount = positive(keys["$maxCount"])
	m.MaxAge = seconds(keys["$maxAge"])
	m.TruncateBefore = positive(keys["$tb"])
	m.CacheControl = seconds(keys["$cacheControl"])
	var acl map[string]json.RawMessage
	if raw, ok := keys["$acl"]; ok && json.Unmarshal(raw, &acl) == nil && acl != nil {
		m.ACL = parseACL(acl)
	}
	return m
}

func parseACL(acl map[string]json.RawMessage) *ACL {
	return &ACL{
		Read: roles(acl["$r"]), Write: roles(acl["$w"]), Delete: roles(acl["$d"]),
		MetaRead: roles(acl["$mr"]), MetaWrite: roles(acl["$mw"]),
	}
}

// ParseSettings reads the JSON of the $settings stream: the default access to user and to system streams.
func ParseSettings(data []byte) (user, system *ACL) {
	var keys map[string]json.RawMessage
	if json.Unmarshal(data, &keys) != nil {
		return nil, nil
	}
	read := func(key string) *ACL {
		var acl map[string]json.RawMessage
		if json.Unmarshal(keys[key], &acl) != nil || acl == nil {
			return nil
		}
		return parseACL(acl)
	}
	return read("$userStreamAcl"), read("$systemStreamAcl")
}

func positive(raw json.RawMessage) int64 {
	var n int64
	if json.Unmarshal(raw, &n) != nil || n <= 0 {
		return 0
	}
	return n
}

func seconds(raw json.RawMessage) time.Duration {
	n := positive(raw)
	if n > int64(math.MaxInt64/time.Second) {
		return 0 // longer than time itself: no limit
	}
	return time.Duration(n) * time.Second
}

func roles(raw json.RawMessage) []string {
	var one string
	if raw == nil || bytes.Equal(raw, []byte("null")) {
		return nil
	}
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}
	}
	list := []string{}
	if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	return list
}

// undeleted rewrites metadata so that the stream shows again from revision first, keeping every other key.
func undeleted(data []byte, first int64) []byte {
	var keys map[string]json.RawMessage
	if json.Unmarshal(data, &keys) != nil || keys == nil {
		keys = map[string]json.RawMessage{}
	}
	tb, err := json.Marshal(first)
	if err != nil {
		return data // an int64 always marshals
	}
	keys["$tb"] = tb
	out, err := json.Marshal(keys)
	if err != nil {
		return data // what was unmarshalled marshals
	}
	return out
}

var softDeletedJSON = []byte(`{"$tb":9223372036854775807}`)
