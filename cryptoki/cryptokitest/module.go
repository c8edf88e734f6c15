package cryptokitest

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// The PINs of a token for which Options sets none.
const (
	DefaultPIN   = "1234"
	DefaultSOPIN = "12345678"
)

// Options says what a module is like. The zero value is a token with a label, the default PINs and
// no objects.
type Options struct {
	Label, Serial, Manufacturer, Model string // of the token
	PIN, SOPIN                         string
	Tries                              int  // wrong PINs in a row until it is locked; 0: 3
	Slot                               uint // number of the slot; 0: 1
	TokenFlags                         uint // further flags of the token, CKF_...
	Uninitialized                      bool // the token was never initialised
	MaxSessions                        int  // 0: no limit

	// Interface is what C_GetInterface offers at most: "3.2" (or empty), "3.0", "2.40", or
	// "none" for a module that has C_GetFunctionList alone.
	Interface string

	Objects []Object
	Keys    []Key

	// Peculiarities of real modules.
	PINPad        bool     // the PIN is entered at the token: no PIN in C_Login is the right one
	OwnNonce      OwnNonce // the token makes the nonce of CKM_AES_GCM
	WholeTemplate bool     // C_GetAttributeValue gives nothing when one attribute is not there
	ExactSizes    bool     // numbers are given only into 8 bytes, no more

	// Null makes a module whose functions all return CKR_OK and do nothing. Everything
	// else is ignored then but Interface.
	Null bool
}

// OwnNonce says who makes the nonce of CKM_AES_GCM. Where the token does, it wants
// one of 12 zero bytes and writes its own in that place.
type OwnNonce int

// Who makes the nonce.
const (
	CallersNonce OwnNonce = iota
	NonceAtInit           // the token, in C_EncryptInit
	NonceAtEnd            // the token, in C_Encrypt or C_EncryptFinal
)

// A Module is a module with its control file.
type Module struct {
	path string
	file *os.File

	mu     sync.Mutex
	faults int
}

// New builds a module in dir, which must be there, as t.TempDir() is, and stay there
// while the module is used.
func New(dir string, o *Options) (*Module, error) {
	path, err := Build(dir)
	if err != nil {
		return nil, err
	}
	return Start(path, dir, o)
}

// Start makes one more module of a library that Build made: a copy in dir, so that
// it is another library for the loader, with a control file. o may be nil.
func Start(library, dir string, o *Options) (*Module, error) {
	if o == nil {
		o = &Options{}
	}
	b, err := os.ReadFile(library)
	if err != nil {
		return nil, fmt.Errorf("cryptokitest: %w", err)
	}
	copied, err := os.CreateTemp(dir, "module*.so")
	if err != nil {
		return nil, fmt.Errorf("cryptokitest: %w", err)
	}
	path, err := filepath.Abs(copied.Name())
	if err == nil {
		_, err = copied.Write(b)
	}
	if closing := copied.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return nil, fmt.Errorf("cryptokitest: %w", err)
	}
	if err := writeControl(path+".control", o); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path+".control", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("cryptokitest: %w", err)
	}
	return &Module{path: path, file: file}, nil
}

// Path returns the path of the library.
func (m *Module) Path() string { return m.path }

// Close ends the control of the module: calls that hang go on, and faults are over.
// The library itself stays loaded where it is. No other method may follow.
func (m *Module) Close() error {
	if err := m.SetFaults(); err != nil {
		return err
	}
	return m.file.Close()
}

// A Fault is what becomes of calls. What is set is done in the order of the fields.
type Fault struct {
	Function string // such as "C_Sign"; empty for every function
	Skip     int    // so many calls pass first
	Times    int    // so many calls are concerned then; 0: all

	Sleep time.Duration // before the call
	Hang  bool          // wait until the fault is taken away or Release is called

	// Before the call is carried out:
	LoseSessions bool // all sessions are closed
	SwapKeys     bool // as Module.SwapKeys
	LogOut       bool
	Remove       bool // the token is taken out

	// RV is returned in place of carrying the call out, such as 0x30 for
	// CKR_DEVICE_ERROR. With Late it is returned after it was carried out.
	RV   uint
	Late bool

	// After it was carried out with success:
	Corrupt bool // a bit of the output is wrong
	Length  int  // is added to the length that is said, of output or of the last attribute
}

// SetFaults replaces all faults, of which there are at most 64. Without any, the module does what it
// should again. Calls are counted from here.
func (m *Module) SetFaults(faults ...Fault) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(faults) > maxRules {
		return fmt.Errorf("cryptokitest: %d faults; at most %d are possible", len(faults), maxRules)
	}
	var places []uint64
	for _, f := range faults {
		at := uint64(0)
		if f.Function != "" {
			i, err := place(f.Function)
			if err != nil {
				return err
			}
			at = uint64(i) + 1
		}
		places = append(places, at)
	}
	m.put(8*setRules, 0)
	for i := range m.faults {
		m.put(rules+int64(i)*ruleSize, 0)
	}
	for i, f := range faults {
		var what uint64
		for bit, set := range []bool{f.RV != 0, f.Late && f.RV != 0, f.Sleep > 0, f.Hang, f.Length != 0, f.Corrupt, f.LoseSessions, f.SwapKeys, f.LogOut, f.Remove} {
			if set {
				what |= 1 << bit
			}
		}
		// active, which is the first, is written last.
		numbers := []uint64{places[i], uint64(f.Skip), uint64(f.Times), 0, uint64(f.RV), what, uint64(f.Sleep), uint64(f.Length), 0}
		var b []byte
		for _, x := range numbers {
			b = binary.NativeEndian.AppendUint64(b, x)
		}
		at := rules + int64(i)*ruleSize
		if _, err := m.file.WriteAt(b, at+8); err != nil {
			return fmt.Errorf("cryptokitest: %w", err)
		}
		m.put(at, 1)
	}
	m.faults = len(faults)
	m.put(8*setRules, uint64(len(faults)))
	return nil
}

// Release lets calls go on that hang, and those that would from now on. The faults
// stay otherwise.
func (m *Module) Release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.faults {
		m.put(rules+int64(i)*ruleSize+9*8, 1)
	}
}

// add adds to a number that only this side writes.
func (m *Module) add(i int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(8*i, m.setting(i)+1)
}

// LoseSessions closes all sessions and so logs out, at the next call.
func (m *Module) LoseSessions() { m.add(setLose) }

// SwapKeys gives each private and each secret key the handle of another one, at
// the next call: what happens when somebody else finalises and initialises the module.
// With one key of a class nothing changes.
func (m *Module) SwapKeys() { m.add(setSwap) }

// LogOut logs out at the next call, as somebody else or an idle timer does.
func (m *Module) LogOut() { m.add(setLogout) }

// Event makes an event for C_WaitForSlotEvent.
func (m *Module) Event() { m.add(setEvents) }

// Remove takes the token out, which closes all sessions, and makes an event.
func (m *Module) Remove() {
	m.put(8*setAbsent, 1)
	m.LoseSessions()
	m.Event()
}

// Insert puts the token back and makes an event. slot is the number that its slot has from now on;
// 0 leaves it what it was.
func (m *Module) Insert(slot uint) {
	if slot != 0 {
		m.put(8*setSlot, uint64(slot))
	}
	m.put(8*setAbsent, 0)
	m.Event()
}

// SetTries sets how many wrong PINs are left until the user's PIN is locked.
func (m *Module) SetTries(left int) { m.put(8*setLeft, uint64(left)) }

// Tries returns how many wrong PINs are left until the user's PIN is locked.
func (m *Module) Tries() int { return int(m.setting(setLeft)) }

// SetMaxSessions limits the number of sessions; 0 is no limit.
func (m *Module) SetMaxSessions(n int) { m.put(8*setMaxSessions, uint64(n)) }

// SetTokenFlags replaces the flags of the token, but for those of the PINs' counters.
func (m *Module) SetTokenFlags(flags uint) { m.put(8*setTokenFlags, uint64(flags)) }

// TokenFlags returns the flags of the token without those of the PINs' counters.
func (m *Module) TokenFlags() uint { return uint(m.setting(setTokenFlags)) }

// Calls returns how often a function such as "C_Sign" was called, whatever came of
// it. It panics if there is no such function.
func (m *Module) Calls(function string) int {
	i, err := place(function)
	if err != nil {
		panic(err)
	}
	return int(m.get(counters + 8*int64(i)))
}

// Logins returns how often a PIN was tried: each right one, wrong one, and one that
// came too late.
func (m *Module) Logins() int { return int(m.setting(setLogins)) }

// LoggedIn reports whether somebody is logged in.
func (m *Module) LoggedIn() bool { return m.setting(setLoggedIn) != 0 }

// Sessions returns the number of open sessions.
func (m *Module) Sessions() int { return int(m.setting(setSessions)) }

// MostSessions returns the greatest number of sessions that were open at the same time.
func (m *Module) MostSessions() int { return int(m.setting(setMost)) }

// Hanging returns the number of calls that hang now.
func (m *Module) Hanging() int { return int(m.setting(setHanging)) }

// Initialized returns how often C_Initialize has succeeded.
func (m *Module) Initialized() int { return int(m.setting(setInitialized)) }

// Reserved returns the text that came with the last C_Initialize in pReserved, at
// most 248 bytes of it.
func (m *Module) Reserved() string { return m.text(textReserved) }

// PIN returns the user's PIN as it is now.
func (m *Module) PIN() string { return m.text(textPIN) }

func (m *Module) text(i int64) string {
	at := texts + i*textSize
	b := make([]byte, min(m.get(at), textSize-8))
	if _, err := m.file.ReadAt(b, at+8); err != nil {
		panic("cryptokitest: the control file cannot be read: " + err.Error())
	}
	return strings.Clone(string(b))
}

// Overlaps returns how often a call came into a session in which another was
// running, which crashes real modules.
func (m *Module) Overlaps() int { return int(m.setting(setOverlaps)) }

// Outside returns how many calls came when the module was not initialised, which crash
// real modules.
func (m *Module) Outside() int { return int(m.setting(setOutside)) }

// Heap returns the bytes in use on the C heap of the process at the last C_GetInfo,
// where the C library is glibc 2.33 or newer; elsewhere 0.
func (m *Module) Heap() int { return int(m.setting(setHeap)) }
