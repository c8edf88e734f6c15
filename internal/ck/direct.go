package ck

import (
	"bytes"
	"unsafe"
)

// The operations that programs do all the time are methods of an Instance as well. What is
// given to a FunctionList is taken to be kept, as nobody knows what is behind it, so that
// it cannot be on the caller's stack. A module that Open loaded keeps nothing; any other
// FunctionList gets copies here.

// Sign is the method of the FunctionList.
func (in *Instance) Sign(session uint, m *Mechanism, key uint, input, out []byte) Result {
	if l, is := in.FunctionList.(*module); is {
		return l.Sign(session, m, key, input, out)
	}
	return in.copying(FunctionList.Sign, session, m, key, input, out)
}

// Encrypt is the method of the FunctionList.
func (in *Instance) Encrypt(session uint, m *Mechanism, key uint, input, out []byte) Result {
	if l, is := in.FunctionList.(*module); is {
		return l.Encrypt(session, m, key, input, out)
	}
	return in.copying(FunctionList.Encrypt, session, m, key, input, out)
}

// Decrypt is the method of the FunctionList.
func (in *Instance) Decrypt(session uint, m *Mechanism, key uint, input, out []byte) Result {
	if l, is := in.FunctionList.(*module); is {
		return l.Decrypt(session, m, key, input, out)
	}
	return in.copying(FunctionList.Decrypt, session, m, key, input, out)
}

// EncryptMessage is the method of the FunctionList.
func (in *Instance) EncryptMessage(session uint, m *Mechanism, aad, input, out []byte) Result {
	if l, is := in.FunctionList.(*module); is {
		return l.EncryptMessage(session, m, aad, input, out)
	}
	return in.copyingMessage(FunctionList.EncryptMessage, session, m, aad, input, out)
}

// DecryptMessage is the method of the FunctionList.
func (in *Instance) DecryptMessage(session uint, m *Mechanism, aad, input, out []byte) Result {
	if l, is := in.FunctionList.(*module); is {
		return l.DecryptMessage(session, m, aad, input, out)
	}
	return in.copyingMessage(FunctionList.DecryptMessage, session, m, aad, input, out)
}

func (in *Instance) copying(f func(FunctionList, uint, *Mechanism, uint, []byte, []byte) Result, session uint, m *Mechanism, key uint, input, out []byte) Result {
	mech, i, o := m.clone(), bytes.Clone(input), make([]byte, len(out))
	r := f(in.FunctionList, session, mech, key, i, o)
	clear(i)
	mech.giveBack(m)
	return r.giveBack(out, o)
}

func (in *Instance) copyingMessage(f func(FunctionList, uint, *Mechanism, []byte, []byte, []byte) Result, session uint, m *Mechanism, aad, input, out []byte) Result {
	mech, i, o := m.clone(), bytes.Clone(input), make([]byte, len(out))
	r := f(in.FunctionList, session, mech, bytes.Clone(aad), i, o)
	clear(i)
	mech.giveBack(m)
	return r.giveBack(out, o)
}

func (m *Mechanism) clone() *Mechanism {
	return &Mechanism{
		Type: m.Type, Kind: m.Kind, A: m.A, B: m.B, C: m.C, D: m.D,
		Data: bytes.Clone(m.Data), Data2: bytes.Clone(m.Data2), Login: m.Login, PIN: bytes.Clone(m.PIN),
	}
}

// giveBack copies to m what a module wrote into its clone, and wipes that.
func (clone *Mechanism) giveBack(m *Mechanism) {
	copy(m.Data, clone.Data)
	copy(m.Data2, clone.Data2)
	clear(clone.PIN)
	clear(clone.Data2)
}

// giveBack copies output from o to out, and wipes o. Output that would not fit is a failure.
func (r Result) giveBack(out, o []byte) Result {
	if r.RV == ok {
		if r.N > uint(len(o)) {
			r.RV, r.N = functionFailed, 0
		}
		copy(out, o[:r.N])
	}
	clear(o)
	return r
}

// Overlap reports whether a and b share memory.
func Overlap(a, b []byte) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	x, y := uintptr(unsafe.Pointer(unsafe.SliceData(a))), uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	return x < y+uintptr(len(b)) && y < x+uintptr(len(a))
}
