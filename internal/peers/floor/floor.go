// Package floor does in C what the benchmarks of package peers do in Go: each function
// is the loop that a program in C would have, called once for all of it. It runs in the
// process of the benchmark, whose other threads switch on the locks of the C library
// for it too.
package floor

// #cgo linux LDFLAGS: -ldl
// #cgo CFLAGS: -O2
// #include <stdlib.h>
// #include "floor.h"
import "C"

import (
	"fmt"
	"time"
	"unsafe"
)

// A Module is a PKCS#11 module. It is for whoever has it initialised otherwise. Sessions
// are used by one goroutine at a time.
type Module struct {
	list, newer *C.ck_list
	path        string
}

// Open loads a module, or finds it loaded. It does not initialise it.
func Open(path string) (*Module, error) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	m := &Module{path: path}
	if m.list = C.floor_load(name, &m.newer); m.list == nil {
		return nil, fmt.Errorf("floor: %q is no PKCS#11 module", path)
	}
	return m, nil
}

// Messages reports whether the module has the functions of PKCS#11 3.0.
func (m *Module) Messages() bool { return m.newer != nil }

// Sign does C_SignInit and C_Sign n times. The signature is in out.
func (m *Module) Sign(session, mechanism, key uint, in, out []byte, n int) error {
	return check("C_Sign", C.floor_sign(m.list, C.ck_ulong(session), C.ck_ulong(mechanism), C.ck_ulong(key), data(in), size(in), data(out), size(out), C.int(n)))
}

// Attributes does C_GetAttributeValue n times, with room for so many bytes of each. The
// values are in buf, at most 16.
func (m *Module) Attributes(session, object uint, types, rooms []uint, buf []byte, n int) error {
	if err := fits(types, rooms, buf); err != nil {
		return err
	}
	return check("C_GetAttributeValue", C.floor_attributes(m.list, C.ck_ulong(session), C.ck_ulong(object), numbers(types), numbers(rooms), C.ck_ulong(len(types)), data(buf), C.int(n)))
}

// Objects finds the objects of a class, at most as many as objects has room for, and reads
// attributes of each, n times. It returns how many there are.
func (m *Module) Objects(session, class uint, types, rooms, objects []uint, buf []byte, n int) (int, error) {
	if err := fits(types, rooms, buf[:len(buf)/len(objects)]); err != nil {
		return 0, err
	}
	var found C.ck_ulong
	rv := C.floor_objects(m.list, C.ck_ulong(session), C.ck_ulong(class), numbers(types), numbers(rooms), C.ck_ulong(len(types)), numbers(objects), C.ck_ulong(len(objects)), data(buf), &found, C.int(n))
	return int(found), check("C_FindObjects", rv)
}

// Encrypt encrypts in, n times, each by updates with pieces of so many bytes. The
// ciphertext of the last piece is in out.
func (m *Module) Encrypt(session, mechanism uint, iv []byte, key uint, in []byte, piece int, out []byte, n int) error {
	if piece <= 0 || len(in)%piece != 0 || len(out) < piece {
		return fmt.Errorf("floor: %d bytes in pieces of %d", len(in), piece)
	}
	return check("C_EncryptUpdate", C.floor_encrypt(m.list, C.ck_ulong(session), C.ck_ulong(mechanism), data(iv), size(iv), C.ck_ulong(key), data(in), size(in), C.ck_ulong(piece), data(out), size(out), C.int(n)))
}

// SealMessages encrypts in with AES-GCM as n messages, with a nonce of 12 bytes that counts,
// into out and tag, which has 16 bytes.
func (m *Module) SealMessages(session, key uint, nonce, aad, in, out, tag []byte, n int) error {
	if len(nonce) != 12 || len(tag) != 16 || len(out) < len(in) {
		return fmt.Errorf("floor: a nonce of %d bytes, a tag of %d", len(nonce), len(tag))
	}
	return check("C_EncryptMessage", C.floor_messages(m.newer, C.ck_ulong(session), C.ck_ulong(key), data(nonce), data(tag), data(aad), size(aad), data(in), size(in), data(out), C.int(n)))
}

// SignThreads signs n times in each of as many threads as there are sessions. It returns
// the time from when all were ready until the last had ended.
func (m *Module) SignThreads(sessions []uint, mechanism, key uint, in []byte, n int) (time.Duration, error) {
	took := C.floor_threads(m.list, numbers(sessions), C.ck_ulong(len(sessions)), C.ck_ulong(mechanism), C.ck_ulong(key), data(in), size(in), C.int(n))
	if took == 0 {
		return 0, fmt.Errorf("floor: signing in %d threads failed", len(sessions))
	}
	return time.Duration(took), nil
}

func fits(types, rooms []uint, buf []byte) error {
	sum := uint(0)
	for _, n := range rooms {
		sum += n
	}
	if len(types) > 16 || len(types) != len(rooms) || sum > uint(len(buf)) {
		return fmt.Errorf("floor: %d attributes of %d bytes do not fit", len(types), sum)
	}
	return nil
}

func check(function string, rv C.ck_ulong) error {
	if rv != 0 {
		return fmt.Errorf("floor: %s or what is before it: 0x%X", function, uint(rv))
	}
	return nil
}

func data(b []byte) *C.ck_byte { return (*C.ck_byte)(unsafe.SliceData(b)) }

func size(b []byte) C.ck_ulong { return C.ck_ulong(len(b)) }

func numbers(u []uint) *C.ck_ulong { return (*C.ck_ulong)(unsafe.Pointer(unsafe.SliceData(u))) }
