package cryptokitest

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Numbers of the control file, in the order of module.c.
const (
	setMagic = iota
	setNull
	setList
	setTokenFlags
	setSlot
	setAbsent
	setTries
	setLeft
	setSOLeft
	setMaxSessions
	setOwnNonce
	setWhole
	setExact
	setLose
	setSwap
	setLogout
	setEvents
	setHanging
	setRules
	setHeap
	setSessions
	setMost
	setLogins
	setInitialized
	setOverlaps
	setOutside
	setObjects
	setReservedSet
	setLoggedIn
	settings = 48
)

const magic = 0x6B636F7470797263

// Where the parts of the control file are, in bytes.
const (
	counters = settings * 8
	rules    = counters + 128*8
	ruleSize = 16 * 8
	maxRules = 64
	texts    = rules + maxRules*ruleSize
	textSize = 256
	objects  = texts + 7*textSize
)

// Places of texts.
const (
	textLabel = iota
	textSerial
	textManufacturer
	textModel
	textPIN
	textSOPIN
	textReserved
)

// functions are the names in the order of the function list of PKCS#11 3.2.
var functions = strings.Fields(`Initialize Finalize GetInfo GetFunctionList GetSlotList GetSlotInfo GetTokenInfo GetMechanismList
	GetMechanismInfo InitToken InitPIN SetPIN OpenSession CloseSession CloseAllSessions GetSessionInfo GetOperationState
	SetOperationState Login Logout CreateObject CopyObject DestroyObject GetObjectSize GetAttributeValue SetAttributeValue
	FindObjectsInit FindObjects FindObjectsFinal EncryptInit Encrypt EncryptUpdate EncryptFinal DecryptInit Decrypt
	DecryptUpdate DecryptFinal DigestInit Digest DigestUpdate DigestKey DigestFinal SignInit Sign SignUpdate SignFinal
	SignRecoverInit SignRecover VerifyInit Verify VerifyUpdate VerifyFinal VerifyRecoverInit VerifyRecover
	DigestEncryptUpdate DecryptDigestUpdate SignEncryptUpdate DecryptVerifyUpdate GenerateKey GenerateKeyPair WrapKey
	UnwrapKey DeriveKey SeedRandom GenerateRandom GetFunctionStatus CancelFunction WaitForSlotEvent GetInterfaceList
	GetInterface LoginUser SessionCancel MessageEncryptInit EncryptMessage EncryptMessageBegin EncryptMessageNext
	MessageEncryptFinal MessageDecryptInit DecryptMessage DecryptMessageBegin DecryptMessageNext MessageDecryptFinal
	MessageSignInit SignMessage SignMessageBegin SignMessageNext MessageSignFinal MessageVerifyInit VerifyMessage
	VerifyMessageBegin VerifyMessageNext MessageVerifyFinal EncapsulateKey DecapsulateKey`)

// place returns the place of a function such as "C_Sign" in the list.
func place(function string) (int, error) {
	i := slices.Index(functions, strings.TrimPrefix(function, "C_"))
	if i < 0 || !strings.HasPrefix(function, "C_") {
		return 0, fmt.Errorf("cryptokitest: there is no function %q", function)
	}
	return i, nil
}

// get and put read and write one number of the file that the module has mapped: both
// see the same pages.
func (m *Module) get(at int64) uint64 {
	var b [8]byte
	if _, err := m.file.ReadAt(b[:], at); err != nil {
		panic("cryptokitest: the control file cannot be read: " + err.Error())
	}
	return binary.NativeEndian.Uint64(b[:])
}

func (m *Module) put(at int64, x uint64) {
	if _, err := m.file.WriteAt(binary.NativeEndian.AppendUint64(nil, x), at); err != nil {
		panic("cryptokitest: the control file cannot be written: " + err.Error())
	}
}

func (m *Module) setting(i int64) uint64 { return m.get(8 * i) }

// writeControl makes the control file of a module.
func writeControl(name string, o *Options) error {
	b := make([]byte, objects)
	number := func(i int, x uint64) { binary.NativeEndian.PutUint64(b[8*i:], x) }
	text := func(i int, s string) error {
		if len(s) > textSize-8 {
			return fmt.Errorf("cryptokitest: a text of %d bytes; at most %d are possible", len(s), textSize-8)
		}
		at := texts + i*textSize
		binary.NativeEndian.PutUint64(b[at:], uint64(len(s)))
		copy(b[at+8:], s)
		return nil
	}
	number(setMagic, magic)
	if o.Null {
		number(setNull, 1)
	}
	switch o.Interface {
	case "", "3.2":
	case "3.0":
		number(setList, 1)
	case "2.40":
		number(setList, 2)
	case "none":
		number(setList, 3)
	default:
		return fmt.Errorf("cryptokitest: Interface is %q; it is 3.2, 3.0, 2.40 or none", o.Interface)
	}
	flags := uint64(initialisedToken)
	if o.Uninitialized {
		flags = randomNumbers | loginRequired
	}
	if o.PINPad {
		flags |= protectedPath
	}
	number(setTokenFlags, flags|uint64(o.TokenFlags))
	number(setSlot, uint64(or(o.Slot, 1)))
	tries := uint64(or(o.Tries, 3))
	number(setTries, tries)
	number(setLeft, tries)
	number(setSOLeft, tries)
	number(setMaxSessions, uint64(o.MaxSessions))
	number(setOwnNonce, uint64(o.OwnNonce))
	if o.WholeTemplate {
		number(setWhole, 1)
	}
	if o.ExactSizes {
		number(setExact, 1)
	}
	for i, s := range []string{or(o.Label, "cryptokitest"), or(o.Serial, "1"), or(o.Manufacturer, "cardoki"), or(o.Model, "test"), or(o.PIN, DefaultPIN), or(o.SOPIN, DefaultSOPIN)} {
		if err := text(i, s); err != nil {
			return err
		}
	}
	all := slices.Clone(o.Objects)
	for _, k := range o.Keys {
		public, private, err := k.objects()
		if err != nil {
			return err
		}
		all = append(all, private)
		if !k.NoPublic {
			all = append(all, public)
		}
	}
	b = binary.NativeEndian.AppendUint64(b, uint64(len(all)))
	for _, object := range all {
		b = binary.NativeEndian.AppendUint64(b, uint64(len(object)))
		for _, a := range object {
			b = binary.NativeEndian.AppendUint64(b, uint64(a.Type))
			b = binary.NativeEndian.AppendUint64(b, uint64(len(a.Value)))
			b = append(b, a.Value...)
			for len(b)%8 != 0 {
				b = append(b, 0)
			}
		}
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		return fmt.Errorf("cryptokitest: %w", err)
	}
	return nil
}

func or[T comparable](x, otherwise T) T {
	var zero T
	if x == zero {
		return otherwise
	}
	return x
}
