//go:build !cgo || windows

package ck

// Open returns ErrNoCgo.
func Open(path string) (*Instance, error) { return nil, ErrNoCgo }
