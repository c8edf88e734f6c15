package ck

import (
	"errors"
	"fmt"
	"sync"
)

// ErrNotModule is returned by Open for a library that is not a PKCS#11 module.
var ErrNotModule = errors.New("this library is not a PKCS#11 module: it has no C_GetFunctionList")

// ErrNoCgo is returned by Open in a program that was built without cgo. It Is
// errors.ErrUnsupported.
var ErrNoCgo = fmt.Errorf("loading a PKCS#11 module needs cgo; build with CGO_ENABLED=1 and a C compiler: %w", errors.ErrUnsupported)

// An Instance is a module and the count of those who use it in this process.
//
// C_Initialize and C_Finalize act on the whole process, so there is one Instance
// for a module, however often and by whatever path it is opened. It is initialised
// for the first user and finalised after the last one. A module that was already
// initialised when we came belongs to someone else and is never finalised here.
//
// It is safe for concurrent use.
type Instance struct {
	FunctionList

	mu         sync.Mutex
	users      int
	ours       bool // C_Initialize succeeded, so that C_Finalize is ours too
	broken     bool // Restart found it so
	reserved   string
	generation uint64
}

// NewInstance returns an Instance for a module that is not loaded with Open.
func NewInstance(fl FunctionList) *Instance { return &Instance{FunctionList: fl} }

// Acquire adds a user and returns the generation: a number that is another one
// after each C_Initialize. Handles of one generation mean nothing in another.
func (in *Instance) Acquire() (generation uint64, rv RV) { return in.AcquireWith("") }

// AcquireWith is Acquire for modules that want a text when they are initialised, in
// pReserved, such as NSS. Only the first user's counts.
func (in *Instance) AcquireWith(reserved string) (generation uint64, rv RV) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.users == 0 {
		in.reserved = reserved
		if rv := in.initialize(); rv != ok {
			return 0, rv
		}
	}
	in.users++
	return in.generation, ok
}

// initialize is called under mu.
func (in *Instance) initialize() RV {
	rv := notSupported
	if fl, is := in.FunctionList.(interface{ InitializeWith(string) RV }); is {
		rv = fl.InitializeWith(in.reserved)
	} else if in.reserved == "" {
		rv = in.Initialize()
	}
	switch rv {
	case ok:
		in.ours = true
	case alreadyInitialized:
		in.ours = false
	default:
		return rv
	}
	in.generation++
	return ok
}

// Restart finalises the module and initialises it again, for all users, of which none
// may have a call running in it. generation is the one in which the caller found it
// broken: if it is over, somebody else was faster, and nothing is done. It returns the
// generation that there is now. A module that somebody else initialised is not
// touched, and the return value is CKR_FUNCTION_NOT_SUPPORTED.
//
// When C_Initialize fails, the module is unusable; Restart can be tried again with the
// same generation, and Release finalises nothing.
func (in *Instance) Restart(generation uint64) (now uint64, rv RV) {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.users == 0:
		panic("ck: Restart of an Instance that nobody uses")
	case in.generation != generation:
		return in.generation, ok
	case !in.ours && !in.broken:
		return in.generation, notSupported
	}
	if in.ours {
		in.Finalize() // whatever it says: it may be gone already
	}
	in.ours, in.broken = false, false
	if rv := in.initialize(); rv != ok {
		in.broken = true
		return in.generation, rv
	}
	return in.generation, ok
}

// Retain adds a user on behalf of one that is there.
func (in *Instance) Retain() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.users == 0 {
		panic("ck: Retain of an Instance that nobody uses")
	}
	in.users++
}

// Release removes a user. No call of that user may be running or follow.
func (in *Instance) Release() RV {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.users == 0 {
		panic("ck: Release of an Instance that nobody uses")
	}
	in.users--
	if in.users > 0 {
		return ok
	}
	ours := in.ours
	in.ours, in.broken = false, false
	if !ours {
		return ok
	}
	return in.Finalize()
}

// Generation returns the number that Acquire returned, or the later one after a Restart.
func (in *Instance) Generation() uint64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.generation
}

// Ours reports whether the module was initialised here, and not by somebody else.
func (in *Instance) Ours() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.ours || in.broken
}

// Users returns the number of users.
func (in *Instance) Users() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.users
}
