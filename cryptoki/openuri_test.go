package cryptoki_test

import (
	"context"
	"crypto"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"log"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/system"
)

func TestTLSCertificate_byURI(t *testing.T) {
	hsm := system.StartSoftHSM(t)
	module := openModule(t, hsm)
	slot, err := module.FindToken(hsm.Label)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	pool := slot.NewPool(&cryptoki.PoolOptions{PIN: cryptoki.FixedPIN([]byte(hsm.PIN)), ReadWrite: true})
	var leaf *x509.Certificate
	err = pool.Do(ctx, func(s *cryptoki.Session) error {
		if _, _, err := s.GenerateKeyPair(ctx, &cryptoki.KeyPairOptions{Curve: elliptic.P256(), Label: "web", ID: []byte{7}}); err != nil {
			return err
		}
		key, err := pool.Key(ctx, cryptoki.KeyQuery{Label: "web"})
		if err != nil {
			return err
		}
		leaf = issue(t, key.Public(), softwareKey(t))
		_, err = s.PutCertificate(ctx, "web", []byte{7}, leaf)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(pool.Close(), module.Close()); err != nil {
		t.Fatal(err)
	}

	pin := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(pin, []byte(hsm.PIN+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	where := "pkcs11:token=" + url.PathEscape(hsm.Label) + ";object=web?module-path=" + hsm.Module
	for _, tt := range []struct {
		name, uri string
		opts      *cryptoki.PoolOptions
	}{
		{"the PIN by the URI", where + "&pin-source=file:" + pin, nil},
		{"the PIN by a function", where + "&pin-source=file:/nowhere", &cryptoki.PoolOptions{PIN: cryptoki.FixedPIN([]byte(hsm.PIN))}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cert, pool, err := cryptoki.TLSCertificate(ctx, tt.uri, tt.opts)
			if err != nil {
				t.Fatal(err)
			}
			digest := make([]byte, 32)
			if !cert.Leaf.Equal(leaf) {
				t.Errorf("got the certificate of %q", cert.Leaf.Subject)
			}
			if _, err := cert.PrivateKey.(crypto.Signer).Sign(nil, digest, crypto.SHA256); err != nil {
				t.Error(err)
			}
			if err := pool.Close(); err != nil {
				t.Error(err)
			}
			if err := pool.Close(); err != nil {
				t.Errorf("closed again: %v", err)
			}
			if _, err := cert.PrivateKey.(crypto.Signer).Sign(nil, digest, crypto.SHA256); !errors.Is(err, cryptoki.ErrClosed) {
				t.Errorf("after Close: got %v, want ErrClosed", err)
			}
		})
	}
	for _, tt := range []struct {
		name, uri string
		want      error // nil: whatever the loader says
	}{
		{"no such token", "pkcs11:token=another;object=web?module-path=" + hsm.Module, cryptoki.ErrNotFound},
		{"no such key", "pkcs11:token=" + url.PathEscape(hsm.Label) + ";object=another?module-path=" + hsm.Module + "&pin-source=file:" + pin, cryptoki.ErrNotFound},
		{"no such module", where + "-not", nil},
		{"a PIN in it", where + "&pin-value=123456", cryptoki.ErrPINValue},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, pool, err := cryptoki.TLSCertificate(ctx, tt.uri, nil)
			if pool != nil || err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	var wrong *cryptoki.URIError
	if _, _, err := cryptoki.TLSCertificate(ctx, "pkcs11:token=mine", nil); !errors.As(err, &wrong) || wrong.Attribute != cryptoki.URIModulePath {
		t.Errorf("no module: got %v", err)
	}
}

// A TLS key by the PKCS#11 URI in a program's configuration.
func ExampleTLSCertificate() {
	uri := "pkcs11:token=mine;object=web?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/run/secrets/pin"
	cert, pool, err := cryptoki.TLSCertificate(context.Background(), uri, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	log.Printf("the key of %q is on the token", cert.Leaf.Subject)
}
