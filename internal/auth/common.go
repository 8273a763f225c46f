package auth

import (
	_ "embed"
	"strings"
	"sync"
)

// common.txt holds, one a line and in lower case, the passwords of at least
// MinPassword characters that lists of stolen ones have most often (NIST SP 800-63B
// §3.1.1.2 asks to refuse them).
//
//go:embed common.txt
var commonText string

var common = sync.OnceValue(func() map[string]bool {
	out := map[string]bool{}
	for line := range strings.Lines(commonText) {
		out[strings.TrimSpace(line)] = true
	}
	return out
})

func isCommon(folded string) bool { return common()[folded] }
