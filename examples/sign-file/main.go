// Sign-file signs a file with the key in a slot of a PIV card, and writes the signature and
// the certificate beside it, so that anybody can verify it with openssl.
//
//	go run ./examples/sign-file FILE                     the only PIV card in a reader
//	go run ./examples/sign-file -serial 21119561 FILE    that card
//	go run ./examples/sign-file -emulate FILE            a card in software: needs no hardware
package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/cardoki/cardoki/examples/internal/place"
	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/pcsc"
	"github.com/cardoki/cardoki/signer"
	"github.com/cardoki/cardoki/signer/prompt"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "sign-file:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("sign-file", flag.ContinueOnError)
	serial := flags.String("serial", "", "the card with this serial `number`")
	emulate := flags.Bool("emulate", false, "a card in software, with a new key")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("name one file to sign; see -help")
	}
	path := flags.Arg(0)
	open := func() (*piv.Client, error) {
		opts := &piv.Options{
			PIN:   piv.AskPIN(prompt.Terminal{}),
			Touch: func(ctx context.Context, _ piv.Slot) { fmt.Fprintln(os.Stderr, "Touch the card …"); <-ctx.Done() },
		}
		return piv.Find(ctx, pcsc.Cards(ctx, nil), piv.Match{Serial: *serial}, opts)
	}
	if *emulate {
		open = func() (*piv.Client, error) { return newCard(ctx) }
	}
	client, err := open()
	if err != nil {
		return err
	}
	defer client.Close()
	key, err := client.Key(ctx, piv.SlotSignature)
	if err != nil {
		return err
	}
	cert, err := client.Certificate(ctx, piv.SlotSignature)
	if err != nil {
		return err
	}
	if _, ok := key.Public().(ed25519.PublicKey); ok {
		return errors.New("the key is Ed25519, which signs a whole file at once; this program hashes it first")
	}
	digest, err := hashFile(path)
	if err != nil {
		return err
	}
	signature, err := key.Signer(&signer.Options{Context: ctx}).Sign(nil, digest, crypto.SHA256)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".sig", signature, 0o644); err != nil {
		return err
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	if err := os.WriteFile(path+".crt", chain, 0o644); err != nil {
		return err
	}
	fmt.Fprintf(out, "Signed with slot %v, %v, of %q. To verify:\n\n", key.Slot(), key.Algorithm(), cert.Subject)
	fmt.Fprintf(out, "openssl x509 -in %s.crt -pubkey -noout > %[1]s.pub\n", path)
	fmt.Fprintf(out, "openssl dgst -sha256 -verify %s.pub -signature %[1]s.sig %[1]s\n", path)
	return nil
}

func hashFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}

// newCard makes a card in software with a key and a certificate for signatures.
func newCard(ctx context.Context) (*piv.Client, error) {
	client, err := place.NewCard(ctx)
	if err != nil {
		return nil, err
	}
	ca, err := piv.NewAuthority("Sign-file CA")
	if err != nil {
		return nil, err
	}
	_, err = ca.Issue(ctx, client, piv.SlotSignature, piv.AlgorithmP256, nil)
	return client, err
}
