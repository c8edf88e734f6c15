package cryptoki

import (
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/internal/ck"
)

// The types of the constants, as PKCS#11 has them. All are a CK_ULONG.
type (
	AttributeType   uint // CK_ATTRIBUTE_TYPE
	CertificateType uint // CK_CERTIFICATE_TYPE
	Flags           uint // CK_FLAGS
	KDF             uint // CK_EC_KDF_TYPE and its like
	KeyType         uint // CK_KEY_TYPE
	MechanismType   uint // CK_MECHANISM_TYPE
	ObjectClass     uint // CK_OBJECT_CLASS
	SessionState    uint // CK_STATE
	SlotID          uint // CK_SLOT_ID
	UserType        uint // CK_USER_TYPE
	// RV is CK_RV, what a function returned. It is an error, so that
	// errors.Is(err, CKR_PIN_INCORRECT) works for every error of this package.
	RV uint
)

func named(name, prefix string, v uint) string {
	if name != "" {
		return name
	}
	return fmt.Sprintf("%s 0x%X", prefix, v)
}

// String returns the name in the header, such as CKA_LABEL.
func (t AttributeType) String() string { return named(attributeName(t), "CKA", uint(t)) }

// String returns the name in the header, such as CKK_EC.
func (t KeyType) String() string { return named(keyTypeName(t), "CKK", uint(t)) }

// String returns the name in the header, such as CKM_ECDSA.
func (t MechanismType) String() string { return named(mechanismName(t), "CKM", uint(t)) }

// String returns the name in the header, such as CKO_PRIVATE_KEY.
func (c ObjectClass) String() string { return named(objectClassName(c), "CKO", uint(c)) }

// String returns the name in the header, such as CKR_PIN_INCORRECT.
func (rv RV) String() string { return named(rvName(rv), "CKR", uint(rv)) }

// Error returns name, number and meaning.
func (rv RV) Error() string {
	s := fmt.Sprintf("%s (0x%X)", rv.String(), uint(rv))
	if m := rv.meaning(); m != "" {
		s += ": " + m
	}
	return s
}

// Is reports whether target is rv, or errors.ErrUnsupported and rv says that the
// token, or this key, cannot do what was asked.
func (rv RV) Is(target error) bool {
	if target == errors.ErrUnsupported {
		switch rv {
		case CKR_FUNCTION_NOT_SUPPORTED, CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID,
			CKR_CURVE_NOT_SUPPORTED, CKR_DOMAIN_PARAMS_INVALID, CKR_KEY_SIZE_RANGE, CKR_PARAMETER_SET_NOT_SUPPORTED, CKR_KEY_FUNCTION_NOT_PERMITTED,
			CKR_RANDOM_SEED_NOT_SUPPORTED, CKR_RANDOM_NO_RNG:
			return true
		}
		return false
	}
	other, ok := target.(RV)
	return ok && other == rv
}

// meaning says in words what a value of the standard means and what to do.
func (rv RV) meaning() string {
	switch rv {
	case CKR_HOST_MEMORY:
		return "the module is out of memory, or says so of a session that is logged out"
	case CKR_SLOT_ID_INVALID:
		return "there is no such slot"
	case CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED:
		return "the module failed and does not say why; its log may"
	case CKR_ARGUMENTS_BAD:
		return "the module refuses an argument"
	case CKR_CANT_LOCK, CKR_NEED_TO_CREATE_THREADS:
		return "the module cannot work in a program with threads"
	case CKR_ATTRIBUTE_READ_ONLY:
		return "the attribute cannot be changed"
	case CKR_ATTRIBUTE_SENSITIVE:
		return "the value does not leave the token"
	case CKR_ATTRIBUTE_TYPE_INVALID:
		return "the object or the module has no such attribute"
	case CKR_ATTRIBUTE_VALUE_INVALID:
		return "the module refuses the value of an attribute"
	case CKR_DATA_INVALID, CKR_DATA_LEN_RANGE:
		return "the data does not fit the mechanism and the key"
	case CKR_DEVICE_ERROR:
		return "the token failed"
	case CKR_DEVICE_MEMORY:
		return "the token is full"
	case CKR_DEVICE_REMOVED:
		return "the token was removed"
	case CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE:
		return "the ciphertext is not one of this key"
	case CKR_FUNCTION_NOT_SUPPORTED:
		return "the module does not have this function"
	case CKR_KEY_HANDLE_INVALID, CKR_OBJECT_HANDLE_INVALID:
		return "the object is gone, or the session is not logged in any more"
	case CKR_KEY_SIZE_RANGE:
		return "the token does not do keys of this size"
	case CKR_KEY_TYPE_INCONSISTENT:
		return "the mechanism is one for another type of key"
	case CKR_KEY_FUNCTION_NOT_PERMITTED:
		return "the key's attributes do not allow this use"
	case CKR_MECHANISM_INVALID:
		return "the token does not have this mechanism"
	case CKR_MECHANISM_PARAM_INVALID:
		return "the token does not take these parameters of the mechanism"
	case CKR_OPERATION_ACTIVE:
		return "another operation of this session has not ended"
	case CKR_OPERATION_NOT_INITIALIZED:
		return "the operation was not begun, or the module has dropped it"
	case CKR_PIN_INCORRECT:
		return "the PIN is wrong; every wrong one counts"
	case CKR_PIN_INVALID, CKR_PIN_LEN_RANGE:
		return "the PIN has characters or a length that the token does not take"
	case CKR_PIN_EXPIRED:
		return "the PIN must be changed first"
	case CKR_PIN_LOCKED:
		return "the PIN is locked; the security officer can set a new one"
	case CKR_SESSION_CLOSED, CKR_SESSION_HANDLE_INVALID:
		return "the session is gone"
	case CKR_SESSION_COUNT:
		return "the token has no room for one more session"
	case CKR_SESSION_READ_ONLY:
		return "this needs a read-write session"
	case CKR_SIGNATURE_INVALID, CKR_SIGNATURE_LEN_RANGE:
		return "the signature does not verify"
	case CKR_TEMPLATE_INCOMPLETE:
		return "the module wants more attributes for such an object"
	case CKR_TEMPLATE_INCONSISTENT:
		return "the attributes do not go together"
	case CKR_TOKEN_NOT_PRESENT:
		return "there is no token in the slot"
	case CKR_TOKEN_NOT_RECOGNIZED:
		return "the module does not know this kind of token"
	case CKR_TOKEN_WRITE_PROTECTED:
		return "the token is write-protected"
	case CKR_USER_ALREADY_LOGGED_IN:
		return "the user is logged in already"
	case CKR_USER_NOT_LOGGED_IN:
		return "log in first"
	case CKR_USER_PIN_NOT_INITIALIZED:
		return "the token has no user PIN yet; the security officer sets it"
	case CKR_USER_ANOTHER_ALREADY_LOGGED_IN:
		return "another user of the token is logged in in this process"
	case CKR_CURVE_NOT_SUPPORTED:
		return "the token does not have this curve"
	case CKR_BUFFER_TOO_SMALL:
		return "the module wants to give more bytes than there can be"
	case CKR_CRYPTOKI_NOT_INITIALIZED:
		return "the module was finalized by someone else in this process"
	case CKR_CRYPTOKI_ALREADY_INITIALIZED:
		return "the module was initialized by someone else in this process"
	case CKR_OK:
		return "success"
	case CKR_CANCEL, CKR_FUNCTION_CANCELED:
		return "it was cancelled, at the token or by the application"
	case CKR_NO_EVENT:
		return "no slot has changed"
	case CKR_ACTION_PROHIBITED:
		return "the object's attributes or the token's policy forbid it"
	case CKR_AEAD_DECRYPT_FAILED:
		return "the message is not authentic"
	case CKR_FUNCTION_NOT_PARALLEL, CKR_SESSION_PARALLEL_NOT_SUPPORTED:
		return "the module does nothing in parallel in one session"
	case CKR_KEY_NOT_NEEDED, CKR_KEY_CHANGED, CKR_KEY_NEEDED:
		return "the saved state goes with another key, with one, or with none"
	case CKR_KEY_INDIGESTIBLE:
		return "the value of this key cannot be hashed"
	case CKR_KEY_NOT_WRAPPABLE:
		return "the key leaves only under a key that the security officer trusts"
	case CKR_KEY_UNEXTRACTABLE:
		return "the key never leaves the token"
	case CKR_SESSION_EXISTS:
		return "a session with the token is open; close them all first"
	case CKR_SESSION_READ_ONLY_EXISTS:
		return "a read-only session is open, and the security officer has none"
	case CKR_SESSION_READ_WRITE_SO_EXISTS:
		return "the security officer is logged in, who has no read-only sessions"
	case CKR_UNWRAPPING_KEY_HANDLE_INVALID, CKR_WRAPPING_KEY_HANDLE_INVALID:
		return "the wrapping key is gone, or the session is not logged in any more"
	case CKR_UNWRAPPING_KEY_SIZE_RANGE, CKR_WRAPPING_KEY_SIZE_RANGE:
		return "the wrapping key has the wrong size"
	case CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT, CKR_WRAPPING_KEY_TYPE_INCONSISTENT:
		return "the mechanism is one for another type of wrapping key"
	case CKR_USER_TYPE_INVALID:
		return "the token has no such user"
	case CKR_USER_TOO_MANY_TYPES:
		return "the token cannot have one more user logged in"
	case CKR_WRAPPED_KEY_INVALID, CKR_WRAPPED_KEY_LEN_RANGE:
		return "it is no key wrapped by this mechanism under this key"
	case CKR_RANDOM_SEED_NOT_SUPPORTED:
		return "the token's random numbers take no seed"
	case CKR_RANDOM_NO_RNG:
		return "the token makes no random numbers"
	case CKR_DOMAIN_PARAMS_INVALID:
		return "the token does not take these parameters of a curve or group"
	case CKR_SAVED_STATE_INVALID:
		return "the saved state is not one that can be gone on with"
	case CKR_INFORMATION_SENSITIVE:
		return "what was asked for does not leave the token"
	case CKR_STATE_UNSAVEABLE:
		return "the state of this operation cannot be saved"
	case CKR_MUTEX_BAD, CKR_MUTEX_NOT_LOCKED:
		return "the module and its locks disagree"
	case CKR_NEW_PIN_MODE, CKR_NEXT_OTP:
		return "the token wants its next one-time password, or a new PIN"
	case CKR_EXCEEDED_MAX_ITERATIONS:
		return "no prime or parameter was found in as many tries as the token makes"
	case CKR_FIPS_SELF_TEST_FAILED:
		return "the module failed its self-test and refuses to work"
	case CKR_LIBRARY_LOAD_FAILED:
		return "a library that the module needs cannot be loaded"
	case CKR_PIN_TOO_WEAK:
		return "the token wants a stronger PIN"
	case CKR_PUBLIC_KEY_INVALID:
		return "the token says that it is no valid public key"
	case CKR_FUNCTION_REJECTED:
		return "the person at the token said no"
	case CKR_TOKEN_RESOURCE_EXCEEDED:
		return "the token is short of memory or time; try again later"
	case CKR_OPERATION_CANCEL_FAILED:
		return "the operation cannot be cancelled"
	case CKR_KEY_EXHAUSTED:
		return "the key was used as often as it may be"
	case CKR_PENDING:
		return "the operation goes on; ask again"
	case CKR_SESSION_ASYNC_NOT_SUPPORTED:
		return "the token has no asynchronous sessions"
	case CKR_SEED_RANDOM_REQUIRED:
		return "the token's random numbers want a seed first"
	case CKR_OPERATION_NOT_VALIDATED:
		return "the token does this, but not as it was validated"
	case CKR_TOKEN_NOT_INITIALIZED:
		return "the token is blank; initialise it first"
	case CKR_PARAMETER_SET_NOT_SUPPORTED:
		return "the token does not have this set of parameters"
	}
	return ""
}

// An Error is what a function of the module returned in place of CKR_OK.
type Error struct {
	Function string // such as "C_Sign"
	RV       RV
	Slot     SlotID // of the token or session, NoSlot if the function has to do with none
}

// NoSlot is no slot's number.
const NoSlot = ^SlotID(0)

// Error returns function, slot, name and meaning.
func (e *Error) Error() string {
	if e.Slot == NoSlot {
		return fmt.Sprintf("cryptoki: %s: %v", e.Function, e.RV.Error())
	}
	return fmt.Sprintf("cryptoki: %s in slot %d: %v", e.Function, e.Slot, e.RV.Error())
}

// Unwrap returns the RV.
func (e *Error) Unwrap() error { return e.RV }

// moduleError returns nil for CKR_OK.
func moduleError(function string, rv ck.RV) error {
	if rv == ck.RV(CKR_OK) {
		return nil
	}
	return &Error{Function: function, RV: RV(rv), Slot: NoSlot}
}

// slotError returns nil for CKR_OK.
func slotError(function string, rv ck.RV, slot SlotID) error {
	if rv == ck.RV(CKR_OK) {
		return nil
	}
	return &Error{Function: function, RV: RV(rv), Slot: slot}
}
