//go:build cgo

package system_test

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/mlkem"
	"crypto/rsa"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
)

// signerBehind says what is behind the columns.
var signerBehind = map[string]string{
	"PIV":      "iso7816/piv on a card in software, in the process",
	"PIV-pcsc": "the same card in the virtual reader of pcscd, through pcsc",
	"SoftHSM2": "cryptoki, libsofthsm2.so",
	"NSS":      "cryptoki, libsoftokn3.so of libnss3",
	"Firefox":  "cryptoki, libsoftokn3.so of firefox-esr",
	"OpenSC":   "cryptoki, opensc-pkcs11.so, the same card in the virtual reader of pcscd",
	"p11-kit":  "cryptoki, p11-kit-client.so, p11-kit server, libsofthsm2.so in its process",
}

var signerPlaces = []signerPlace{
	{
		key: "PIV", title: "PIV card in memory",
		env: func(*testing.T) []string { return nil },
		open: func(t *testing.T) *signerKeys {
			return pivKeys(t, signerTestCard(t))
		},
	},
	{
		key: "PIV-pcsc", title: "PIV card through pcscd",
		env: func(t *testing.T) []string { needPCSCD(t); return nil },
		open: func(t *testing.T) *signerKeys {
			c := signerTestCard(t)
			daemon := system.StartPCSCD(t, nil)
			insert(t, daemon, c)
			return pivKeys(t, connectTo(t, daemon, 0))
		},
	},
	modulePlace("SoftHSM2"),
	modulePlace("NSS"),
	modulePlace("Firefox"),
	modulePlace("OpenSC"),
	modulePlace("p11-kit"),
}

// signerTestSlots are where a card has its keys; those that are missing no card has.
var signerTestSlots = map[string]piv.Slot{
	"RSA 2048": piv.SlotAuthentication, "RSA 4096": piv.SlotSignature, "P-256": piv.SlotKeyManagement, "P-384": piv.SlotCardAuthentication,
	"RSA 3072": piv.SlotRetired1, "Ed25519": piv.SlotRetired1 + 1, "X25519": piv.SlotRetired1 + 2,
}

// signerTestCard returns a card with keys and certificates in all slots of signerTestSlots.
func signerTestCard(t *testing.T) *card.Card {
	t.Helper()
	c := card.New(nil, newApplication())
	client, err := piv.Open(t.Context(), iso7816.NewChannel(c, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.AuthenticateManagementKey(t.Context(), 0, managementKey); err != nil {
		t.Fatal(err)
	}
	ca := newTestAuthority(t)
	for name, slot := range signerTestSlots {
		private := signerTestKeys()[name]
		if err := client.ImportKey(t.Context(), slot, private, nil); err != nil {
			t.Fatal(err)
		}
		if name == "X25519" {
			continue // crypto/x509 has no certificates of it
		}
		cert, err := ca.issueUser(publicOf(private))
		if err != nil {
			t.Fatal(err)
		}
		if err := client.PutCertificate(t.Context(), slot, cert); err != nil {
			t.Fatal(err)
		}
	}
	history := piv.KeyHistory{OnCard: 2} // OpenSC looks for retired keys where there is one
	if err := client.PutObject(t.Context(), piv.ObjectKeyHistory, history.AppendTo(nil)); err != nil {
		t.Fatal(err)
	}
	return c
}

// onceFor makes a getter that keeps what it got.
func onceFor(get func(ctx context.Context, name string) (signerDevice, error)) func(context.Context, string) (signerDevice, error) {
	type result struct {
		key signerDevice
		err error
	}
	got := map[string]result{}
	return func(ctx context.Context, name string) (signerDevice, error) {
		r, ok := got[name]
		if !ok {
			r.key, r.err = get(ctx, name)
			got[name] = r
		}
		return r.key, r.err
	}
}

// pivKeys are those on a card.
func pivKeys(t *testing.T, transmitter apdu.Transmitter) *signerKeys {
	client, err := piv.Open(t.Context(), iso7816.NewChannel(transmitter, nil), &piv.Options{PIN: givePIN})
	if err != nil {
		t.Fatal(err)
	}
	return &signerKeys{get: onceFor(func(ctx context.Context, name string) (signerDevice, error) {
		slot, ok := signerTestSlots[name]
		if !ok {
			if err := client.AuthenticateManagementKey(ctx, 0, managementKey); err != nil {
				return nil, err
			}
			slot = piv.SlotRetired20
			if err := client.ImportKey(ctx, slot, signerTestKeys()[name], nil); err != nil {
				return nil, err
			}
		}
		key, err := client.Key(ctx, slot)
		if err != nil {
			return nil, err
		}
		return key, nil
	})}
}

// modulePlace is the column of a module of tokenModules.
func modulePlace(key string) signerPlace {
	m := tokenModules[slices.IndexFunc(tokenModules, func(m tokenModule) bool { return m.key == key })]
	return signerPlace{
		key: key, title: m.title,
		env: func(t *testing.T) []string {
			library := m.library(t)
			switch {
			case key == "OpenSC":
				needPCSCD(t)
			case key == "p11-kit":
				system.Need(t, "softhsm2-util", "softhsm2")
			case m.beside:
				// NSS decrypts a key for each use, with one made of the PIN in so many rounds.
				return []string{"LD_LIBRARY_PATH=" + filepath.Dir(library), "NSS_MAX_MP_PBE_ITERATION_COUNT=1"}
			}
			return nil
		},
		open: func(t *testing.T) *signerKeys {
			if key == "OpenSC" {
				return openSCKeys(t, m.library(t))
			}
			return moduleKeys(t, m.start(t, m.library(t)), putKey)
		},
	}
}

// openSCKeys are those of our card, through OpenSC.
func openSCKeys(t *testing.T, library string) *signerKeys {
	c := signerTestCard(t)
	daemon := system.StartPCSCD(t, nil)
	insert(t, daemon, c)
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("OPENSC_CONF", filepath.Join(dir, "opensc.conf"))
	if err := os.WriteFile(filepath.Join(dir, "opensc.conf"), []byte("app default {\n\tdebug = 0;\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	setup := &tokenSetup{
		library: library, pin: testPIN,
		find: func(m *cryptoki.Module) (*cryptoki.Slot, error) { return m.FindToken("card holder") },
	}
	return moduleKeys(t, setup, func(ctx context.Context, s *cryptoki.Session, name string) error {
		if _, there := signerTestSlots[name]; there {
			return nil
		}
		return putKey(ctx, s, name)
	})
}

// putKey puts a key into a token, or has it generated there.
func putKey(ctx context.Context, s *cryptoki.Session, name string) error {
	o := &cryptoki.KeyPairOptions{Label: name, ID: []byte(name)}
	private := signerTestKeys()[name]
	switch private.(type) {
	case *rsa.PrivateKey:
		o.Decrypt = true
	case *ecdsa.PrivateKey, *ecdh.PrivateKey:
		o.Derive = true
	case *mlkem.DecapsulationKey768:
		o.MLKEM = 768
	case *mlkem.DecapsulationKey1024:
		o.MLKEM = 1024
	}
	var err error
	if o.MLKEM != 0 {
		_, _, err = s.GenerateKeyPair(ctx, o)
	} else {
		_, _, err = s.ImportKey(ctx, private, o)
	}
	return err
}

// moduleKeys are those of a token. put makes sure that one is there.
func moduleKeys(t *testing.T, setup *tokenSetup, put func(context.Context, *cryptoki.Session, string) error) *signerKeys {
	m, err := cryptoki.Open(setup.library, &setup.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	slot, err := setup.find(m)
	if err != nil {
		t.Fatal(err)
	}
	info, err := m.Info()
	if err != nil {
		t.Fatal(err)
	}
	pool := slot.NewPool(&cryptoki.PoolOptions{PIN: cryptoki.FixedPIN(setup.pin), ReadWrite: !setup.readOnly})
	t.Cleanup(func() { pool.Close() })
	return &signerKeys{version: info.Library.String(), get: onceFor(func(ctx context.Context, name string) (signerDevice, error) {
		if err := pool.Do(ctx, func(s *cryptoki.Session) error { return put(ctx, s, name) }); err != nil {
			return nil, err
		}
		query := cryptoki.KeyQuery{Public: publicOf(signerTestKeys()[name])}
		if _, generated := query.Public.(crypto.Encapsulator); generated {
			query = cryptoki.KeyQuery{ID: []byte(name)}
		}
		key, err := pool.Key(ctx, query)
		if err != nil {
			return nil, err
		}
		return key, nil
	})}
}
