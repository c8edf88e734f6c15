package iso7816

import "github.com/cardoki/cardoki/apdu"

// SecureMessaging protects what passes between host and card, from the host's
// side: it wraps commands and unwraps responses, and counts them. The protocols
// are in packages of their own. A SecureMessaging is used by one [Channel], which
// calls it in the order of the commands and never concurrently.
type SecureMessaging interface {
	// WrapCommand returns c protected; its data may be appended to dst, which it
	// may keep to itself until the next call. c is a whole logical command,
	// before chaining.
	WrapCommand(dst []byte, c apdu.Command) (apdu.Command, error)
	// UnwrapResponse checks r and returns what it protects; its data may be
	// appended to dst. It looks at nothing in r before the protection is found
	// right. A bare status, without protection, is an error unless the protocol
	// allows it; any error ends the session.
	UnwrapResponse(dst []byte, r apdu.Response) (apdu.Response, error)
}

// CardSecureMessaging is the mirror of [SecureMessaging], on the card's side.
type CardSecureMessaging interface {
	// UnwrapCommand checks c and returns what it protects. The status is 9000, or
	// else what the card answers, unprotected, and the session is over.
	UnwrapCommand(dst []byte, c apdu.Command) (apdu.Command, apdu.Status)
	// WrapResponse returns r protected.
	WrapResponse(dst []byte, r apdu.Response) (apdu.Response, error)
}
