package cryptoki

import (
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/internal/ck"
)

var (
	// ErrNotModule is wrapped by the error of [Open] for a library that is not a
	// PKCS#11 module.
	ErrNotModule = ck.ErrNotModule
	// ErrClosed is returned by everything that was closed.
	ErrClosed = errors.New("cryptoki: the module, pool or session is closed")
	// ErrBusy is returned by Close when a call into the module is still running. It
	// is not cut off; what it holds is released when it returns.
	ErrBusy = errors.New("cryptoki: a call into the module is still running; its session is closed when it returns")
	// ErrConcurrent is returned when a session is used by two goroutines at once,
	// which no module is made for and which crashes some.
	ErrConcurrent = errors.New("cryptoki: the session is in use by another goroutine; use one session for each, or a Pool")
	// ErrStale is returned for an object that was found before its session, pool or
	// module was closed or had to start anew: its handle may mean another object now.
	ErrStale = errors.New("cryptoki: the object was found in another session; find it again")
	// ErrNotFound is wrapped by errors about a token, key or certificate that is
	// not there.
	ErrNotFound = errors.New("not found")
	// ErrAmbiguous is wrapped by errors about a token or key that is there more
	// than once.
	ErrAmbiguous = errors.New("more than one matches")
	// ErrKeyChanged is returned instead of using a private key whose public key is
	// not the one that it had when it was first found.
	ErrKeyChanged = errors.New("cryptoki: the token has another key under the same name now; it was not used")
	// ErrUnsupported is wrapped by errors about abilities that the token or this
	// package does not have. It Is errors.ErrUnsupported.
	ErrUnsupported = fmt.Errorf("cryptoki: %w", errors.ErrUnsupported)
	// ErrDecryption is returned when a ciphertext cannot be decrypted. It says no
	// more, since the reason would help those who send such ciphertexts.
	ErrDecryption = fmt.Errorf("cryptoki: decryption failed: %w", rsa.ErrDecryption)
)

// A PINError reports that a PIN was refused, or was not tried because of what the
// token says about it. A refused PIN is never tried again on its own.
type PINError struct {
	Token string   // label of the token
	User  UserType // whose PIN it is
	Tried bool     // false: the token was not asked, so no try was used up

	// What the token says now. Tokens need not tell; SoftHSM2 tells only CountLow.
	CountLow bool // a wrong PIN was given since the last good one
	FinalTry bool // one try is left
	Locked   bool // no try is left

	Err error // *Error of C_Login when Tried, or why not
}

// Error says what happened and what the token says about the PIN.
func (e *PINError) Error() string {
	s := fmt.Sprintf("cryptoki: PIN of token %q", e.Token)
	if e.User == CKU_SO {
		s = fmt.Sprintf("cryptoki: security officer's PIN of token %q", e.Token)
	}
	if e.Tried {
		s += " refused"
	} else {
		s += " not tried"
	}
	switch {
	case e.Locked:
		s += ", it is locked"
	case e.FinalTry:
		s += ", one try is left"
	case e.CountLow:
		s += ", the token counts wrong tries"
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns Err.
func (e *PINError) Unwrap() error { return e.Err }

// Is reports true for CKR_PIN_LOCKED when the PIN is locked.
func (e *PINError) Is(target error) bool { return e.Locked && target == CKR_PIN_LOCKED }

// errFinalTry is why a last try is not made.
var errFinalTry = errors.New("the next wrong PIN locks the token; the callback must call PINRequest.AllowFinalTry to risk it")
