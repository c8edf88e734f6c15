package piv

import (
	"crypto"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
)

// TestVocabulary traces a PIN and a signature, and finds the words of PIV and no
// byte of the PIN.
func TestVocabulary(t *testing.T) {
	var trace strings.Builder
	words := Vocabulary().Trace(card.New(nil, newApplication()), func(line string) { trace.WriteString(line + "\n") })
	ask, _ := pinCallback(testPIN)
	c, err := Open(ctx, iso7816.NewChannel(words, nil), &Options{PIN: ask})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Serial(ctx); err != nil {
		t.Fatal(err)
	}
	k := generate(t, c, SlotAuthentication, AlgorithmP256)
	if err := c.PutCertificate(ctx, SlotAuthentication, issue(t, k.Public())); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Certificate(ctx, SlotAuthentication); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Sign(ctx, digest[:], crypto.SHA256); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"SELECT PIV → 9000", "GET DATA 7E (discovery object) → 9000", "GET SERIAL → 9000",
		"GENERAL AUTHENTICATE AES-192, management key, 4 bytes hidden", "GENERATE ASYMMETRIC KEY PAIR slot 9A", "GET METADATA slot 9A",
		"PUT DATA 5FC105 (certificate of slot 9A)", "GET DATA 5FC105 (certificate of slot 9A) → 9000",
		"VERIFY reference 80, 8 bytes hidden → 9000", "GENERAL AUTHENTICATE P-256, slot 9A, 38 bytes hidden → 9000",
	} {
		if !strings.Contains(trace.String(), want) {
			t.Errorf("the trace does not say %q:\n%s", want, &trace)
		}
	}
	for _, secret := range []string{"654321", "36 35 34", "363534", string(testManagementKey[:4]), "30 31 32"} {
		if strings.Contains(trace.String(), secret) {
			t.Errorf("the trace shows %q:\n%s", secret, &trace)
		}
	}
}
