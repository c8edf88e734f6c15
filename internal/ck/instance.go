package ck

import (
	"errors"
	"fmt"
	"sync"
)

// ErrNotModule is returned by Open for a library that is not a PKCS#11 module.
var ErrNotModule = errors.New("this library is not a PKCS#11 module: it has no C_GetFunctionList")

// ErrNoCgo is returned by Open in a program that was built without cgo, or for a
// platform where modules cannot be loaded yet. It Is errors.ErrUnsupported.
var ErrNoCgo = fmt.Errorf("loading a PKCS#11 module needs cgo on a Unix system; build with CGO_ENABLED=1 and a C compiler: %w", errors.ErrUnsupported)

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
	generation uint64
}

// NewInstance returns an Instance for a module that is not loaded with Open.
func NewInstance(fl FunctionList) *Instance { return &Instance{FunctionList: fl} }

// Acquire adds a user and returns the generation: a number that is another one
// after each C_Initialize. Handles of one generation mean nothing in another.
func (in *Instance) Acquire() (generation uint64, rv RV) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.users == 0 {
		switch rv := in.Initialize(); rv {
		case ok:
			in.ours = true
		case alreadyInitialized:
			in.ours = false
		default:
			return 0, rv
		}
		in.generation++
	}
	in.users++
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
	if in.users > 0 || !in.ours {
		return ok
	}
	in.ours = false
	return in.Finalize()
}

// Users returns the number of users, for tests.
func (in *Instance) Users() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.users
}
