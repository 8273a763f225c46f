//go:build race

package unraced

// raced: the race detector watches.
const raced = true
