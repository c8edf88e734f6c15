package system_test

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
)

// reportOf runs selftest at a terminal, where pin is entered when it is asked for, and
// returns the report and what was said at the terminal.
func reportOf(t *testing.T, env []string, pin, program string, args ...string) (report, terminal string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.md")
	e := startAtTerminal(t, env, pin, quote(append([]string{program}, args...)...)+" > "+quote(file))
	e.ends()
	return mustRead(t, file), e.output()
}

// selftestKeys are those that the tests' cards have for selftest.
var selftestKeys = map[piv.Slot]piv.Algorithm{
	piv.SlotAuthentication: piv.AlgorithmP256, piv.SlotSignature: piv.AlgorithmP384,
	piv.SlotKeyManagement: piv.AlgorithmRSA2048, piv.SlotCardAuthentication: piv.AlgorithmP256,
}

// selftestCard puts a card with keys into a reader.
func selftestCard(t *testing.T) (*system.PCSCD, *spyCard) {
	t.Helper()
	daemon := system.StartPCSCD(t, &system.PCSCDOptions{KeepEnv: true})
	spy := &spyCard{Card: signerCard(t, newTestAuthority(t), selftestKeys)}
	putIn(t, daemon, 0, spy)
	return daemon, spy
}

func TestSelftestOnACard(t *testing.T) {
	t.Parallel()
	program := buildExample(t, "selftest")

	t.Run("without -pin nobody is asked, and only the key that wants no PIN is used", func(t *testing.T) {
		daemon, spy := selftestCard(t)
		report, terminal := reportOf(t, daemon.Env(), string(testPIN), program)
		if terminal != "" {
			t.Errorf("at the terminal:\n%s", terminal)
		}
		checkSays(t, report, "3 tries left", "| 9A (PIV Authentication): P-256; PIN once, touch never; certificate |  | not tried: it wants the PIN", "| 9E (Card Authentication): P-256; PIN never, touch never; certificate | ECDSA with SHA-256, SHA-384, SHA-512, ECDH |  |")
		commands, _ := spy.noted()
		const getMetadata, getSerial, getVersion = 0xF7, 0xF8, 0xFD // of YubiKey's extensions
		harmless := []apdu.Instruction{apdu.InsSelect, apdu.InsGetDataOdd, apdu.InsGetResponse, apdu.InsVerify, apdu.InsGeneralAuthenticateOdd, getMetadata, getSerial, getVersion}
		for _, c := range commands {
			if !slices.Contains(harmless, c) {
				t.Errorf("the card was sent %v", c)
			}
		}
		if signed := signatures(spy); signed != 4 {
			t.Errorf("the card has used keys %d times, want 4 of the one in slot 9E", signed)
		}
	})

	t.Run("with -pin all keys work, and the report has no PIN, serial number or name", func(t *testing.T) {
		daemon, _ := selftestCard(t)
		report, terminal := reportOf(t, daemon.Env(), string(testPIN), program, "-pin")
		if n := strings.Count(terminal, "PIN for slot"); n != 1 {
			t.Errorf("the PIN was asked for %d times:\n%s", n, terminal)
		}
		for _, works := range []string{"P-256; PIN once", "P-384; PIN always", "RSA 2048; PIN once", "P-256; PIN never"} {
			if !regexp.MustCompile(regexp.QuoteMeta(works) + `, touch never; certificate \| [^|]+, [^|]+ \|  \|`).MatchString(report) {
				t.Errorf("%s: not all works in\n%s", works, report)
			}
		}
		for _, secret := range []string{string(testPIN), "20261125", "card holder", "Test CA"} {
			if strings.Contains(report, secret) {
				t.Errorf("the report says %q:\n%s", secret, report)
			}
		}
		report, _ = reportOf(t, daemon.Env(), string(testPIN), program, "-v")
		checkSays(t, report, "20261125")
	})

	t.Run("a wrong PIN costs one try, and the last one is not spent", func(t *testing.T) {
		daemon, _ := selftestCard(t)
		left := func() (n int) {
			lookAt(t, daemon, func(client *piv.Client) {
				status, err := client.PINStatus(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				n = status.Remaining
			})
			return n
		}
		report, _ := reportOf(t, daemon.Env(), "999999", program, "-pin")
		checkSays(t, report, "not tried, as the PIN was refused")
		if n := left(); n != 2 {
			t.Errorf("%d tries are left, want 2", n)
		}
		lookAt(t, daemon, func(client *piv.Client) {
			if err := client.VerifyPIN(t.Context(), []byte("999999")); err == nil {
				t.Error("the wrong PIN is right")
			}
		})
		report, terminal := reportOf(t, daemon.Env(), string(testPIN), program, "-pin")
		checkSays(t, report, "one try is left, which is not spent here")
		if n := left(); n != 1 || terminal != "" {
			t.Errorf("%d tries are left, want 1; at the terminal:\n%s", n, terminal)
		}
	})

	t.Run("-destructive leaves nothing behind, and no key that was there out", func(t *testing.T) {
		daemon, _ := selftestCard(t)
		hexadecimal := fmt.Sprintf("%X", managementKey)
		file := filepath.Join(t.TempDir(), "report.md")
		e := startAtTerminal(t, daemon.Env(), "", quote(program, "-destructive")+" > "+quote(file))
		y := e.cmd.Stdout.(*typist)
		e.expect("Management key, in hexadecimal")
		y.keys.Write([]byte(hexadecimal + "\n"))
		e.ends()
		report := mustRead(t, file)
		checkSays(t, report, "Made in slot 95", "| Ed25519 | Ed25519 |", "| RSA 1024 | PKCS #1 v1.5")
		if strings.Contains(strings.ToUpper(report+e.output()), hexadecimal) {
			t.Error("the management key is shown")
		}
		lookAt(t, daemon, func(client *piv.Client) {
			if _, err := client.Metadata(t.Context(), piv.SlotRetired20); !errors.Is(err, piv.ErrNoMetadata) {
				t.Errorf("slot 95: got error %v, want ErrNoMetadata", err)
			}
			for slot := range selftestKeys {
				if _, err := client.Certificate(t.Context(), slot); err != nil {
					t.Errorf("slot %v: %v", slot, err)
				}
			}
			// In use, it is not touched.
			if err := client.AuthenticateManagementKey(t.Context(), 0, managementKey); err != nil {
				t.Fatal(err)
			}
			if _, err := client.GenerateKey(t.Context(), piv.SlotRetired20, piv.AlgorithmP256, nil); err != nil {
				t.Fatal(err)
			}
		})
		out, err := runExample(t, daemon.SocketName, "", program, "-destructive")
		if err == nil || !strings.Contains(out, "is in use") {
			t.Errorf("with a key in slot 95: got %v\n%s", err, out)
		}
	})

	t.Run("a card of the standard, and nothing more", func(t *testing.T) {
		daemon := system.StartPCSCD(t, &system.PCSCDOptions{KeepEnv: true})
		app := piv.NewApplication(&piv.ApplicationOptions{PIN: testPIN, ManagementKey: managementKey, StandardOnly: true})
		c := card.New(nil, app)
		client, err := piv.Open(t.Context(), iso7816.NewChannel(c, nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := client.AuthenticateManagementKey(t.Context(), piv.AlgorithmAES192, managementKey); err != nil {
			t.Fatal(err)
		}
		if err := provisionStandard(t.Context(), client, newTestAuthority(t)); err != nil {
			t.Fatal(err)
		}
		putIn(t, daemon, 0, c)
		report, _ := reportOf(t, daemon.Env(), string(testPIN), program, "-pin")
		checkSays(t, report, "| 9E (Card Authentication): P-256; certificate | ECDSA with SHA-256")
		if out, err := runExample(t, daemon.SocketName, "", program, "-destructive"); err == nil || !strings.Contains(out, "cannot delete keys") {
			t.Errorf("-destructive: got %v\n%s", err, out)
		}
	})
}

// provisionStandard gives a card a key in slot 9E.
func provisionStandard(ctx context.Context, client *piv.Client, ca *authority) error {
	public, err := client.GenerateKey(ctx, piv.SlotCardAuthentication, piv.AlgorithmP256, nil)
	if err != nil {
		return err
	}
	cert, err := ca.issue("card holder", public)
	if err != nil {
		return err
	}
	return client.PutCertificate(ctx, piv.SlotCardAuthentication, cert)
}

// TestCompatibility makes docs/compatibility.md of the reports of selftest about what
// these tests run on. It is not parallel, as the token is in the environment.
func TestCompatibility(t *testing.T) {
	program := filepath.Join(t.TempDir(), "selftest")
	goTool(t, nil, "build", "-o", program, "./examples/selftest")
	if t.Failed() {
		return
	}
	var page bytes.Buffer
	page.WriteString(`# Compatibility

<!-- Made by go test ./internal/system -run TestCompatibility -update; the test compares it otherwise. -->

Reports of ` + "`examples/selftest`" + ` about what the tests of this repository run on, all of which is software: each "works" was checked with Go's standard library.
No card or token of hardware is among them; the card behind OpenSC is cardoki's own, in the virtual reader of a real pcscd. A report about yours can be given away as it is: without ` + "`-v`" + ` it holds no serial number, label or name, and never a PIN.

	go run ./examples/selftest -pin                                  # a PIV card in a reader
	go run ./examples/selftest -module PATH -token LABEL -pin        # a token behind a PKCS#11 module

`)
	page.WriteString(mustOutput(t, os.Environ(), program, "-emulate", "-destructive", "-times=false")) // RSA keys take their time

	report := softHSMReport(t, program)
	page.WriteString("\n" + report)

	opensc := module(t, "opensc-pkcs11.so", "opensc-pkcs11")
	daemon, _ := selftestCard(t)
	// OpenSC names the token after the application and the PIN.
	list := mustOutput(t, daemon.Env(), system.Need(t, "pkcs11-tool", "opensc"), "--module", opensc, "--list-token-slots")
	label := regexp.MustCompile(`token label +: (\S.*\S)`).FindStringSubmatch(list)
	if label == nil {
		t.Fatalf("OpenSC has no token:\n%s", list)
	}
	report, terminal := reportOf(t, daemon.Env(), string(testPIN), program, "-times=false", "-module", opensc, "-token", label[1])
	if terminal != "" {
		t.Errorf("without -pin, at the terminal:\n%s", terminal)
	}
	checkSays(t, report, "Private keys were not looked for")
	report, _ = reportOf(t, daemon.Env(), string(testPIN), program, "-times=false", "-module", opensc, "-token", label[1], "-pin")
	for _, secret := range []string{string(testPIN), "20261125", label[1]} {
		if strings.Contains(report, secret) {
			t.Errorf("the report says %q:\n%s", secret, report)
		}
	}
	page.WriteString("\n" + report)

	name := filepath.Join(root, "docs", "compatibility.md")
	if *update {
		if err := os.WriteFile(name, page.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	there := mustRead(t, name)
	modules := func(page string) []string { return regexp.MustCompile(`(?m)^\| module \|.*$`).FindAllString(page, -1) }
	if a, b := modules(there), modules(page.String()); !slices.Equal(a, b) {
		t.Skipf("docs/compatibility.md is of other versions than are here:\n%q\n%q", a, b)
	}
	if d := cmp.Diff(there, page.String()); d != "" {
		t.Errorf("docs/compatibility.md is out of date (-there +made):\n%s\ngo test ./internal/system -run TestCompatibility -update makes it anew", d)
	}
}

// softHSMReport returns the report about a token of SoftHSM2 with two keys.
func softHSMReport(t *testing.T, program string) string {
	t.Helper()
	hsm := system.StartSoftHSM(t)
	pool := openToken(t, hsm, hsm.Label)
	err := pool.Do(t.Context(), func(s *cryptoki.Session) error {
		_, _, rsaErr := s.GenerateKeyPair(t.Context(), &cryptoki.KeyPairOptions{RSABits: 2048, Decrypt: true, Label: "the secret of rsa", ID: []byte{1}})
		_, _, ecErr := s.GenerateKeyPair(t.Context(), &cryptoki.KeyPairOptions{Curve: elliptic.P256(), Label: "the secret of ec", ID: []byte{2}})
		return errors.Join(rsaErr, ecErr)
	})
	if err != nil {
		t.Fatal(err)
	}
	token, err := pool.Slot().Token()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-times=false", "-module", hsm.Module, "-token", hsm.Label}
	report, terminal := reportOf(t, os.Environ(), hsm.PIN, program, args...)
	if terminal != "" || !strings.Contains(report, "Private keys were not looked for") {
		t.Errorf("without -pin, at the terminal:\n%s\n%s", terminal, report)
	}
	report, terminal = reportOf(t, os.Environ(), hsm.PIN, program, append(args, "-pin", "-destructive")...)
	if n := strings.Count(terminal, "PIN of token"); n != 1 {
		t.Errorf("the PIN was asked for %d times:\n%s", n, terminal)
	}
	for _, secret := range []string{hsm.PIN, token.Serial, "the secret", hsm.Label} {
		if strings.Contains(report, secret) {
			t.Errorf("the report says %q:\n%s", secret, report)
		}
	}
	if verbose, _ := reportOf(t, os.Environ(), hsm.PIN, program, append(args, "-pin", "-v")...); !strings.Contains(verbose, "the secret of ec") || !strings.Contains(verbose, token.Serial) {
		t.Errorf("-v says less:\n%s", verbose)
	}
	// What was made is gone.
	err = pool.Do(t.Context(), func(s *cryptoki.Session) error {
		for _, class := range []cryptoki.ObjectClass{cryptoki.CKO_PRIVATE_KEY, cryptoki.CKO_SECRET_KEY} {
			found, err := s.FindObjects(t.Context(), cryptoki.Attributes{cryptoki.Ulong(cryptoki.CKA_CLASS, class)})
			if err != nil {
				return err
			}
			if want := map[cryptoki.ObjectClass]int{cryptoki.CKO_PRIVATE_KEY: 2}[class]; len(found) != want {
				t.Errorf("%v: the token has %d, want %d", class, len(found), want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return report
}
