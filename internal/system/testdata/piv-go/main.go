// piv-go generates a key with piv-go on the first card whose reader is called a
// YubiKey, and checks its attestation against the card's own root.
package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/go-piv/piv-go/v2/piv"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	cards, err := piv.Cards()
	if err != nil {
		return err
	}
	for _, name := range cards {
		if strings.Contains(strings.ToLower(name), "yubikey") {
			return attest(name)
		}
	}
	return errors.New("no YubiKey")
}

func attest(name string) error {
	card, err := piv.Open(name)
	if err != nil {
		return err
	}
	defer card.Close()
	want := piv.Key{Algorithm: piv.AlgorithmEC384, PINPolicy: piv.PINPolicyAlways, TouchPolicy: piv.TouchPolicyCached}
	if _, err := card.GenerateKey(piv.DefaultManagementKey, piv.SlotKeyManagement, want); err != nil {
		return err
	}
	issuer, err := card.AttestationCertificate()
	if err != nil {
		return err
	}
	cert, err := card.Attest(piv.SlotKeyManagement)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(issuer)
	a, err := (&piv.Verifier{Roots: roots}).Verify(issuer, cert)
	if err != nil {
		return err
	}
	serial, err := card.Serial()
	if err != nil {
		return err
	}
	if a.Serial != serial || a.Version != card.Version() || a.Slot != piv.SlotKeyManagement || a.PINPolicy != want.PINPolicy || a.TouchPolicy != want.TouchPolicy {
		return fmt.Errorf("got %+v of card %d, version %v", a, serial, card.Version())
	}
	return nil
}
