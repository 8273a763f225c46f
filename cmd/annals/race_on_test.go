//go:build race

package main

const raceEnabled = true

// slowdown is how much longer things may take under the race detector, and beside the tests of other packages.
const slowdown = 4
