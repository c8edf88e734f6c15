//go:build !windows

package ck

// UlongSize is the size of CK_ULONG in bytes.
const UlongSize = 4 << (^uint(0) >> 63)
