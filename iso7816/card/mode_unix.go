//go:build unix

package card

import "io/fs"

// readableByOthers reports whether group or others may read the file.
func readableByOthers(info fs.FileInfo) bool { return info.Mode().Perm()&0o044 != 0 }
