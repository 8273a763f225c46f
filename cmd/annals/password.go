package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// askPassword reads a password without showing it on a terminal, or the first
// line of anything else.
func askPassword(in io.Reader, prompt io.Writer) (string, error) {
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(prompt, "password: ")
		raw, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(prompt)
		return string(raw), err
	}
	line, err := bufio.NewReader(io.LimitReader(in, 4096)).ReadString('\n')
	if line == "" && err != nil {
		return "", usage("no password: set ANNALS_PASSWORD, or give it as the first line of the input")
	}
	return strings.TrimRight(line, "\r\n"), nil
}
