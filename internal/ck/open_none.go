//go:build !cgo

package ck

// Open returns ErrNoCgo.
func Open(path string) (*Instance, error) { return nil, ErrNoCgo }

// A module is a loaded library, of which there is none.
type module struct{ Unimplemented }
