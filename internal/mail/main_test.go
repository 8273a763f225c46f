package mail

import (
	"flag"
	"testing"
)

// Most of these tests wait most of the time, so more of them run at once than there are cores.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	m.Run()
}
