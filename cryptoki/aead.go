package cryptoki

import (
	"bytes"
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"slices"

	"github.com/cardoki/cardoki/internal/ck"
)

// ErrOpen is returned for a message that was not sealed with this key, nonce and
// additional data. It says no more, as that would help those who forge messages.
var ErrOpen = errors.New("cryptoki: the message is not authentic")

// AEADOptions says how messages are sealed. The zero value, and a nil pointer, mean AES-GCM with
// nonces of 12 bytes and tags of 16.
type AEADOptions struct {
	// Mechanism is CKM_AES_GCM, CKM_AES_CCM or CKM_CHACHA20_POLY1305; 0 means the one
	// that goes with the type of the key.
	Mechanism MechanismType
	// NonceSize is the length of the nonce in bytes; 0 means 12.
	NonceSize int
	// TagSize is the length of the tag in bytes; 0 means 16.
	TagSize int
	// TokenNonce lets the token make the nonces of CKM_AES_GCM, as some HSMs insist.
	// Sealing takes no nonce then, and puts the token's before the ciphertext.
	TokenNonce bool
}

// An AEAD seals messages with a key in a token. It is safe for concurrent use.
//
// A nonce must never be used twice with the same key: the token does not see to that,
// unless it makes the nonce itself.
type AEAD struct {
	key  *SecretKey
	opts AEADOptions
}

// AEAD returns the key as an AEAD. opts may be nil.
func (k *SecretKey) AEAD(opts *AEADOptions) (*AEAD, error) {
	o, err := completeAEAD(opts, k.is.keyType)
	if err != nil {
		return nil, err
	}
	return &AEAD{k, o}, nil
}

func completeAEAD(opts *AEADOptions, t KeyType) (AEADOptions, error) {
	var o AEADOptions
	if opts != nil {
		o = *opts
	}
	if o.Mechanism == 0 {
		o.Mechanism = CKM_AES_GCM
		if t == CKK_CHACHA20 {
			o.Mechanism = CKM_CHACHA20_POLY1305
		}
	}
	if o.NonceSize == 0 {
		o.NonceSize = 12
	}
	if o.TagSize == 0 {
		o.TagSize = 16
	}
	fits := o.NonceSize > 0 && o.NonceSize <= 256 && o.TagSize >= 4 && o.TagSize <= 16
	switch o.Mechanism {
	case CKM_AES_GCM:
	case CKM_AES_CCM:
		fits = fits && o.NonceSize >= 7 && o.NonceSize <= 13 && o.TagSize%2 == 0 && !o.TokenNonce
	case CKM_CHACHA20_POLY1305:
		fits = fits && o.TagSize == 16 && (o.NonceSize == 12 || o.NonceSize == 24) && !o.TokenNonce
	default:
		return o, fmt.Errorf("%w: %v as an AEAD", ErrUnsupported, o.Mechanism)
	}
	if !fits {
		return o, fmt.Errorf("%w: %v with a nonce of %d bytes, made by the token: %t, and a tag of %d", ErrUnsupported, o.Mechanism, o.NonceSize, o.TokenNonce, o.TagSize)
	}
	return o, nil
}

// mechanism returns the one for a message of n bytes of plaintext.
func (o *AEADOptions) mechanism(n int, nonce, aad []byte) Mechanism {
	switch o.Mechanism {
	case CKM_AES_CCM:
		return CCM(n, nonce, aad, o.TagSize)
	case CKM_CHACHA20_POLY1305:
		return ChaCha20Poly1305(nonce, aad)
	}
	return GCM(nonce, aad, o.TagSize)
}

// NonceSize returns the length of the nonces that AppendSeal and AppendOpen take: 0 if the token
// makes them.
func (a *AEAD) NonceSize() int {
	if a.opts.TokenNonce {
		return 0
	}
	return a.opts.NonceSize
}

// Overhead returns how many bytes a sealed message is longer than its plaintext.
func (a *AEAD) Overhead() int {
	if a.opts.TokenNonce {
		return a.opts.NonceSize + a.opts.TagSize
	}
	return a.opts.TagSize
}

func (a *AEAD) checkNonce(nonce []byte) error {
	if len(nonce) != a.NonceSize() {
		return fmt.Errorf("cryptoki: a nonce of %d bytes; it must have %d", len(nonce), a.NonceSize())
	}
	return nil
}

// AppendSeal seals plaintext, authenticates additionalData with it, and appends the
// ciphertext with its tag to dst, after the nonce if the token has made one.
func (a *AEAD) AppendSeal(ctx context.Context, dst, nonce, plaintext, additionalData []byte) ([]byte, error) {
	if err := a.checkNonce(nonce); err != nil {
		return dst, err
	}
	out := dst
	err := a.key.Do(ctx, func(s *Session, key Object) (err error) {
		if a.opts.TokenNonce {
			out, err = s.sealOwnNonce(ctx, dst, &a.opts, key, plaintext, additionalData)
			return err
		}
		out, err = s.AppendEncrypt(ctx, dst, a.opts.mechanism(len(plaintext), nonce, additionalData), key, plaintext, len(plaintext)+a.opts.TagSize)
		return err
	})
	if err != nil {
		return dst, err
	}
	if n := len(out) - len(dst); n != len(plaintext)+a.Overhead() {
		return dst, fmt.Errorf("cryptoki: the module gave a sealed message of %d bytes; it must have %d", n, len(plaintext)+a.Overhead())
	}
	return out, nil
}

// AppendOpen opens what AppendSeal gave, and appends the plaintext to dst. What is not
// authentic is [ErrOpen].
func (a *AEAD) AppendOpen(ctx context.Context, dst, nonce, sealed, additionalData []byte) ([]byte, error) {
	if err := a.checkNonce(nonce); err != nil {
		return dst, err
	}
	if len(sealed) < a.Overhead() {
		return dst, ErrOpen
	}
	if a.opts.TokenNonce {
		nonce, sealed = sealed[:a.opts.NonceSize], sealed[a.opts.NonceSize:]
	}
	out, n := dst, len(sealed)-a.opts.TagSize
	err := a.key.Do(ctx, func(s *Session, key Object) (err error) {
		// Room for the tag too: some modules want it for what they throw away.
		out, err = s.AppendDecrypt(ctx, dst, a.opts.mechanism(n, nonce, additionalData), key, sealed, len(sealed))
		return err
	})
	switch {
	case notAuthentic(err):
		return dst, ErrOpen
	case err != nil:
		return dst, err
	case len(out)-len(dst) != n:
		clear(out[len(dst):])
		return dst, fmt.Errorf("cryptoki: the module gave a plaintext of %d bytes; it must have %d", len(out)-len(dst), n)
	}
	return out, nil
}

// notAuthentic reports whether the token refused a message. Tokens also say so with
// general errors.
func notAuthentic(err error) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Function != "C_Decrypt" && e.Function != "C_DecryptMessage" {
		return false
	}
	switch e.RV {
	case CKR_AEAD_DECRYPT_FAILED, CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE, CKR_DATA_INVALID, CKR_DATA_LEN_RANGE,
		CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED, CKR_SIGNATURE_INVALID:
		return true
	}
	return false
}

// sealOwnNonce seals with a nonce that the token makes, and puts that before the ciphertext.
func (s *Session) sealOwnNonce(ctx context.Context, dst []byte, o *AEADOptions, key Object, plaintext, aad []byte) ([]byte, error) {
	if err := s.check(key); err != nil {
		return dst, err
	}
	if err := s.begin(ctx); err != nil {
		return dst, err
	}
	s.setInput(plaintext)
	s.out = slices.Grow(s.out[:0], len(plaintext)+o.TagSize)[:len(plaintext)+o.TagSize]
	s.setMechanism(GCM(make([]byte, o.NonceSize), aad, o.TagSize))
	s.object = key.handle
	if err := s.run(ctx, (*Session).callEncrypt); err != nil {
		return dst, err
	}
	res := s.res
	out := append(append(slices.Clone(dst), s.mech.Data...), s.out[:min(res.N, uint(len(s.out)))]...)
	made := !bytes.Equal(s.mech.Data, make([]byte, o.NonceSize))
	clear(s.in)
	clear(s.out)
	if res.RV == ck.RV(CKR_BUFFER_TOO_SMALL) || res.RV != ck.RV(CKR_OK) && res.Step == ck.Login {
		s.retire()
	} else {
		s.end()
	}
	switch {
	case res.RV != ck.RV(CKR_OK):
		return dst, s.err(res.Step.String(), res.RV)
	case !made:
		return dst, fmt.Errorf("%w: this token makes no nonce itself; leave AEADOptions.TokenNonce false", ErrUnsupported)
	}
	return out, nil
}

// Cipher returns a as a [cipher.AEAD], for code that knows nothing of tokens. ctx is that
// of all its calls. As that interface lets Seal return no error, it panics with the error of
// the token; call AppendSeal where there is a choice.
func (a *AEAD) Cipher(ctx context.Context) cipher.AEAD { return &tokenCipher{a, ctx} }

type tokenCipher struct {
	*AEAD
	ctx context.Context
}

// Seal implements [cipher.AEAD].
func (c *tokenCipher) Seal(dst, nonce, plaintext, additionalData []byte) []byte {
	out, err := c.AppendSeal(c.ctx, dst, nonce, plaintext, additionalData)
	if err != nil {
		panic(err)
	}
	return out
}

// Open implements [cipher.AEAD].
func (c *tokenCipher) Open(dst, nonce, ciphertext, additionalData []byte) ([]byte, error) {
	return c.AppendOpen(c.ctx, dst, nonce, ciphertext, additionalData)
}

// A MessageCipher seals or opens many messages with one key by the message functions of
// PKCS#11 3.0, which make one call a message. It is used by one goroutine at a time. Its
// session can do other things meanwhile, as far as the module allows.
type MessageCipher struct {
	s     *Session
	opts  AEADOptions
	open  bool // it opens, and does not seal
	begun bool
	mech  ck.Mechanism
	tag   []byte
	nonce []byte // of the message
}

// MessageSealer returns a MessageCipher that seals with the key. opts is as for
// [SecretKey.AEAD], and TokenNonce is not for here. Modules without the functions give an
// error that Is [errors.ErrUnsupported].
func (s *Session) MessageSealer(ctx context.Context, key Object, opts *AEADOptions) (*MessageCipher, error) {
	return s.messages(ctx, key, opts, false)
}

// MessageOpener returns a MessageCipher that opens with the key.
func (s *Session) MessageOpener(ctx context.Context, key Object, opts *AEADOptions) (*MessageCipher, error) {
	return s.messages(ctx, key, opts, true)
}

func (s *Session) messages(ctx context.Context, key Object, opts *AEADOptions, open bool) (*MessageCipher, error) {
	o, err := completeAEAD(opts, CKK_AES)
	if err != nil {
		return nil, err
	}
	c := &MessageCipher{s: s, opts: o, open: open, tag: make([]byte, o.TagSize)}
	c.mech = ck.Mechanism{Type: uint(o.Mechanism), B: uint(CKG_NO_GENERATE)}
	switch {
	case o.TokenNonce:
		return nil, fmt.Errorf("%w: nonces of the token for messages", ErrUnsupported)
	case o.Mechanism == CKM_AES_CCM:
		c.mech.Kind = ck.CCMMessage
	case o.Mechanism == CKM_CHACHA20_POLY1305:
		c.mech.Kind = ck.ChaCha20Message
	default:
		c.mech.Kind = ck.GCMMessage
	}
	if err := s.check(key); err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	s.mech = ck.Mechanism{Type: uint(o.Mechanism)}
	s.object = key.handle
	call := (*Session).callMessageEncryptInit
	if open {
		call = (*Session).callMessageDecryptInit
	}
	if err := s.run(ctx, call); err != nil {
		return nil, err
	}
	res := s.res
	s.end()
	if res.RV != ck.RV(CKR_OK) {
		return nil, s.err(res.Step.String(), res.RV)
	}
	c.begun = true
	return c, nil
}

func (s *Session) callMessageEncryptInit() {
	s.step(s.fl.MessageEncryptInit(s.handle, &s.mech, s.object), ck.MessageEncryptInit)
}

func (s *Session) callMessageDecryptInit() {
	s.step(s.fl.MessageDecryptInit(s.handle, &s.mech, s.object), ck.MessageDecryptInit)
}

// Append seals or opens message with nonce and appends the result to dst: the ciphertext with
// its tag, or the plaintext. What is not authentic is [ErrOpen]. With a context that
// cannot end it allocates only what dst needs.
func (c *MessageCipher) Append(ctx context.Context, dst, nonce, message, additionalData []byte) ([]byte, error) {
	o, s := &c.opts, c.s
	n := len(message)
	switch {
	case !c.begun:
		return dst, ErrClosed
	case len(nonce) != o.NonceSize:
		return dst, fmt.Errorf("cryptoki: a nonce of %d bytes; it must have %d", len(nonce), o.NonceSize)
	case c.open && n < o.TagSize:
		return dst, ErrOpen
	}
	if s.straight(ctx, dst, message) && !ck.Overlap(dst[len(dst):cap(dst)], additionalData) {
		return c.appendStraight(dst, nonce, message, additionalData)
	}
	if err := s.begin(ctx); err != nil {
		return dst, err
	}
	if c.open {
		n -= o.TagSize
		copy(c.tag, message[n:])
		message = message[:n]
	}
	s.setInput(message)
	s.in = s.in[:n]
	s.out = slices.Grow(s.out[:0], max(1, n))[:n]
	s.aad = append(s.aad[:0], additionalData...)
	nonceRoom, tagRoom := s.mech.Data, s.mech.Data2
	s.mech = c.mech
	s.mech.C = uint(n)
	s.mech.Data, s.mech.Data2 = append(nonceRoom[:0], nonce...), append(tagRoom[:0], c.tag...)
	call := (*Session).callEncryptMessage
	if c.open {
		call = (*Session).callDecryptMessage
	}
	if err := s.run(ctx, call); err != nil {
		c.begun = false
		return dst, err
	}
	res := s.res
	good := res.RV == ck.RV(CKR_OK) && res.N == uint(n)
	out := dst
	if good {
		if out = append(dst, s.out[:n]...); !c.open {
			out = append(out, s.mech.Data2...)
		}
	}
	clear(s.in)
	clear(s.out)
	s.end()
	switch {
	case good:
		return out, nil
	case res.RV == ck.RV(CKR_OK):
		return dst, fmt.Errorf("cryptoki: the module gave a message of %d bytes; it must have %d", res.N, n)
	}
	err := s.err(res.Step.String(), res.RV)
	if c.open && notAuthentic(err) {
		return dst, ErrOpen
	}
	return dst, err
}

// appendStraight is Append where the module may have the caller's own slices; see
// [Session.straight]. Only nonce and tag are copies where a module could write to them.
func (c *MessageCipher) appendStraight(dst, nonce, message, additionalData []byte) ([]byte, error) {
	s, size, n := c.s, c.opts.TagSize, len(message)
	if err := s.begin(context.Background()); err != nil {
		return dst, err
	}
	c.nonce = append(c.nonce[:0], nonce...)
	at, m := len(dst), &c.mech
	var res ck.Result
	var end int
	if c.open {
		n -= size
		copy(c.tag, message[n:])
		dst, end = slices.Grow(dst, n), at+n
		m.C, m.Data, m.Data2 = uint(n), c.nonce, c.tag
		res = s.m.in.DecryptMessage(s.handle, m, additionalData, message[:n], dst[at:at+n])
	} else {
		dst, end = slices.Grow(dst, n+size), at+n+size
		m.C, m.Data, m.Data2 = uint(n), c.nonce, dst[at+n:end]
		res = s.m.in.EncryptMessage(s.handle, m, additionalData, message, dst[at:at+n])
	}
	m.Data2 = nil
	s.end()
	if res.RV == ck.RV(CKR_OK) && res.N == uint(n) {
		return dst[:end], nil
	}
	clear(dst[at:end]) // plaintext that is not authentic is not left behind
	if res.RV == ck.RV(CKR_OK) {
		return dst[:at], fmt.Errorf("cryptoki: the module gave a message of %d bytes; it must have %d", res.N, n)
	}
	err := s.err(res.Step.String(), res.RV)
	if c.open && notAuthentic(err) {
		err = ErrOpen
	}
	return dst[:at], err
}

func (s *Session) callEncryptMessage() {
	s.res = s.fl.EncryptMessage(s.handle, &s.mech, s.aad, s.in, s.out)
}

func (s *Session) callDecryptMessage() {
	s.res = s.fl.DecryptMessage(s.handle, &s.mech, s.aad, s.in, s.out)
}

// Close ends the operation. One that is not closed stays active in its session.
func (c *MessageCipher) Close(ctx context.Context) error {
	if !c.begun {
		return nil
	}
	c.begun = false
	s := c.s
	if err := s.begin(ctx); err != nil {
		return err
	}
	call := (*Session).callMessageEncryptFinal
	if c.open {
		call = (*Session).callMessageDecryptFinal
	}
	if err := s.run(ctx, call); err != nil {
		return err
	}
	res := s.res
	s.end()
	return s.err(res.Step.String(), res.RV)
}

func (s *Session) callMessageEncryptFinal() {
	s.step(s.fl.MessageEncryptFinal(s.handle), ck.MessageEncryptFinal)
}

func (s *Session) callMessageDecryptFinal() {
	s.step(s.fl.MessageDecryptFinal(s.handle), ck.MessageDecryptFinal)
}
