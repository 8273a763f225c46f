// Package version is which software this is.
package version

import "runtime/debug"

// Number is set by the linker for releases.
var Number = "dev"

// String is the version, with the commit that it was built from where known. It
// is stored with every event that this software appends.
func String() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Number
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return Number + "+" + s.Value[:12]
		}
	}
	return Number
}
