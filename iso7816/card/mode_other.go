//go:build !unix

package card

import "io/fs"

// readableByOthers can't be told from the mode bits here.
func readableByOthers(fs.FileInfo) bool { return false }
