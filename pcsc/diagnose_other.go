//go:build windows || (cgo && darwin)

package pcsc

// diagnose says why there is no service, where that can be found out.
func diagnose() error { return nil }
