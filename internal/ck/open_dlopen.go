//go:build cgo && !windows

package ck

// #cgo linux LDFLAGS: -ldl
// #cgo noescape ck_login
// #cgo nocallback ck_login
// #cgo nocallback ck_logout
// #cgo noescape ck_find
// #cgo nocallback ck_find
// #cgo noescape ck_get_attributes
// #cgo nocallback ck_get_attributes
// #cgo noescape ck_create
// #cgo nocallback ck_create
// #cgo nocallback ck_destroy
// #cgo noescape ck_generate_pair
// #cgo nocallback ck_generate_pair
// #cgo noescape ck_derive
// #cgo nocallback ck_derive
// #cgo noescape ck_sign
// #cgo nocallback ck_sign
// #cgo noescape ck_decrypt
// #cgo nocallback ck_decrypt
// #cgo noescape ck_random
// #cgo nocallback ck_random
// #include <stdlib.h>
// #include "core.h"
import "C"

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"unsafe"

	"github.com/miekg/pkcs11"
)

// loaded holds the modules of this process, by their function list. It is a
// variable of the package because the loader, C_Initialize and C_Finalize know
// only one process too: two tables would finalise under each other's calls.
// Modules are never unloaded: their exit handlers, threads and thread-local data
// would be left without code.
var loaded struct {
	sync.Mutex
	instances map[*C.ck_list]*Instance
}

// Open loads the module at path, or finds the one that this process has. A path
// without a slash is looked for where the system's loader looks. The error for a
// file that cannot be loaded has the loader's own words.
func Open(path string) (*Instance, error) {
	if path == "" || strings.IndexByte(path, 0) >= 0 {
		return nil, errors.New("the path of the module is empty or not valid")
	}
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	var (
		list *C.ck_list
		rv   C.ck_ulong
		text [1024]C.char
	)
	loaded.Lock()
	defer loaded.Unlock()
	switch C.ck_load(name, &list, &rv, &text[0], C.size_t(len(text))) {
	case C.ck_loaded:
	case C.ck_not_loaded:
		return nil, errors.New(C.GoString(&text[0]))
	case C.ck_no_symbol:
		return nil, ErrNotModule
	default:
		return nil, fmt.Errorf("C_GetFunctionList of the module failed with 0x%X", uint(rv))
	}
	if list.major < 2 {
		return nil, fmt.Errorf("the module has PKCS#11 version %d.%d; at least 2.0 is needed", list.major, list.minor)
	}
	if in, ok := loaded.instances[list]; ok {
		return in, nil
	}
	// miekg's New says nothing about a failure, but all that it can meet was
	// checked above.
	rare := pkcs11.New(path)
	if rare == nil {
		return nil, errors.New("the module was loaded once, but not a second time")
	}
	if loaded.instances == nil {
		loaded.instances = map[*C.ck_list]*Instance{}
	}
	in := NewInstance(&module{list: list, rare: rare})
	loaded.instances[list] = in
	return in, nil
}

// The structures that core.h mirrors have the same size; this does not compile
// otherwise.
var (
	_ = [1]struct{}{}[unsafe.Sizeof(C.ck_item{})-unsafe.Sizeof(item{})]
	_ = [1]struct{}{}[unsafe.Sizeof(C.ck_ulong(0))-UlongSize]
	_ = [1]struct{}{}[C.ck_max_attributes-maxAttributes]
)

// A module is a loaded library.
type module struct {
	list *C.ck_list  // for the core
	rare *pkcs11.Ctx // the same module, for what carries no secret and is rare
}

func rvOf(err error) RV {
	if err == nil {
		return ok
	}
	if rv, ok := err.(pkcs11.Error); ok {
		return RV(rv)
	}
	return functionFailed
}

func trim(s string) string { return strings.TrimRight(s, " \x00") }

func version(v pkcs11.Version) Version { return Version{v.Major, v.Minor} }

func (m *module) Initialize() RV { return rvOf(m.rare.Initialize()) }
func (m *module) Finalize() RV   { return rvOf(m.rare.Finalize()) }

func (m *module) GetInfo() (Info, RV) {
	i, err := m.rare.GetInfo()
	return Info{
		Cryptoki:     version(i.CryptokiVersion),
		Manufacturer: trim(i.ManufacturerID),
		Description:  trim(i.LibraryDescription),
		Library:      version(i.LibraryVersion),
	}, rvOf(err)
}

func (m *module) GetSlotList(tokenPresent bool) ([]uint, RV) {
	slots, err := m.rare.GetSlotList(tokenPresent)
	return slots, rvOf(err)
}

func (m *module) GetSlotInfo(slot uint) (SlotInfo, RV) {
	i, err := m.rare.GetSlotInfo(slot)
	return SlotInfo{
		Description:  trim(i.SlotDescription),
		Manufacturer: trim(i.ManufacturerID),
		Flags:        i.Flags,
		Hardware:     version(i.HardwareVersion),
		Firmware:     version(i.FirmwareVersion),
	}, rvOf(err)
}

func (m *module) GetTokenInfo(slot uint) (TokenInfo, RV) {
	i, err := m.rare.GetTokenInfo(slot)
	return TokenInfo{
		Label:         trim(i.Label),
		Manufacturer:  trim(i.ManufacturerID),
		Model:         trim(i.Model),
		Serial:        trim(i.SerialNumber),
		Flags:         i.Flags,
		MaxSessions:   i.MaxSessionCount,
		MaxRWSessions: i.MaxRwSessionCount,
		MinPIN:        i.MinPinLen,
		MaxPIN:        i.MaxPinLen,
		Hardware:      version(i.HardwareVersion),
		Firmware:      version(i.FirmwareVersion),
	}, rvOf(err)
}

func (m *module) GetMechanismList(slot uint) ([]uint, RV) {
	list, err := m.rare.GetMechanismList(slot)
	types := make([]uint, len(list))
	for i, mech := range list {
		types[i] = mech.Mechanism
	}
	return types, rvOf(err)
}

func (m *module) GetMechanismInfo(slot, mechanism uint) (MechanismInfo, RV) {
	// Exactly one mechanism: miekg indexes the list unchecked.
	i, err := m.rare.GetMechanismInfo(slot, []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanism, nil)})
	return MechanismInfo{MinKeySize: i.MinKeySize, MaxKeySize: i.MaxKeySize, Flags: i.Flags}, rvOf(err)
}

func (m *module) OpenSession(slot, flags uint) (uint, RV) {
	h, err := m.rare.OpenSession(slot, flags|flagSerialSession)
	return uint(h), rvOf(err)
}

func (m *module) CloseSession(session uint) RV {
	return rvOf(m.rare.CloseSession(pkcs11.SessionHandle(session)))
}

// The rest is the core. Its C functions get pointers to memory without pointers in
// it, keep none of them, and call nothing back: hence noescape and nocallback above.

func (m *module) Login(session, user uint, pin []byte) RV {
	return RV(C.ck_login(m.list, C.ck_ulong(session), C.ck_ulong(user), data(pin), C.ck_ulong(len(pin))))
}

func (m *module) Logout(session uint) RV {
	return RV(C.ck_logout(m.list, C.ck_ulong(session)))
}

func (m *module) FindObjects(session uint, t *Template, objects []uint) Result {
	items, n, buf := t.c()
	out := (*C.ck_ulong)(unsafe.Pointer(unsafe.SliceData(objects)))
	return result(C.ck_find(m.list, C.ck_ulong(session), items, n, buf, out, C.ck_ulong(len(objects))))
}

func (m *module) GetAttributeValue(session, object uint, t *Template) RV {
	items, n, buf := t.c()
	return RV(C.ck_get_attributes(m.list, C.ck_ulong(session), C.ck_ulong(object), items, n, buf))
}

func (m *module) CreateObject(session uint, t *Template) Result {
	items, n, buf := t.c()
	return result(C.ck_create(m.list, C.ck_ulong(session), items, n, buf))
}

func (m *module) DestroyObject(session, object uint) RV {
	return RV(C.ck_destroy(m.list, C.ck_ulong(session), C.ck_ulong(object)))
}

func (m *module) GenerateKeyPair(session uint, mech *Mechanism, public, private *Template) (uint, uint, RV) {
	cm := mech.c()
	pub, npub, pubbuf := public.c()
	priv, npriv, privbuf := private.c()
	r := C.ck_generate_pair(m.list, C.ck_ulong(session), &cm, data(mech.Data), pub, npub, pubbuf, priv, npriv, privbuf)
	return uint(r.public), uint(r.private), RV(r.rv)
}

func (m *module) DeriveKey(session uint, mech *Mechanism, key uint, t *Template) Result {
	cm := mech.c()
	items, n, buf := t.c()
	return result(C.ck_derive(m.list, C.ck_ulong(session), &cm, data(mech.Data), C.ck_ulong(key), items, n, buf))
}

func (m *module) Sign(session uint, mech *Mechanism, key uint, in, out []byte) Result {
	cm := mech.c()
	return bounded(out, C.ck_sign(m.list, C.ck_ulong(session), &cm, data(mech.Data), C.ck_ulong(key),
		data(in), C.ck_ulong(len(in)), data(out), C.ck_ulong(len(out))))
}

func (m *module) Decrypt(session uint, mech *Mechanism, key uint, in, out []byte) Result {
	cm := mech.c()
	return bounded(out, C.ck_decrypt(m.list, C.ck_ulong(session), &cm, data(mech.Data), C.ck_ulong(key),
		data(in), C.ck_ulong(len(in)), data(out), C.ck_ulong(len(out))))
}

func (m *module) GenerateRandom(session uint, out []byte) RV {
	return RV(C.ck_random(m.list, C.ck_ulong(session), data(out), C.ck_ulong(len(out))))
}

// data returns the address of b's bytes, which is NULL only when b is nil.
func data(b []byte) *C.ck_byte { return (*C.ck_byte)(unsafe.SliceData(b)) }

func (t *Template) c() (items *C.ck_item, n C.ck_ulong, buf *C.ck_byte) {
	return (*C.ck_item)(unsafe.Pointer(unsafe.SliceData(t.items))), C.ck_ulong(len(t.items)), data(t.buf)
}

func (m *Mechanism) c() C.ck_mech {
	return C.ck_mech{
		_type: C.ck_ulong(m.Type), kind: C.ck_ulong(m.Kind),
		a: C.ck_ulong(m.A), b: C.ck_ulong(m.B), c: C.ck_ulong(m.C),
		length: C.ck_ulong(len(m.Data)),
	}
}

func result(r C.ck_result) Result {
	return Result{RV: RV(r.rv), N: uint(r.n), Step: Function(r.step)}
}

// bounded is result for output that must fit into out: a module that says that it
// wrote more has failed.
func bounded(out []byte, r C.ck_result) Result {
	res := result(r)
	if res.RV == ok && res.N > uint(len(out)) {
		res.RV, res.N = functionFailed, 0
	}
	return res
}
