// Decrypt-file decrypts a file of any size with the key in slot 9D of a PIV card; with
// -encrypt it encrypts one to the holder of a certificate, for which no card is needed.
//
//	go run ./examples/decrypt-file -encrypt CERT.pem FILE > FILE.enc
//	go run ./examples/decrypt-file FILE.enc > FILE               the only PIV card in a reader
//	go run ./examples/decrypt-file -emulate                      both, with a card in software
//
// The envelope: a new key for each file (AES-256-GCM in blocks of 64 KiB), which is
// encrypted to an RSA key by OAEP, or agreed with an EC key from an ephemeral one (ECDH,
// HKDF). The card sees only that key.
package main

import (
	"bytes"
	"context"
	"crypto/x509"
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
	"github.com/cardoki/cardoki/signer/prompt"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "decrypt-file:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("decrypt-file", flag.ContinueOnError)
	recipient := flags.String("encrypt", "", "encrypt to the holder of the certificate in this PEM `file`")
	serial := flags.String("serial", "", "the card with this serial `number`")
	emulate := flags.Bool("emulate", false, "encrypt to cards in software, and decrypt")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *emulate {
		return demonstrate(ctx, out)
	}
	if flags.NArg() != 1 {
		return errors.New("name one file; see -help")
	}
	in, err := os.Open(flags.Arg(0))
	if err != nil {
		return err
	}
	defer in.Close()
	if *recipient != "" {
		cert, err := readCertificate(*recipient)
		if err != nil {
			return err
		}
		return seal(out, in, cert.PublicKey)
	}
	client, err := piv.Find(ctx, pcsc.Cards(ctx, nil), piv.Match{Serial: *serial}, &piv.Options{PIN: piv.AskPIN(prompt.Terminal{})})
	if err != nil {
		return err
	}
	defer client.Close()
	key, err := client.Key(ctx, piv.SlotKeyManagement)
	if err != nil {
		return err
	}
	return unseal(ctx, out, in, key)
}

func readCertificate(path string) (*x509.Certificate, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s holds no certificate in PEM", path)
	}
	return x509.ParseCertificate(block.Bytes)
}

// demonstrate encrypts to a card in software and lets it decrypt, with each kind of key.
func demonstrate(ctx context.Context, out io.Writer) error {
	client, err := place.NewCard(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	message := bytes.Repeat([]byte("a secret of any size\n"), 10_000)
	for _, a := range []piv.Algorithm{piv.AlgorithmRSA2048, piv.AlgorithmP256, piv.AlgorithmP384, piv.AlgorithmX25519} {
		public, err := client.GenerateKey(ctx, piv.SlotKeyManagement, a, nil)
		if err != nil {
			return err
		}
		key, err := client.Key(ctx, piv.SlotKeyManagement)
		if err != nil {
			return err
		}
		var sealed, opened bytes.Buffer
		if err := seal(&sealed, bytes.NewReader(message), public); err != nil {
			return err
		}
		n := sealed.Len()
		if err := unseal(ctx, &opened, &sealed, key); err != nil {
			return err
		}
		if !bytes.Equal(opened.Bytes(), message) {
			return errors.New("it came out as something else")
		}
		fmt.Fprintf(out, "%v: %d bytes became %d, and %d again\n", a, len(message), n, opened.Len())
	}
	return nil
}
