//go:build !race

// Package raced says whether the race detector watches.
package raced

// On: it does.
const On = false
