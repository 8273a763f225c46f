//go:build race

package leaks_test

// raced: the race detector watches.
const raced = true
