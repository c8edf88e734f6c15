package signer

import (
	"cmp"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// A Source returns the certificate and key that are to be used now, as
// piv.Client.TLSCertificate and cryptoki.Pool.TLSCertificate do. Its PrivateKey is a
// crypto.Signer. It ends with ctx.
type Source func(ctx context.Context) (tls.Certificate, error)

// TLSOptions changes what [NewTLS] makes. The zero value, and a nil pointer, are ready
// to use.
type TLSOptions struct {
	// Refresh is after what time the source is asked again: how long a new
	// certificate on the token can remain unseen. 0 means an hour.
	Refresh time.Duration
	// BeforeExpiry is how long before a certificate expires the source is asked
	// again. 0 means a tenth of its validity, at most a day.
	BeforeExpiry time.Duration
	// Retry is for how long the source is left alone after it failed, gave a
	// certificate that is due to be replaced, or its key did not answer within a
	// handshake. 0 means a second.
	Retry time.Duration
}

// TLS gives tls.Config a certificate that follows its source: one that is replaced on
// the token, a card that is taken out and put back. The source is asked by the
// handshake that needs it, with that handshake's context; there is no goroutine and
// nothing to close. It is asked when there is no certificate yet, before the
// certificate expires, now and then (see [TLSOptions]), after the key failed in a
// handshake, and by Refresh. It is never asked twice at the same time. While it is
// asked, and after it failed, other handshakes use the certificate that there is,
// until that expires; without one, or when its key has failed, they wait.
//
// The key of a handshake, where it is a [Signer] or a [Decrypter], ends with the
// context of that handshake. A handshake in which the key fails is lost: it is not
// tried again, as that could cost a try of the PIN.
//
// It is safe for concurrent use.
type TLS struct {
	source Source
	opts   TLSOptions
	asking chan struct{} // has one element while the source is asked

	mu     sync.Mutex
	cert   *tls.Certificate // nil: none yet
	asked  time.Time        // when the source has answered last
	due    time.Time        // when to ask the source again
	failed error            // of the source, when it was asked last
}

// NewTLS returns a TLS that has not asked its source yet. opts may be nil.
//
//	t := signer.NewTLS(func(ctx context.Context) (tls.Certificate, error) {
//		return pool.TLSCertificate(ctx, query)
//	}, nil)
//	config := &tls.Config{GetCertificate: t.GetCertificate}
func NewTLS(source Source, opts *TLSOptions) *TLS {
	t := &TLS{source: source, asking: make(chan struct{}, 1)}
	if opts != nil {
		t.opts = *opts
	}
	if t.opts.Refresh <= 0 {
		t.opts.Refresh = time.Hour
	}
	if t.opts.Retry <= 0 {
		t.opts.Retry = time.Second
	}
	return t
}

// GetCertificate is for tls.Config of a server.
func (t *TLS) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	ctx := cmp.Or(hello.Context(), context.Background())
	cert, err := t.Certificate(ctx)
	if err != nil {
		return nil, err
	}
	return t.forHandshake(ctx, cert), nil
}

// GetClientCertificate is for tls.Config of a client. As crypto/tls does with
// Certificates, it sends none where the server's request does not fit the certificate.
func (t *TLS) GetClientCertificate(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	ctx := cmp.Or(request.Context(), context.Background())
	cert, err := t.Certificate(ctx)
	if err != nil {
		return nil, err
	}
	if request.SupportsCertificate(cert) != nil {
		return &tls.Certificate{}, nil
	}
	return t.forHandshake(ctx, cert), nil
}

// Certificate returns the present certificate, after asking the source where that is
// due. It is shared and must not be changed. ctx ends the wait; the error is that of
// ctx or of the source.
func (t *TLS) Certificate(ctx context.Context) (*tls.Certificate, error) {
	cert, err, due := t.present()
	if !due {
		return cert, err
	}
	if cert != nil {
		select {
		case t.asking <- struct{}{}:
		default:
			return cert, nil // somebody else asks
		}
	} else {
		select {
		case t.asking <- struct{}{}:
		case <-ctx.Done():
			return nil, fmt.Errorf("signer: wait for the certificate: %w", context.Cause(ctx))
		}
	}
	defer func() { <-t.asking }()
	if cert, err, due := t.present(); !due {
		return cert, err // somebody else has asked meanwhile
	}
	_ = t.ask(ctx) // present tells it, where there is nothing better
	cert, err, _ = t.present()
	return cert, err
}

// Refresh asks the source now, whether that is due or not: when the program knows that
// the certificate was replaced. After an error the old certificate stays in use.
func (t *TLS) Refresh(ctx context.Context) error {
	select {
	case t.asking <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("signer: wait for the certificate: %w", context.Cause(ctx))
	}
	defer func() { <-t.asking }()
	return t.ask(ctx)
}

// present returns what there is without asking, and whether to ask. Where there is
// nothing to ask and no certificate it returns why.
func (t *TLS) present() (cert *tls.Certificate, err error, due bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	cert = t.cert
	if cert != nil && t.failed != nil && !now.Before(cert.Leaf.NotAfter) {
		cert = nil // expired, and nothing better came
	}
	if cert == nil {
		err = t.failed
	}
	return cert, err, !now.Before(t.due)
}

// ask asks the source. The caller holds asking.
func (t *TLS) ask(ctx context.Context) error {
	cert, err := t.source(ctx)
	if err == nil {
		err = complete(&cert)
	}
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked = now
	switch {
	case err == nil:
		t.cert, t.failed = &cert, nil
		t.due = now.Add(t.opts.Refresh)
		if d := cert.Leaf.NotAfter.Add(-t.beforeExpiry(cert.Leaf)); d.Before(t.due) {
			t.due = d
		}
		if soonest := now.Add(t.opts.Retry); t.due.Before(soonest) {
			t.due = soonest
		}
		return nil
	case ctx.Err() != nil:
		// The caller gave up, which says nothing about the source: the next one
		// asks at once.
		t.failed = fmt.Errorf("signer: certificate: %w", err)
		t.due = now
		return t.failed
	}
	t.failed = fmt.Errorf("signer: certificate: %w", err)
	t.due = now.Add(t.opts.Retry)
	return t.failed
}

func (t *TLS) beforeExpiry(leaf *x509.Certificate) time.Duration {
	if t.opts.BeforeExpiry > 0 {
		return t.opts.BeforeExpiry
	}
	return min(leaf.NotAfter.Sub(leaf.NotBefore)/10, 24*time.Hour)
}

// complete checks what the source gave and parses its leaf.
func complete(cert *tls.Certificate) error {
	if len(cert.Certificate) == 0 {
		return errors.New("the source gave no certificate")
	}
	if _, ok := cert.PrivateKey.(crypto.Signer); !ok {
		return fmt.Errorf("the source gave a private key of type %T, which cannot sign", cert.PrivateKey)
	}
	if cert.Leaf == nil {
		leaf, err := x509.ParseCertificate(cert.Certificate[0])
		if err != nil {
			return err
		}
		cert.Leaf = leaf
	}
	return nil
}

// forHandshake returns a copy of the certificate whose key ends with the handshake and
// tells when it fails.
func (t *TLS) forHandshake(ctx context.Context, cert *tls.Certificate) *tls.Certificate {
	c := *cert
	k := watchedKey{ctx: ctx, t: t, cert: cert}
	switch key := cert.PrivateKey.(type) {
	case *Decrypter:
		c.PrivateKey = &watchedDecrypter{k.of(key.Signer.WithContext(ctx)), key.WithContext(ctx)}
	case *Signer:
		w := k.of(key.WithContext(ctx))
		c.PrivateKey = &w
	case crypto.Decrypter:
		c.PrivateKey = &watchedDecrypter{k.of(key.(crypto.Signer)), key}
	default:
		w := k.of(key.(crypto.Signer))
		c.PrivateKey = &w
	}
	return &c
}

// A watchedKey is a key that lets its TLS ask the source again after it failed.
type watchedKey struct {
	signer crypto.Signer
	ctx    context.Context
	t      *TLS
	cert   *tls.Certificate // that it came with
}

func (k watchedKey) of(s crypto.Signer) watchedKey {
	k.signer = s
	return k
}

func (k *watchedKey) Public() crypto.PublicKey { return k.signer.Public() }

func (k *watchedKey) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	sig, err := k.signer.Sign(rand, digest, opts)
	k.note(err)
	return sig, err
}

func (k *watchedKey) SignMessage(rand io.Reader, msg []byte, opts crypto.SignerOpts) ([]byte, error) {
	sig, err := crypto.SignMessage(k.signer, rand, msg, opts)
	k.note(err)
	return sig, err
}

// note gives the certificate up after its key has failed. Where the handshake ended
// meanwhile, the key may be well: the source is only asked again soon.
func (k *watchedKey) note(err error) {
	if err == nil || refusal(err) || errors.Is(err, rsa.ErrDecryption) {
		return
	}
	t := k.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cert != k.cert {
		return // it was replaced already
	}
	if k.ctx.Err() == nil {
		t.cert, t.due = nil, time.Time{}
	} else if d := t.asked.Add(t.opts.Retry); d.Before(t.due) {
		t.due = d
	}
}

type watchedDecrypter struct {
	watchedKey
	decrypter crypto.Decrypter
}

func (k *watchedDecrypter) Decrypt(rand io.Reader, msg []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	plaintext, err := k.decrypter.Decrypt(rand, msg, opts)
	k.note(err)
	return plaintext, err
}
