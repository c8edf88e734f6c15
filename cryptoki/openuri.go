package cryptoki

import (
	"context"
	"crypto/tls"
)

// OpenURI opens what a PKCS#11 URI names: the module at its module-path, and a pool with the
// token that it means. The PIN is what opts.PIN gives, or else what the URI names, see
// [URI.PINFunc]. The module is closed with the pool. opts may be nil. The errors are those of
// [Open] and [Module.FindSlot], or a [*URIError].
//
// A module is code that becomes a part of the process: [ParseURI] takes a module-path only
// with URIOptions.AllowModulePath, for a URI that is the program's own.
func OpenURI(u *URI, opts *PoolOptions) (*Pool, error) {
	path, ok := u.Get(URIModulePath)
	if !ok || path == "" {
		return nil, &URIError{Attribute: URIModulePath, Reason: "the URI names no module"}
	}
	var o PoolOptions
	if opts != nil {
		o = *opts
	}
	if o.PIN == nil {
		var err error
		if o.PIN, err = u.PINFunc(); err != nil {
			return nil, err
		}
	}
	m, err := Open(path, nil)
	if err != nil {
		return nil, err
	}
	slot, err := m.FindSlot(u)
	if err != nil {
		m.Close()
		return nil, err
	}
	p := slot.NewPool(&o)
	p.owns = true
	return p, nil
}

// TLSCertificate is the way from a PKCS#11 URI to a certificate and key for tls.Config in one
// call: [ParseURI], [OpenURI] and [Pool.TLSCertificate]. The URI is the program's own: a
// module-path in it is taken. Close the pool when the certificate is not used any more; it
// also gives the certificate anew, after it has changed on the token.
func TLSCertificate(ctx context.Context, uri string, opts *PoolOptions) (tls.Certificate, *Pool, error) {
	u, err := ParseURI(uri, &URIOptions{AllowModulePath: true})
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	p, err := OpenURI(u, opts)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	cert, err := p.TLSCertificate(ctx, u.KeyQuery())
	if err != nil {
		p.Close()
		return tls.Certificate{}, nil, err
	}
	return cert, p, nil
}
