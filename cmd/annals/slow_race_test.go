//go:build race

package main

// slowdown is how much longer things may take under the race detector, and beside the tests of other packages.
const slowdown = 4

// slowdownOfMany divides how much a test does that does a lot.
const slowdownOfMany = 8
