package domain

import "strings"

// Fold brings a name into a form in which case and white space make no difference, to
// tell whether two names are the same. What is stored is never folded.
func Fold(name string) string { return strings.ToLower(strings.ToUpper(Text(name))) }
