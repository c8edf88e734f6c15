//go:build cgo

package ck

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

import "unsafe"

// The core. Its C functions get pointers to memory without pointers in it, keep none of
// them, and call nothing back: hence noescape and nocallback above.

func (m *module) WaitForSlotEvent() (uint, RV) {
	r := C.ck_wait_for_slot_event(m.list)
	return uint(r.one), RV(r.rv)
}

func (m *module) InitToken(slot uint, soPIN []byte, label string) RV {
	var padded [32]byte
	if copy(padded[:], label) < len(label) {
		return argumentsBad
	}
	for i := len(label); i < len(padded); i++ {
		padded[i] = ' '
	}
	return RV(C.ck_init_token(m.list, C.ck_uint(slot), data(soPIN), size(soPIN), data(padded[:])))
}

func (m *module) InitPIN(session uint, pin []byte) RV {
	return RV(C.ck_session_data(m.list, C.CK_C_InitPIN, C.ck_uint(session), data(pin), size(pin)))
}

func (m *module) SetPIN(session uint, old, new []byte) RV {
	return RV(C.ck_set_pin(m.list, C.ck_uint(session), data(old), size(old), data(new), size(new)))
}

func (m *module) GetSessionInfo(session uint) (SessionInfo, RV) {
	r := C.ck_get_session_info(m.list, C.ck_uint(session))
	return SessionInfo{Slot: uint(r.slot), State: uint(r.state), Flags: uint(r.flags), DeviceError: uint(r.error)}, RV(r.rv)
}

func (m *module) SessionCancel(session, flags uint) RV {
	if !m.has(SessionCancel) {
		return notSupported
	}
	return RV(C.ck_session_number(m.list, C.CK_C_SessionCancel, C.ck_uint(session), C.ck_uint(flags)))
}

func (m *module) Login(session, user uint, pin []byte) RV {
	return RV(C.ck_login(m.list, C.ck_uint(session), C.ck_uint(user), data(pin), size(pin)))
}

func (m *module) LoginUser(session, user uint, pin, name []byte) RV {
	if !m.has(LoginUser) {
		return notSupported
	}
	return RV(C.ck_login_user(m.list, C.ck_uint(session), C.ck_uint(user), data(pin), size(pin), data(name), size(name)))
}

func (m *module) Logout(session uint) RV {
	return RV(C.ck_session(m.list, C.CK_C_Logout, C.ck_uint(session)))
}

func (m *module) CreateObject(session uint, t *Template) Result {
	items, n, buf := t.c()
	return result(C.ck_create(m.list, C.ck_uint(session), items, n, buf))
}

func (m *module) CopyObject(session, object uint, t *Template) Result {
	items, n, buf := t.c()
	return result(C.ck_copy(m.list, C.ck_uint(session), C.ck_uint(object), items, n, buf))
}

func (m *module) DestroyObject(session, object uint) RV {
	return RV(C.ck_session_number(m.list, C.CK_C_DestroyObject, C.ck_uint(session), C.ck_uint(object)))
}

func (m *module) GetObjectSize(session, object uint) Result {
	return result(C.ck_object_size(m.list, C.ck_uint(session), C.ck_uint(object)))
}

func (m *module) GetAttributeValue(session, object uint, t *Template) RV {
	items, n, buf := t.c()
	return RV(C.ck_get_attributes(m.list, C.ck_uint(session), C.ck_uint(object), items, n, buf))
}

func (m *module) SetAttributeValue(session, object uint, t *Template) RV {
	items, n, buf := t.c()
	return RV(C.ck_set_attributes(m.list, C.ck_uint(session), C.ck_uint(object), items, n, buf))
}

func (m *module) FindObjects(session uint, t *Template, objects []uint) Result {
	items, n, buf := t.c()
	return result(C.ck_find(m.list, C.ck_uint(session), items, n, buf, numbers(objects), C.ck_uint(len(objects))))
}

func (m *module) getRows(session uint, objects []uint, t *Template, r *Rows) RV {
	items, n, _ := t.c()
	return RV(C.ck_get_rows(m.list, C.ck_uint(session), numbers(objects), C.ck_uint(len(objects)),
		items, n, data(r.buf), C.ck_uint(r.stride), numbers(r.lengths), numbers(r.rvs)))
}

func (m *module) Encrypt(session uint, mech *Mechanism, key uint, in, out []byte) Result {
	var cm C.ck_mech
	d, d2 := mech.c(&cm)
	pin, i, o := data(mech.PIN), data(in), data(out)
	return bounded(out, C.ck_encrypt(m.list, C.ck_uint(session), &cm, d, d2, pin, C.ck_uint(key), i, size(in), o, size(out)))
}

func (m *module) Decrypt(session uint, mech *Mechanism, key uint, in, out []byte) Result {
	var cm C.ck_mech
	d, d2 := mech.c(&cm)
	pin, i, o := data(mech.PIN), data(in), data(out)
	return bounded(out, C.ck_decrypt(m.list, C.ck_uint(session), &cm, d, d2, pin, C.ck_uint(key), i, size(in), o, size(out)))
}

func (m *module) Sign(session uint, mech *Mechanism, key uint, in, out []byte) Result {
	var cm C.ck_mech
	d, d2 := mech.c(&cm)
	pin, i, o := data(mech.PIN), data(in), data(out)
	return bounded(out, C.ck_sign(m.list, C.ck_uint(session), &cm, d, d2, pin, C.ck_uint(key), i, size(in), o, size(out)))
}

func (m *module) EncryptInit(session uint, mech *Mechanism, key uint) RV {
	return m.init(C.CK_C_EncryptInit, session, mech, key)
}

func (m *module) DecryptInit(session uint, mech *Mechanism, key uint) RV {
	return m.init(C.CK_C_DecryptInit, session, mech, key)
}

func (m *module) SignInit(session uint, mech *Mechanism, key uint) RV {
	return m.init(C.CK_C_SignInit, session, mech, key)
}

func (m *module) VerifyInit(session uint, mech *Mechanism, key uint) RV {
	return m.init(C.CK_C_VerifyInit, session, mech, key)
}

func (m *module) init(place C.ck_uint, session uint, mech *Mechanism, key uint) RV {
	var cm C.ck_mech
	d, d2 := mech.c(&cm)
	return RV(C.ck_init(m.list, place, C.ck_uint(session), &cm, d, d2, C.ck_uint(key)))
}

func (m *module) EncryptUpdate(session uint, in, out []byte) Result {
	i, o := data(in), data(out)
	return bounded(out, C.ck_update(m.list, C.CK_C_EncryptUpdate, C.ck_uint(session), i, size(in), o, size(out)))
}

func (m *module) DecryptUpdate(session uint, in, out []byte) Result {
	i, o := data(in), data(out)
	return bounded(out, C.ck_update(m.list, C.CK_C_DecryptUpdate, C.ck_uint(session), i, size(in), o, size(out)))
}

func (m *module) EncryptFinal(session uint, out []byte) Result {
	return bounded(out, C.ck_final(m.list, C.CK_C_EncryptFinal, C.ck_uint(session), data(out), size(out)))
}

func (m *module) DecryptFinal(session uint, out []byte) Result {
	return bounded(out, C.ck_final(m.list, C.CK_C_DecryptFinal, C.ck_uint(session), data(out), size(out)))
}

func (m *module) SignFinal(session uint, out []byte) Result {
	return bounded(out, C.ck_final(m.list, C.CK_C_SignFinal, C.ck_uint(session), data(out), size(out)))
}

func (m *module) DigestFinal(session uint, out []byte) Result {
	return bounded(out, C.ck_final(m.list, C.CK_C_DigestFinal, C.ck_uint(session), data(out), size(out)))
}

func (m *module) Digest(session uint, mech *Mechanism, in, out []byte) Result {
	var cm C.ck_mech
	d, d2 := mech.c(&cm)
	return bounded(out, C.ck_digest(m.list, C.ck_uint(session), &cm, d, d2, data(in), size(in), data(out), size(out)))
}

func (m *module) DigestInit(session uint, mech *Mechanism) RV {
	var cm C.ck_mech
	d, d2 := mech.c(&cm)
	return RV(C.ck_digest_init(m.list, C.ck_uint(session), &cm, d, d2))
}

func (m *module) DigestUpdate(session uint, in []byte) RV {
	return RV(C.ck_session_data(m.list, C.CK_C_DigestUpdate, C.ck_uint(session), some(in), size(in)))
}

func (m *module) SignUpdate(session uint, in []byte) RV {
	return RV(C.ck_session_data(m.list, C.CK_C_SignUpdate, C.ck_uint(session), some(in), size(in)))
}

func (m *module) VerifyUpdate(session uint, in []byte) RV {
	return RV(C.ck_session_data(m.list, C.CK_C_VerifyUpdate, C.ck_uint(session), some(in), size(in)))
}

func (m *module) DigestKey(session, key uint) RV {
	return RV(C.ck_session_number(m.list, C.CK_C_DigestKey, C.ck_uint(session), C.ck_uint(key)))
}

func (m *module) Verify(session uint, mech *Mechanism, key uint, in, signature []byte) Result {
	var cm C.ck_mech
	d, d2 := mech.c(&cm)
	return result(C.ck_verify(m.list, C.ck_uint(session), &cm, d, d2, C.ck_uint(key), data(in), size(in), data(signature), size(signature)))
}

func (m *module) VerifyFinal(session uint, signature []byte) RV {
	return RV(C.ck_session_data(m.list, C.CK_C_VerifyFinal, C.ck_uint(session), some(signature), size(signature)))
}

func (m *module) VerifySignature(session uint, mech *Mechanism, key uint, in, signature []byte) Result {
	if !m.has(VerifySignature) {
		return Result{RV: notSupported, Step: VerifySignatureInit}
	}
	var cm C.ck_mech
	d, d2 := mech.c(&cm)
	return result(C.ck_verify_signature(m.list, C.ck_uint(session), &cm, d, d2, C.ck_uint(key), data(in), size(in), data(signature), size(signature)))
}

func (m *module) GenerateKey(session uint, mech *Mechanism, t *Template) Result {
	var cm C.ck_mech
	d, d2 := mech.c(&cm)
	items, n, buf := t.c()
	return result(C.ck_generate(m.list, C.ck_uint(session), &cm, d, d2, items, n, buf))
}

func (m *module) GenerateKeyPair(session uint, mech *Mechanism, public, private *Template) (uint, uint, RV) {
	var cm C.ck_mech
	d, d2 := mech.c(&cm)
	pub, npub, pubbuf := public.c()
	priv, npriv, privbuf := private.c()
	r := C.ck_generate_pair(m.list, C.ck_uint(session), &cm, d, d2, pub, npub, pubbuf, priv, npriv, privbuf)
	return uint(r.one), uint(r.two), RV(r.rv)
}

func (m *module) WrapKey(session uint, mech *Mechanism, by, key uint, out []byte) Result {
	var cm C.ck_mech
	d, d2 := mech.c(&cm)
	return bounded(out, C.ck_wrap(m.list, C.ck_uint(session), &cm, d, d2, C.ck_uint(by), C.ck_uint(key), data(out), size(out)))
}

func (m *module) UnwrapKey(session uint, mech *Mechanism, by uint, wrapped []byte, t *Template) Result {
	return m.unwrap(C.CK_C_UnwrapKey, session, mech, by, wrapped, t)
}

func (m *module) DecapsulateKey(session uint, mech *Mechanism, private uint, encapsulated []byte, t *Template) Result {
	if !m.has(DecapsulateKey) {
		return Result{RV: notSupported, Step: DecapsulateKey}
	}
	return m.unwrap(C.CK_C_DecapsulateKey, session, mech, private, encapsulated, t)
}

func (m *module) unwrap(place C.ck_uint, session uint, mech *Mechanism, by uint, in []byte, t *Template) Result {
	var cm C.ck_mech
	d, d2 := mech.c(&cm)
	items, n, buf := t.c()
	return result(C.ck_unwrap(m.list, place, C.ck_uint(session), &cm, d, d2, C.ck_uint(by), data(in), size(in), items, n, buf))
}

func (m *module) DeriveKey(session uint, mech *Mechanism, key uint, t *Template) Result {
	var cm C.ck_mech
	d, d2 := mech.c(&cm)
	items, n, buf := t.c()
	return result(C.ck_derive(m.list, C.ck_uint(session), &cm, d, d2, C.ck_uint(key), items, n, buf))
}

func (m *module) EncapsulateKey(session uint, mech *Mechanism, public uint, t *Template, out []byte) (uint, Result) {
	if !m.has(EncapsulateKey) {
		return 0, Result{RV: notSupported, Step: EncapsulateKey}
	}
	var cm C.ck_mech
	d, d2 := mech.c(&cm)
	items, n, buf := t.c()
	r := C.ck_encapsulate(m.list, C.ck_uint(session), &cm, d, d2, C.ck_uint(public), items, n, buf, data(out), size(out))
	res := bounded(out, C.ck_result{rv: r.rv, n: r.two, step: r.step})
	return uint(r.one), res
}

func (m *module) SeedRandom(session uint, seed []byte) RV {
	return RV(C.ck_session_data(m.list, C.CK_C_SeedRandom, C.ck_uint(session), some(seed), size(seed)))
}

func (m *module) GenerateRandom(session uint, out []byte) RV {
	return RV(C.ck_session_data(m.list, C.CK_C_GenerateRandom, C.ck_uint(session), some(out), size(out)))
}

func (m *module) MessageEncryptInit(session uint, mech *Mechanism, key uint) RV {
	if !m.has(MessageEncryptInit) {
		return notSupported
	}
	return m.init(C.CK_C_MessageEncryptInit, session, mech, key)
}

func (m *module) MessageEncryptFinal(session uint) RV {
	if !m.has(MessageEncryptFinal) {
		return notSupported
	}
	return RV(C.ck_session(m.list, C.CK_C_MessageEncryptFinal, C.ck_uint(session)))
}

func (m *module) MessageDecryptInit(session uint, mech *Mechanism, key uint) RV {
	if !m.has(MessageDecryptInit) {
		return notSupported
	}
	return m.init(C.CK_C_MessageDecryptInit, session, mech, key)
}

func (m *module) MessageDecryptFinal(session uint) RV {
	if !m.has(MessageDecryptFinal) {
		return notSupported
	}
	return RV(C.ck_session(m.list, C.CK_C_MessageDecryptFinal, C.ck_uint(session)))
}

func (m *module) MessageSignInit(session uint, mech *Mechanism, key uint) RV {
	if !m.has(MessageSignInit) {
		return notSupported
	}
	return m.init(C.CK_C_MessageSignInit, session, mech, key)
}

func (m *module) MessageSignFinal(session uint) RV {
	if !m.has(MessageSignFinal) {
		return notSupported
	}
	return RV(C.ck_session(m.list, C.CK_C_MessageSignFinal, C.ck_uint(session)))
}

func (m *module) MessageVerifyInit(session uint, mech *Mechanism, key uint) RV {
	if !m.has(MessageVerifyInit) {
		return notSupported
	}
	return m.init(C.CK_C_MessageVerifyInit, session, mech, key)
}

func (m *module) MessageVerifyFinal(session uint) RV {
	if !m.has(MessageVerifyFinal) {
		return notSupported
	}
	return RV(C.ck_session(m.list, C.CK_C_MessageVerifyFinal, C.ck_uint(session)))
}

func (m *module) EncryptMessage(session uint, mech *Mechanism, aad, in, out []byte) Result {
	if !m.has(EncryptMessage) {
		return Result{RV: notSupported, Step: EncryptMessage}
	}
	var cm C.ck_mech
	d, d2 := mech.c(&cm)
	a, i, o := data(aad), data(in), data(out)
	return bounded(out, C.ck_message(m.list, C.CK_C_EncryptMessage, C.ck_uint(session), &cm, d, d2, a, size(aad), i, size(in), o, size(out)))
}

func (m *module) DecryptMessage(session uint, mech *Mechanism, aad, in, out []byte) Result {
	if !m.has(DecryptMessage) {
		return Result{RV: notSupported, Step: DecryptMessage}
	}
	var cm C.ck_mech
	d, d2 := mech.c(&cm)
	a, i, o := data(aad), data(in), data(out)
	return bounded(out, C.ck_message(m.list, C.CK_C_DecryptMessage, C.ck_uint(session), &cm, d, d2, a, size(aad), i, size(in), o, size(out)))
}

func (m *module) SignMessage(session uint, mech *Mechanism, in, out []byte) Result {
	if !m.has(SignMessage) {
		return Result{RV: notSupported, Step: SignMessage}
	}
	var cm C.ck_mech
	d, d2 := mech.c(&cm)
	return bounded(out, C.ck_sign_message(m.list, C.ck_uint(session), &cm, d, d2, data(in), size(in), data(out), size(out)))
}

func (m *module) VerifyMessage(session uint, mech *Mechanism, in, signature []byte) RV {
	if !m.has(VerifyMessage) {
		return notSupported
	}
	var cm C.ck_mech
	d, d2 := mech.c(&cm)
	return RV(C.ck_verify_message(m.list, C.ck_uint(session), &cm, d, d2, data(in), size(in), data(signature), size(signature)))
}

// data returns the address of b's bytes, which is NULL only when b is nil.
func data(b []byte) *C.ck_byte { return (*C.ck_byte)(unsafe.SliceData(b)) }

// some is data for modules that refuse NULL.
func some(b []byte) *C.ck_byte {
	if b == nil {
		return (*C.ck_byte)(unsafe.SliceData(nothing[:]))
	}
	return data(b)
}

var nothing [1]byte

func size(b []byte) C.ck_uint { return C.ck_uint(len(b)) }

func numbers(u []uint) *C.ck_uint { return (*C.ck_uint)(unsafe.Pointer(unsafe.SliceData(u))) }

func (t *Template) c() (items *C.ck_item, n C.ck_uint, buf *C.ck_byte) {
	return (*C.ck_item)(unsafe.Pointer(unsafe.SliceData(t.items))), C.ck_uint(len(t.items)), data(t.buf)
}

// c fills cm in its place: a copy of what was just written field by field costs 5 ns.
func (m *Mechanism) c(cm *C.ck_mech) (d, d2 *C.ck_byte) {
	cm._type, cm.kind = C.ck_uint(m.Type), C.ck_uint(m.Kind)
	cm.a, cm.b, cm.c, cm.d = C.ck_uint(m.A), C.ck_uint(m.B), C.ck_uint(m.C), C.ck_uint(m.D)
	cm.length, cm.length2, cm.pinlen = size(m.Data), size(m.Data2), size(m.PIN)
	if m.Login {
		cm.login = 1
	}
	return data(m.Data), data(m.Data2)
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
