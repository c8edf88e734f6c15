package cryptoki

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// maxPINFile is the longest file that a PIN is read from, in bytes.
const maxPINFile = 1024

// PINFunc returns a function that gives the PIN that the URI names: its pin-value, where
// [ParseURI] let that through, or the content of the file that pin-source names, an
// absolute path or a file: URI without a host, less one end of line. It returns nil when
// the URI names neither, and an error when pin-source is something else: commands ("|…")
// are never run. The final try is never allowed.
func (u *URI) PINFunc() (PINFunc, error) {
	if pin, ok := u.Get(URIPINValue); ok {
		return FixedPIN([]byte(pin)), nil
	}
	source, ok := u.Get(URIPINSource)
	if !ok {
		return nil, nil
	}
	path, err := pinFile(source)
	if err != nil {
		return nil, err
	}
	return func(context.Context, PINRequest) ([]byte, error) { return readPIN(path) }, nil
}

// pinFile returns the path that a pin-source names.
func pinFile(source string) (string, error) {
	path := source
	if strings.HasPrefix(source, "file:") {
		parsed, err := url.Parse(source)
		if err != nil || parsed.Host != "" && parsed.Host != "localhost" || parsed.Path == "" {
			return "", &URIError{Attribute: URIPINSource, Reason: "it is no file: URI of a local file"}
		}
		path = filepath.FromSlash(parsed.Path)
	}
	if !filepath.IsAbs(path) {
		return "", &URIError{Attribute: URIPINSource, Reason: "it is neither an absolute path nor a file: URI; commands are not run"}
	}
	return path, nil
}

func readPIN(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cryptoki: pin-source: %w", err)
	}
	defer f.Close()
	pin := make([]byte, maxPINFile+1) // never moved
	n, err := io.ReadFull(f, pin)
	switch {
	case err == nil:
		clear(pin)
		return nil, fmt.Errorf("cryptoki: pin-source: %s has more than %d bytes", path, maxPINFile)
	case err != io.EOF && err != io.ErrUnexpectedEOF:
		clear(pin)
		return nil, fmt.Errorf("cryptoki: pin-source: %w", err)
	}
	pin = bytes.TrimSuffix(pin[:n], []byte("\n"))
	return bytes.TrimSuffix(pin, []byte("\r")), nil
}
