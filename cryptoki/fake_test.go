package cryptoki

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"math/big"
	"sync"
	"testing"

	"github.com/cardoki/cardoki/internal/ck"
)

// A fakeModule is a PKCS#11 module in Go that misbehaves as a test wants. It has one
// token with one P-256 key, and notes what no module must ever see.
type fakeModule struct {
	ck.Unimplemented
	t   testing.TB
	key *ecdsa.PrivateKey

	mu         sync.Mutex
	foreign    bool // somebody else has initialised it
	ready      bool
	finalized  int
	next       uint
	sessions   map[uint]bool // and whether a call is running in it
	active     map[uint]bool // sessions with a signature that was not ended
	most       int           // sessions open at the same time
	loggedIn   bool
	pad        bool // the PIN is entered at the token
	logins     int
	signs      int
	flags      Flags
	mechanisms []uint

	// What a call returns in place of what it does.
	login, open, sign, info ck.RV
	back                    int           // when OpenSession has returned it so often, nothing of that any more
	hang                    chan struct{} // Sign, Login and OpenSession wait for it, unless it is nil
	openAnyway              bool          // OpenSession does not wait
	hanging                 chan struct{} // told of each wait
	closing                 chan struct{} // CloseSession waits for it, unless it is nil
	signature               func(rs []byte) []byte
}

const fakeSlot, fakePrivate, fakePublic = 7, 1001, 1002

func newFake(t testing.TB) *fakeModule {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &fakeModule{
		t: t, key: key, sessions: map[uint]bool{}, active: map[uint]bool{}, hanging: make(chan struct{}, 100),
		flags:      CKF_TOKEN_INITIALIZED | CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED,
		mechanisms: []uint{uint(CKM_ECDSA)},
	}
}

// start opens a Module of the fake and a pool with its token.
func (f *fakeModule) start(opts *PoolOptions) (*Module, *Pool) {
	f.t.Helper()
	m, err := newModule(ck.NewInstance(f), "fake", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	slot, err := m.FindToken("fake")
	if err != nil {
		f.t.Fatal(err)
	}
	return m, slot.NewPool(opts)
}

// enter notes that a call is running in a session.
func (f *fakeModule) enter(session uint) (leave func(), rv ck.RV) {
	f.mu.Lock()
	defer f.mu.Unlock()
	running, ok := f.sessions[session]
	switch {
	case !f.ready:
		f.t.Error("a call into a module that is not initialised")
		return nil, ck.RV(CKR_CRYPTOKI_NOT_INITIALIZED)
	case !ok:
		return nil, ck.RV(CKR_SESSION_HANDLE_INVALID)
	case running:
		f.t.Error("two calls in one session at the same time")
	}
	f.sessions[session] = true
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if _, ok := f.sessions[session]; ok {
			f.sessions[session] = false
		}
	}, 0
}

func (f *fakeModule) wait() {
	f.mu.Lock()
	hang := f.hang
	f.mu.Unlock()
	if hang != nil {
		f.hanging <- struct{}{}
		<-hang
	}
}

// block makes calls hang until the returned function is called.
func (f *fakeModule) block() (release func()) {
	hang := make(chan struct{})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hang = hang
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.hang = nil
		close(hang)
	}
}

func (f *fakeModule) Initialize() ck.RV {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ready = true
	if f.foreign {
		return ck.RV(CKR_CRYPTOKI_ALREADY_INITIALIZED)
	}
	return 0
}

func (f *fakeModule) Finalize() ck.RV {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, running := range f.sessions {
		if running {
			f.t.Error("C_Finalize under a running call")
		}
	}
	f.ready = false
	f.finalized++
	return 0
}

func (f *fakeModule) GetInfo() (ck.Info, ck.RV)             { return ck.Info{}, 0 }
func (f *fakeModule) GetSlotList(bool) ([]uint, ck.RV)      { return []uint{fakeSlot}, 0 }
func (f *fakeModule) GetSlotInfo(uint) (ck.SlotInfo, ck.RV) { return ck.SlotInfo{}, 0 }
func (f *fakeModule) GetMechanismInfo(uint, uint) (ck.MechanismInfo, ck.RV) {
	return ck.MechanismInfo{}, 0
}

func (f *fakeModule) GetTokenInfo(uint) (ck.TokenInfo, ck.RV) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return ck.TokenInfo{Label: "fake", Serial: "1", Flags: uint(f.flags)}, 0
}

func (f *fakeModule) GetMechanismList(uint) ([]uint, ck.RV) { return f.mechanisms, 0 }

func (f *fakeModule) OpenSession(slot, flags uint) (uint, ck.RV) {
	f.mu.Lock()
	anyway := f.openAnyway
	f.mu.Unlock()
	if !anyway {
		f.wait()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if rv := f.open; rv != 0 {
		if f.back--; f.back == 0 {
			f.open, f.sign, f.info = 0, 0, 0
		}
		return 0, rv
	}
	f.next++
	f.sessions[f.next] = false
	f.most = max(f.most, len(f.sessions))
	return f.next, 0
}

func (f *fakeModule) CloseSession(session uint) ck.RV {
	f.mu.Lock()
	closing := f.closing
	f.mu.Unlock()
	if closing != nil {
		<-closing
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if running, ok := f.sessions[session]; !ok {
		return ck.RV(CKR_SESSION_HANDLE_INVALID)
	} else if running {
		f.t.Error("C_CloseSession under a running call")
	}
	delete(f.sessions, session)
	if len(f.sessions) == 0 {
		f.loggedIn = false
	}
	return 0
}

// count returns the number of open sessions.
func (f *fakeModule) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sessions)
}

// finalizations returns how often the module was finalised.
func (f *fakeModule) finalizations() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.finalized
}

// lose closes all sessions behind our back, as a token that is taken out does.
func (f *fakeModule) lose() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.sessions)
	f.loggedIn = false
}

func (f *fakeModule) GetSessionInfo(session uint) (ck.SessionInfo, ck.RV) {
	leave, rv := f.enter(session)
	if rv != 0 {
		return ck.SessionInfo{}, rv
	}
	defer leave()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.info != 0 {
		return ck.SessionInfo{}, f.info
	}
	state := CKS_RO_PUBLIC_SESSION
	if f.loggedIn {
		state = CKS_RO_USER_FUNCTIONS
	}
	return ck.SessionInfo{Slot: fakeSlot, State: uint(state)}, 0
}

func (f *fakeModule) Login(session, user uint, pin []byte) ck.RV {
	leave, rv := f.enter(session)
	if rv != 0 {
		return rv
	}
	defer leave()
	f.wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logins++
	if f.login != 0 {
		return f.login
	}
	if f.loggedIn {
		return ck.RV(CKR_USER_ALREADY_LOGGED_IN)
	}
	if f.pad != (pin == nil) || !f.pad && !bytes.Equal(pin, []byte("1234")) {
		f.flags |= CKF_USER_PIN_COUNT_LOW
		return ck.RV(CKR_PIN_INCORRECT)
	}
	f.loggedIn = true
	return 0
}

func (f *fakeModule) Logout(session uint) ck.RV { f.t.Error("somebody was logged out"); return 0 }

func (f *fakeModule) FindObjects(session uint, t *ck.Template, objects []uint) ck.Result {
	leave, rv := f.enter(session)
	if rv != 0 {
		return ck.Result{RV: rv}
	}
	defer leave()
	for i := range t.Len() {
		if v, _ := t.Value(i); t.Type(i) == uint(CKA_CLASS) {
			class, _ := ck.Ulong(v)
			switch ObjectClass(class) {
			case CKO_PRIVATE_KEY:
				objects[0] = fakePrivate
				return ck.Result{N: 1}
			case CKO_PUBLIC_KEY:
				objects[0] = fakePublic
				return ck.Result{N: 1}
			}
		}
	}
	return ck.Result{}
}

func (f *fakeModule) GetAttributeValue(session, object uint, t *ck.Template) ck.RV {
	leave, rv := f.enter(session)
	if rv != 0 {
		return rv
	}
	defer leave()
	f.mu.Lock()
	point, _ := f.key.PublicKey.Bytes()
	f.mu.Unlock()
	for i := range t.Len() {
		switch AttributeType(t.Type(i)) {
		case CKA_KEY_TYPE:
			t.Answer(i, ck.AppendUlong(nil, uint(CKK_EC)))
		case CKA_ID:
			t.Answer(i, []byte{1})
		case CKA_LABEL:
			t.Answer(i, []byte("key"))
		case CKA_EC_PARAMS:
			t.Answer(i, []byte("\x13\x09secp256r1"))
		case CKA_EC_POINT:
			if object == fakePublic {
				t.Answer(i, point)
				continue
			}
			fallthrough
		default:
			t.Answer(i, nil)
			rv = ck.RV(CKR_ATTRIBUTE_TYPE_INVALID)
		}
	}
	return rv
}

func (f *fakeModule) Sign(session uint, m *ck.Mechanism, key uint, in, out []byte) ck.Result {
	leave, rv := f.enter(session)
	if rv != 0 {
		return ck.Result{RV: rv, Step: ck.SignInit}
	}
	defer leave()
	f.wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.signs++
	if f.active[session] {
		return ck.Result{RV: ck.RV(CKR_OPERATION_ACTIVE), Step: ck.SignInit}
	}
	if f.sign != 0 {
		f.active[session] = RV(f.sign) == CKR_BUFFER_TOO_SMALL // which ends no operation
		return ck.Result{RV: f.sign, Step: ck.Sign}
	}
	if len(in) > 32 {
		return ck.Result{RV: ck.RV(CKR_DATA_LEN_RANGE), Step: ck.Sign}
	}
	r, s, err := ecdsa.Sign(rand.Reader, f.key, in)
	if err != nil {
		f.t.Error(err)
	}
	rs := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	if f.signature != nil {
		rs = f.signature(rs)
	}
	return ck.Result{N: uint(copy(out, rs))}
}

func (f *fakeModule) CreateObject(uint, *ck.Template) ck.Result { panic("not used") }
func (f *fakeModule) DestroyObject(uint, uint) ck.RV            { panic("not used") }
func (f *fakeModule) GenerateKeyPair(uint, *ck.Mechanism, *ck.Template, *ck.Template) (uint, uint, ck.RV) {
	panic("not used")
}

// DeriveKey wants a login for each use, as tokens do of such keys.
func (f *fakeModule) DeriveKey(uint, *ck.Mechanism, uint, *ck.Template) ck.Result {
	return ck.Result{RV: ck.RV(CKR_USER_NOT_LOGGED_IN), Step: ck.DeriveKey}
}
func (f *fakeModule) Decrypt(uint, *ck.Mechanism, uint, []byte, []byte) ck.Result { panic("not used") }
func (f *fakeModule) GenerateRandom(uint, []byte) ck.RV                           { return 0 }

var fakePIN = FixedPIN([]byte("1234"))

// fakeKey returns the key of the fake.
func fakeKey(t testing.TB, p *Pool) *Key {
	t.Helper()
	k, err := p.Key(context.Background(), KeyQuery{Label: "key"})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// one is the number 1 as half of an ECDSA signature.
var one = new(big.Int).SetInt64(1).FillBytes(make([]byte, 32))
