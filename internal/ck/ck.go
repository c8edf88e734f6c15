package ck

import "fmt"

// An RV is what a function of PKCS#11 returned, CK_RV. Package cryptoki gives it
// its name and meaning.
type RV uint

// The return values that this package gives itself or looks at.
const (
	ok                 RV = 0x000
	alreadyInitialized RV = 0x191
	functionFailed     RV = 0x006
	Unavailable           = ^uint(0) // CK_UNAVAILABLE_INFORMATION
	flagSerialSession     = 4        // CKF_SERIAL_SESSION, which must always be set
	maxAttributes         = 64       // in one template, ck_max_attributes of core.h
	UlongSize             = 4 << (^uint(0) >> 63)
)

// A Result is the outcome of an operation that takes several functions.
type Result struct {
	RV   RV
	N    uint     // number of bytes or objects, or an object handle
	Step Function // the function that returned RV
}

// Version is CK_VERSION.
type Version struct{ Major, Minor byte }

// String returns the version as "3.2".
func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// Info is CK_INFO, without the padding of its texts.
type Info struct {
	Cryptoki     Version
	Manufacturer string
	Description  string
	Library      Version
}

// SlotInfo is CK_SLOT_INFO, without the padding of its texts.
type SlotInfo struct {
	Description        string
	Manufacturer       string
	Flags              uint
	Hardware, Firmware Version
}

// TokenInfo is CK_TOKEN_INFO, without the padding of its texts.
type TokenInfo struct {
	Label, Manufacturer, Model, Serial string
	Flags                              uint
	MaxSessions, MaxRWSessions         uint
	MinPIN, MaxPIN                     uint
	Hardware, Firmware                 Version
}

// MechanismInfo is CK_MECHANISM_INFO.
type MechanismInfo struct{ MinKeySize, MaxKeySize, Flags uint }

// A FunctionList is a PKCS#11 module. Sessions are used by one goroutine at a time;
// different sessions may be used at the same time.
//
// Functions that take several steps in C are one method here, so that none of them
// leaves an operation active in its session, unless Result.RV is
// CKR_BUFFER_TOO_SMALL. Slices belong to the caller and are not kept.
type FunctionList interface {
	Initialize() RV
	Finalize() RV
	GetInfo() (Info, RV)
	GetSlotList(tokenPresent bool) ([]uint, RV)
	GetSlotInfo(slot uint) (SlotInfo, RV)
	GetTokenInfo(slot uint) (TokenInfo, RV)
	GetMechanismList(slot uint) ([]uint, RV)
	GetMechanismInfo(slot, mechanism uint) (MechanismInfo, RV)
	OpenSession(slot, flags uint) (session uint, rv RV)
	CloseSession(session uint) RV

	Login(session, user uint, pin []byte) RV
	Logout(session uint) RV
	// FindObjects puts the handles of at most len(objects) matching objects into
	// objects. Result.N is their number.
	FindObjects(session uint, t *Template, objects []uint) Result
	// GetAttributeValue fills in what t asks for.
	GetAttributeValue(session, object uint, t *Template) RV
	CreateObject(session uint, t *Template) Result
	DestroyObject(session, object uint) RV
	GenerateKeyPair(session uint, m *Mechanism, public, private *Template) (publicKey, privateKey uint, rv RV)
	DeriveKey(session uint, m *Mechanism, key uint, t *Template) Result
	// Sign puts the signature of in into out. Result.N is its length, which is
	// not more than len(out).
	Sign(session uint, m *Mechanism, key uint, in, out []byte) Result
	// Decrypt puts the plaintext of in into out, as Sign does.
	Decrypt(session uint, m *Mechanism, key uint, in, out []byte) Result
	GenerateRandom(session uint, out []byte) RV
}

// A ParameterKind says what the parameter of a mechanism is.
type ParameterKind uint

// The kinds of parameters, and what A, B, C and Data of the Mechanism mean then.
const (
	Plain ParameterKind = iota // Data: the parameter as it is; empty: none
	PSS                        // A: hash, B: mask generation function, C: length of the salt
	OAEP                       // A: hash, B: mask generation function, C: source, Data: label
	ECDH1                      // A: key derivation function, Data: the other side's public key
)

// A Mechanism is CK_MECHANISM. Its parameter is built in C, as it has pointers.
type Mechanism struct {
	Type    uint
	Kind    ParameterKind
	A, B, C uint
	Data    []byte
}
