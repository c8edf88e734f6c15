//go:build !cgo

package ck

// Open returns ErrNoCgo.
func Open(path string) (*Instance, error) { return nil, ErrNoCgo }
