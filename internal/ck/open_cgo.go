//go:build cgo

package ck

// #cgo linux LDFLAGS: -ldl
// #cgo noescape ck_login
// #cgo nocallback ck_login
// #cgo noescape ck_login_user
// #cgo nocallback ck_login_user
// #cgo noescape ck_init_token
// #cgo nocallback ck_init_token
// #cgo noescape ck_set_pin
// #cgo nocallback ck_set_pin
// #cgo nocallback ck_session
// #cgo nocallback ck_session_number
// #cgo noescape ck_session_data
// #cgo nocallback ck_session_data
// #cgo nocallback ck_get_session_info
// #cgo noescape ck_list_of
// #cgo nocallback ck_list_of
// #cgo nocallback ck_wait_for_slot_event
// #cgo noescape ck_find
// #cgo nocallback ck_find
// #cgo noescape ck_get_attributes
// #cgo nocallback ck_get_attributes
// #cgo noescape ck_get_rows
// #cgo nocallback ck_get_rows
// #cgo noescape ck_set_attributes
// #cgo nocallback ck_set_attributes
// #cgo noescape ck_create
// #cgo nocallback ck_create
// #cgo noescape ck_copy
// #cgo nocallback ck_copy
// #cgo nocallback ck_object_size
// #cgo noescape ck_generate
// #cgo nocallback ck_generate
// #cgo noescape ck_generate_pair
// #cgo nocallback ck_generate_pair
// #cgo noescape ck_derive
// #cgo nocallback ck_derive
// #cgo noescape ck_wrap
// #cgo nocallback ck_wrap
// #cgo noescape ck_unwrap
// #cgo nocallback ck_unwrap
// #cgo noescape ck_encapsulate
// #cgo nocallback ck_encapsulate
// #cgo noescape ck_init
// #cgo nocallback ck_init
// #cgo noescape ck_digest_init
// #cgo nocallback ck_digest_init
// #cgo noescape ck_update
// #cgo nocallback ck_update
// #cgo noescape ck_final
// #cgo nocallback ck_final
// #cgo noescape ck_sign
// #cgo nocallback ck_sign
// #cgo noescape ck_encrypt
// #cgo nocallback ck_encrypt
// #cgo noescape ck_decrypt
// #cgo nocallback ck_decrypt
// #cgo noescape ck_verify
// #cgo nocallback ck_verify
// #cgo noescape ck_verify_signature
// #cgo nocallback ck_verify_signature
// #cgo noescape ck_digest
// #cgo nocallback ck_digest
// #cgo noescape ck_message
// #cgo nocallback ck_message
// #cgo noescape ck_sign_message
// #cgo nocallback ck_sign_message
// #cgo noescape ck_verify_message
// #cgo nocallback ck_verify_message
// #include <stdlib.h>
// #include "core.h"
// #include "load.h"
import "C"

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"unsafe"

	"github.com/miekg/pkcs11"
)

// loaded holds the modules of this process. It is a variable of the package because
// the loader, C_Initialize and C_Finalize know only one process too: two tables would
// finalise under each other's calls. Modules are never unloaded: their exit handlers,
// threads and thread-local data would be left without code.
var loaded struct {
	sync.Mutex
	modules []*module
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
		library unsafe.Pointer
		list    *C.ck_list
		count   C.ck_ulong
		steady  C.int
		rv      C.ck_ulong
		text    [1024]C.char
	)
	loaded.Lock()
	defer loaded.Unlock()
	switch C.ck_load(name, &library, &list, &count, &steady, &rv, &text[0], C.size_t(len(text))) {
	case C.ck_loaded:
	case C.ck_not_loaded:
		return nil, errors.New(C.GoString(&text[0]))
	case C.ck_no_symbol:
		return nil, ErrNotModule
	default:
		return nil, fmt.Errorf("C_GetFunctionList of the module failed with 0x%X", uint(rv))
	}
	for _, m := range loaded.modules {
		if m.library == library {
			C.ck_close(library) // the first reference stays
			return m.in, nil
		}
	}
	v := listVersion(list)
	if v.Major < 2 {
		return nil, fmt.Errorf("the module has PKCS#11 version %v; at least 2.0 is needed", v)
	}
	// miekg's New says nothing about a failure, but all that it can meet was
	// checked above.
	rare := pkcs11.New(path)
	if rare == nil {
		return nil, errors.New("the module was loaded once, but not a second time")
	}
	if steady == 0 {
		// Both must use one list, as the handles of another mean something else.
		_, its, err := inside(rare)
		if err != nil {
			return nil, err
		}
		*its = list
	}
	return add(&module{library: library, list: (*C.ck_module)(unsafe.Pointer(list)), count: Function(count), version: v, rare: rare}), nil
}

// Adopt returns the Instance for a module that other code of this process has loaded and
// initialised with miekg/pkcs11. It stays theirs: it is used, and never finalised here.
// p must not be destroyed or finalised while the Instance is in use, and is safe to use
// meanwhile.
func Adopt(p *pkcs11.Ctx) (*Instance, error) {
	library, its, err := inside(p)
	if err != nil {
		return nil, err
	}
	loaded.Lock()
	defer loaded.Unlock()
	for _, m := range loaded.modules {
		if m.library == library && (m.rare == p || m.old == *its || unsafe.Pointer(m.list) == unsafe.Pointer(*its)) {
			return m.in, nil
		}
	}
	list, count := *its, C.ck_ulong(0)
	C.ck_adopt(library, &list, &count)
	return add(&module{library: library, list: (*C.ck_module)(unsafe.Pointer(list)), old: *its, count: Function(count), version: listVersion(list), rare: p}), nil
}

// add is called under loaded.Mutex.
func add(m *module) *Instance {
	m.in = NewInstance(m)
	loaded.modules = append(loaded.modules, m)
	return m.in
}

// inside returns the loader's handle of a Ctx, and where its function list is. Both are
// found by the names of their fields, and nothing is touched unless they are there.
func inside(p *pkcs11.Ctx) (library unsafe.Pointer, list **C.ck_list, err error) {
	if p == nil {
		return nil, nil, errors.New("no module: the *pkcs11.Ctx is nil")
	}
	ctx := reflect.ValueOf(p).Elem().FieldByName("ctx")
	if ctx.Kind() != reflect.Pointer || ctx.Type().Elem().Kind() != reflect.Struct {
		return nil, nil, errUnknownCtx
	}
	handle, ok1 := ctx.Type().Elem().FieldByName("handle")
	sym, ok2 := ctx.Type().Elem().FieldByName("sym")
	if !ok1 || !ok2 || handle.Type.Size() != unsafe.Sizeof(library) || sym.Type.Kind() != reflect.Pointer {
		return nil, nil, errUnknownCtx
	}
	at := ctx.UnsafePointer()
	if at == nil {
		return nil, nil, errors.New("no module: the *pkcs11.Ctx was destroyed")
	}
	library = *(*unsafe.Pointer)(unsafe.Add(at, handle.Offset))
	list = (**C.ck_list)(unsafe.Add(at, sym.Offset))
	if library == nil || *list == nil {
		return nil, nil, errors.New("no module: the *pkcs11.Ctx has no function list")
	}
	return library, list, nil
}

var errUnknownCtx = fmt.Errorf("this version of github.com/miekg/pkcs11 keeps its function list in a way that is not known here: %w", errors.ErrUnsupported)

func listVersion(l *C.ck_list) Version {
	v := C.ck_list_version(l)
	return Version{byte(v.major), byte(v.minor)}
}

// The structures that core.h mirrors have the same size; this does not compile
// otherwise.
var (
	_ = [1]struct{}{}[unsafe.Sizeof(C.ck_item{})-unsafe.Sizeof(item{})]
	_ = [1]struct{}{}[unsafe.Sizeof(C.ck_uint(0))-unsafe.Sizeof(uint(0))]
	_ = [1]struct{}{}[unsafe.Sizeof(C.ck_ulong(0))-UlongSize]
	_ = [1]struct{}{}[unsafe.Sizeof(C.ck_attribute{})-attributeSize]
	_ = [1]struct{}{}[C.ck_max_attributes-maxAttributes]
	_ = [1]struct{}{}[C.ck_mech_kinds-kinds]
)

// A module is a loaded library.
type module struct {
	in      *Instance
	library unsafe.Pointer // the loader's handle
	list    *C.ck_module   // for the core: the newest that there is
	old     *C.ck_list     // that of an adopted Ctx
	count   Function       // number of functions in list
	version Version        // of list
	rare    *pkcs11.Ctx    // the same module, for what carries no secret and is rare
}

func (m *module) ListVersion() Version { return m.version }

// has reports whether the list is long enough for f.
func (m *module) has(f Function) bool { return f < m.count }

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

// InitializeWith initialises with pReserved, which is a text, as NSS and some others
// want. It stays allocated: modules may keep it.
func (m *module) InitializeWith(reserved string) RV {
	if reserved == "" {
		return m.Initialize()
	}
	if strings.IndexByte(reserved, 0) >= 0 {
		return argumentsBad
	}
	text := unsafe.Pointer(C.CString(reserved))
	rv := rvOf(m.rare.Initialize(pkcs11.InitializeWithReserved(text)))
	if rv != ok {
		C.free(text)
	}
	return rv
}

func (m *module) Finalize() RV { return rvOf(m.rare.Finalize()) }

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
	var which uint
	if tokenPresent {
		which = 1
	}
	return m.listOf(GetSlotList, which)
}

// maxList is the greatest number of slots or mechanisms that a module is believed to have.
const maxList = 1 << 16

func (m *module) listOf(f Function, which uint) ([]uint, RV) {
	for list := make([]uint, 128); ; list = make([]uint, 8*len(list)) {
		r := result(C.ck_list_of(m.list, C.ck_uint(f), C.ck_uint(which), (*C.ck_uint)(unsafe.Pointer(&list[0])), C.ck_uint(len(list))))
		switch {
		case r.RV == ok:
			return list[:r.N:r.N], ok
		case r.RV != bufferTooSmall || len(list) >= maxList:
			return nil, r.RV
		}
	}
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

func (m *module) GetMechanismList(slot uint) ([]uint, RV) { return m.listOf(GetMechanismList, slot) }

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
