package ck

import "fmt"

// An RV is what a function of PKCS#11 returned, CK_RV. Package cryptoki gives it
// its name and meaning.
type RV uint

// The return values that this package gives itself or looks at.
const (
	ok                 RV = 0x000
	alreadyInitialized RV = 0x191
	argumentsBad       RV = 0x007
	functionFailed     RV = 0x006
	notSupported       RV = 0x054
	bufferTooSmall     RV = 0x150
	Unavailable           = ^uint(0) // CK_UNAVAILABLE_INFORMATION
	flagSerialSession     = 4        // CKF_SERIAL_SESSION, which must always be set
	maxAttributes         = 64       // in one template, ck_max_attributes of core.h
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

// SessionInfo is CK_SESSION_INFO.
type SessionInfo struct{ Slot, State, Flags, DeviceError uint }

// A FunctionList is a PKCS#11 module. Sessions are used by one goroutine at a time;
// different sessions may be used at the same time.
//
// What takes several steps in C is one method here, so that none of them leaves an
// operation active in its session, unless Result.RV is CKR_BUFFER_TOO_SMALL or
// Result.Step is Login. Operations in parts are the exception: those with Init,
// Update and Final in their names.
//
// Slices belong to the caller and are not kept. Output goes into the caller's slice:
// Result.N is its length, at most that of the slice. With CKR_BUFFER_TOO_SMALL it is
// what the module wants. There is no question for a length.
//
// What a module does not have returns CKR_FUNCTION_NOT_SUPPORTED, be it that its list
// is too short, has no such function or has one that says so. A type that has but some
// of the methods embeds [Unimplemented].
type FunctionList interface {
	// ListVersion is the edition whose function list the module gave: 2.40, 3.0
	// or 3.2. It promises nothing about a single function.
	ListVersion() Version

	Initialize() RV
	Finalize() RV
	GetInfo() (Info, RV)
	GetSlotList(tokenPresent bool) ([]uint, RV)
	GetSlotInfo(slot uint) (SlotInfo, RV)
	GetTokenInfo(slot uint) (TokenInfo, RV)
	// WaitForSlotEvent does not wait (CKF_DONT_BLOCK): CKR_NO_EVENT if there is none.
	WaitForSlotEvent() (slot uint, rv RV)
	GetMechanismList(slot uint) ([]uint, RV)
	GetMechanismInfo(slot, mechanism uint) (MechanismInfo, RV)
	// InitToken makes a token new. The label has at most 32 bytes. A nil PIN is
	// entered at the token, here and in the methods below.
	InitToken(slot uint, soPIN []byte, label string) RV
	InitPIN(session uint, pin []byte) RV
	SetPIN(session uint, old, new []byte) RV

	OpenSession(slot, flags uint) (session uint, rv RV)
	CloseSession(session uint) RV
	GetSessionInfo(session uint) (SessionInfo, RV)
	// SessionCancel ends the operations that flags name (3.0).
	SessionCancel(session, flags uint) RV
	Login(session, user uint, pin []byte) RV
	LoginUser(session, user uint, pin, name []byte) RV // 3.0
	Logout(session uint) RV

	CreateObject(session uint, t *Template) Result
	CopyObject(session, object uint, t *Template) Result
	DestroyObject(session, object uint) RV
	// GetObjectSize returns the size in Result.N, which may be Unavailable.
	GetObjectSize(session, object uint) Result
	// GetAttributeValue fills in what t asks for.
	GetAttributeValue(session, object uint, t *Template) RV
	SetAttributeValue(session, object uint, t *Template) RV
	// FindObjects puts the handles of at most len(objects) matching objects into
	// objects. Result.N is their number.
	FindObjects(session uint, t *Template, objects []uint) Result

	Encrypt(session uint, m *Mechanism, key uint, in, out []byte) Result
	EncryptInit(session uint, m *Mechanism, key uint) RV
	EncryptUpdate(session uint, in, out []byte) Result
	EncryptFinal(session uint, out []byte) Result
	Decrypt(session uint, m *Mechanism, key uint, in, out []byte) Result
	DecryptInit(session uint, m *Mechanism, key uint) RV
	DecryptUpdate(session uint, in, out []byte) Result
	DecryptFinal(session uint, out []byte) Result
	Digest(session uint, m *Mechanism, in, out []byte) Result
	DigestInit(session uint, m *Mechanism) RV
	DigestUpdate(session uint, in []byte) RV
	DigestKey(session, key uint) RV
	DigestFinal(session uint, out []byte) Result
	Sign(session uint, m *Mechanism, key uint, in, out []byte) Result
	SignInit(session uint, m *Mechanism, key uint) RV
	SignUpdate(session uint, in []byte) RV
	SignFinal(session uint, out []byte) Result
	Verify(session uint, m *Mechanism, key uint, in, signature []byte) Result
	VerifyInit(session uint, m *Mechanism, key uint) RV
	VerifyUpdate(session uint, in []byte) RV
	VerifyFinal(session uint, signature []byte) RV
	// VerifySignature is C_VerifySignatureInit and C_VerifySignature (3.2), for
	// mechanisms that must have the signature before the data.
	VerifySignature(session uint, m *Mechanism, key uint, in, signature []byte) Result

	GenerateKey(session uint, m *Mechanism, t *Template) Result
	GenerateKeyPair(session uint, m *Mechanism, public, private *Template) (publicKey, privateKey uint, rv RV)
	WrapKey(session uint, m *Mechanism, by, key uint, out []byte) Result
	UnwrapKey(session uint, m *Mechanism, by uint, wrapped []byte, t *Template) Result
	DeriveKey(session uint, m *Mechanism, key uint, t *Template) Result
	// EncapsulateKey makes a secret key and its encapsulation, of which Result.N is
	// the length (3.2).
	EncapsulateKey(session uint, m *Mechanism, public uint, t *Template, out []byte) (key uint, r Result)
	DecapsulateKey(session uint, m *Mechanism, private uint, encapsulated []byte, t *Template) Result // 3.2
	SeedRandom(session uint, seed []byte) RV
	GenerateRandom(session uint, out []byte) RV

	// Messages (3.0): one Init with a key, any number of messages, Final. Of the
	// Mechanism of a message only the parameter counts; a nonce and a tag that the
	// module makes are written to its Data and Data2.
	MessageEncryptInit(session uint, m *Mechanism, key uint) RV
	EncryptMessage(session uint, m *Mechanism, aad, in, out []byte) Result
	MessageEncryptFinal(session uint) RV
	MessageDecryptInit(session uint, m *Mechanism, key uint) RV
	DecryptMessage(session uint, m *Mechanism, aad, in, out []byte) Result
	MessageDecryptFinal(session uint) RV
	MessageSignInit(session uint, m *Mechanism, key uint) RV
	SignMessage(session uint, m *Mechanism, in, out []byte) Result
	MessageSignFinal(session uint) RV
	MessageVerifyInit(session uint, m *Mechanism, key uint) RV
	VerifyMessage(session uint, m *Mechanism, in, signature []byte) RV
	MessageVerifyFinal(session uint) RV
}
