package cryptoki

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cardoki/cardoki/internal/ck"
)

// streamChunk is how many bytes one call into the module gets of a stream.
const streamChunk = 64 << 10

// maxHeldBack bounds what a module may hand out at once, as some do that keep back all
// the plaintext until its tag was checked.
const maxHeldBack = 1 << 30

// errStreamOver is returned by a stream that was closed, or had an error.
var errStreamOver = errors.New("cryptoki: the stream is at its end")

// A stream is an operation in parts. It occupies its session from its begin to its end;
// when it does not come to that, the session is closed, since the operation would stay
// active in it.
type stream struct {
	s      *Session
	ctx    context.Context // of all calls: the interfaces of package io have none
	update func(*Session)
	final  func(*Session)
	public bool  // what comes out is no secret, and need not be wiped
	err    error // why it is over
}

// start begins an operation by init.
func (s *Session) start(ctx context.Context, m Mechanism, key Object, init, update, final func(*Session)) (*stream, error) {
	if err := s.check(key); err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	s.setMechanism(m)
	s.object = key.handle
	if err := s.run(ctx, init); err != nil {
		return nil, err
	}
	res := s.res
	s.end()
	if res.RV != ck.RV(CKR_OK) {
		return nil, s.err(res.Step.String(), res.RV)
	}
	return &stream{s: s, ctx: ctx, update: update, final: final}, nil
}

// call makes one call with input and room for so many bytes, and gives what comes out to
// sink. When the module wants more room the call is made again.
func (st *stream) call(call func(*Session), input []byte, room int, sink func([]byte) error) error {
	if st.err != nil {
		return st.err
	}
	s := st.s
	if err := s.begin(st.ctx); err != nil {
		return st.fail(err)
	}
	straight := st.ctx.Done() == nil // the call has the caller's own slice
	for again := false; ; again = true {
		buf := s.in
		if straight {
			s.in = input
		} else {
			s.setInput(input)
		}
		s.out = slices.Grow(s.out[:0], max(1, room))[:room]
		err := s.run(st.ctx, call)
		if straight {
			s.in = buf
		}
		if err != nil {
			st.err = err
			return err
		}
		if s.res.RV == ck.RV(CKR_BUFFER_TOO_SMALL) && !again && s.res.N > uint(room) && s.res.N <= maxHeldBack {
			room = int(s.res.N)
			continue
		}
		break
	}
	res := s.res
	var sinkErr error
	if res.RV == ck.RV(CKR_OK) && sink != nil {
		sinkErr = sink(s.out[:res.N])
	}
	if !straight {
		clear(s.in)
	}
	if !st.public {
		clear(s.out)
	}
	if wrong := RV(res.RV); wrong == CKR_SIGNATURE_INVALID || wrong == CKR_SIGNATURE_LEN_RANGE {
		s.end() // the operation is at its end
		st.err = s.err(res.Step.String(), res.RV)
		return st.err
	}
	if res.RV != ck.RV(CKR_OK) || sinkErr != nil {
		s.retire()
		st.err = sinkErr
		if res.RV != ck.RV(CKR_OK) {
			st.err = s.err(res.Step.String(), res.RV)
		}
		return st.err
	}
	s.end()
	return nil
}

// fail ends the stream without its final call.
func (st *stream) fail(err error) error {
	st.err = err
	st.s.Close()
	return err
}

// abandon closes the session, unless the stream came to its end.
func (st *stream) abandon() {
	if st.err == nil {
		st.fail(errStreamOver)
	}
}

// write gives p to the module in pieces.
func (st *stream) write(p []byte, sink func([]byte) error) (n int, err error) {
	for n < len(p) {
		piece := p[n:min(len(p), n+streamChunk)]
		room := 0
		if sink != nil {
			room = len(piece) + 64 // a block and a tag that were held back
		}
		if err := st.call(st.update, piece, room, sink); err != nil {
			return n, err
		}
		n += len(piece)
	}
	return n, nil
}

// A CryptWriter encrypts or decrypts what is written to it, and writes the result to
// another writer. It is used by one goroutine at a time, and ends with Close. While it
// lasts its session does nothing else.
type CryptWriter struct {
	*stream
	w io.Writer
}

// EncryptTo returns a writer that encrypts with a key and writes the ciphertext to w. ctx
// is that of all its calls into the module. A writer that is not closed, or had an error,
// costs the session.
func (s *Session) EncryptTo(ctx context.Context, w io.Writer, m Mechanism, key Object) (*CryptWriter, error) {
	c, err := s.crypt(ctx, w, m, key, (*Session).callEncryptInit, (*Session).callEncryptUpdate, (*Session).callEncryptFinal)
	if err == nil {
		c.public = true
	}
	return c, err
}

// DecryptTo returns a writer that decrypts with a key and writes the plaintext to w, as
// [Session.EncryptTo] does. With a mechanism that authenticates, some modules write
// plaintext before they have seen the tag: what w got is true only when Close returns nil.
func (s *Session) DecryptTo(ctx context.Context, w io.Writer, m Mechanism, key Object) (*CryptWriter, error) {
	return s.crypt(ctx, w, m, key, (*Session).callDecryptInit, (*Session).callDecryptUpdate, (*Session).callDecryptFinal)
}

func (s *Session) crypt(ctx context.Context, w io.Writer, m Mechanism, key Object, init, update, final func(*Session)) (*CryptWriter, error) {
	st, err := s.start(ctx, m, key, init, update, final)
	if err != nil {
		return nil, err
	}
	return &CryptWriter{stream: st, w: w}, nil
}

// emit writes to w what the module gave.
func (c *CryptWriter) emit(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	_, err := c.w.Write(b)
	return err
}

// Write implements [io.Writer].
func (c *CryptWriter) Write(p []byte) (int, error) { return c.write(p, c.emit) }

// Close ends the operation, and writes what was held back. A second Close returns what
// ended the writer, or nil.
func (c *CryptWriter) Close() error {
	if c.err != nil {
		if c.err == errStreamOver {
			return nil
		}
		return c.err
	}
	if err := c.call(c.final, nil, 4096, c.emit); err != nil {
		return err
	}
	c.err = errStreamOver
	return nil
}

// A Summer takes data and returns its digest, signature or MAC. It is used by one
// goroutine at a time, and ends with Sum. While it lasts its session does nothing else.
type Summer struct{ *stream }

// Digester returns a Summer for a digest. ctx is that of all its calls. One whose Sum is not
// called costs the session.
func (s *Session) Digester(ctx context.Context, m Mechanism) (*Summer, error) {
	return s.summer(ctx, m, Object{stamp: s.stamp}, (*Session).callDigestInit, (*Session).callDigestUpdate, (*Session).callDigestFinal)
}

// SignWriter returns a Summer for a signature or MAC with a key, as [Session.Digester]
// does.
func (s *Session) SignWriter(ctx context.Context, m Mechanism, key Object) (*Summer, error) {
	return s.summer(ctx, m, key, (*Session).callSignInit, (*Session).callSignUpdate, (*Session).callSignFinal)
}

func (s *Session) summer(ctx context.Context, m Mechanism, key Object, init, update, final func(*Session)) (*Summer, error) {
	st, err := s.start(ctx, m, key, init, update, final)
	if err != nil {
		return nil, err
	}
	return &Summer{st}, nil
}

// Write implements [io.Writer].
func (m *Summer) Write(p []byte) (int, error) { return m.write(p, nil) }

// Sum ends the operation and appends its result, of at most maxLength bytes, to dst.
func (m *Summer) Sum(dst []byte, maxLength int) ([]byte, error) {
	out := dst
	err := m.call(m.final, nil, maxLength, func(b []byte) error {
		if len(b) > maxLength {
			return fmt.Errorf("cryptoki: a result of %d bytes, more than %d", len(b), maxLength)
		}
		out = append(out, b...)
		return nil
	})
	if err != nil {
		return dst, err
	}
	m.err = errStreamOver
	return out, nil
}

// Close gives a Summer up whose Sum was not called. Its session is then closed.
func (m *Summer) Close() error {
	m.abandon()
	return nil
}

// A Verifier takes data and compares its signature or MAC. It is used as a [Summer] is.
type Verifier struct{ *stream }

// VerifyWriter returns a Verifier with a key.
func (s *Session) VerifyWriter(ctx context.Context, m Mechanism, key Object) (*Verifier, error) {
	st, err := s.start(ctx, m, key, (*Session).callVerifyInit, (*Session).callVerifyUpdate, (*Session).callVerifyFinal)
	if err != nil {
		return nil, err
	}
	return &Verifier{st}, nil
}

// Write implements [io.Writer].
func (v *Verifier) Write(p []byte) (int, error) { return v.write(p, nil) }

// Verify ends the operation. A wrong signature is [ErrSignature].
func (v *Verifier) Verify(signature []byte) error {
	err := v.call(v.final, signature, 0, nil)
	if errors.Is(err, CKR_SIGNATURE_INVALID) || errors.Is(err, CKR_SIGNATURE_LEN_RANGE) {
		return ErrSignature
	}
	if err == nil {
		v.err = errStreamOver
	}
	return err
}

// Close gives a Verifier up whose Verify was not called. Its session is then closed.
func (v *Verifier) Close() error {
	v.abandon()
	return nil
}

func (s *Session) step(rv ck.RV, f ck.Function) { s.res = ck.Result{RV: rv, Step: f} }

func (s *Session) callEncryptInit() {
	s.step(s.fl.EncryptInit(s.handle, &s.mech, s.object), ck.EncryptInit)
}
func (s *Session) callEncryptUpdate() { s.res = s.fl.EncryptUpdate(s.handle, s.in, s.out) }
func (s *Session) callEncryptFinal()  { s.res = s.fl.EncryptFinal(s.handle, s.out) }
func (s *Session) callDecryptInit() {
	s.step(s.fl.DecryptInit(s.handle, &s.mech, s.object), ck.DecryptInit)
}
func (s *Session) callDecryptUpdate() { s.res = s.fl.DecryptUpdate(s.handle, s.in, s.out) }
func (s *Session) callDecryptFinal()  { s.res = s.fl.DecryptFinal(s.handle, s.out) }
func (s *Session) callDigestInit()    { s.step(s.fl.DigestInit(s.handle, &s.mech), ck.DigestInit) }
func (s *Session) callDigestUpdate()  { s.step(s.fl.DigestUpdate(s.handle, s.in), ck.DigestUpdate) }
func (s *Session) callDigestFinal()   { s.res = s.fl.DigestFinal(s.handle, s.out) }
func (s *Session) callSignInit() {
	s.step(s.fl.SignInit(s.handle, &s.mech, s.object), ck.SignInit)
}
func (s *Session) callSignUpdate() { s.step(s.fl.SignUpdate(s.handle, s.in), ck.SignUpdate) }
func (s *Session) callSignFinal()  { s.res = s.fl.SignFinal(s.handle, s.out) }
func (s *Session) callVerifyInit() {
	s.step(s.fl.VerifyInit(s.handle, &s.mech, s.object), ck.VerifyInit)
}
func (s *Session) callVerifyUpdate() { s.step(s.fl.VerifyUpdate(s.handle, s.in), ck.VerifyUpdate) }
func (s *Session) callVerifyFinal()  { s.step(s.fl.VerifyFinal(s.handle, s.in), ck.VerifyFinal) }
