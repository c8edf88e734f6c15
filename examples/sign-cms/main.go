// Sign-cms signs a file with a key that never leaves a card or token. The signature is
// apart from the file, in the Cryptographic Message Syntax (RFC 5652) that openssl, mail
// programs and PDF signers know.
//
//	cd examples/sign-cms                                 a module of its own
//	go run . FILE > FILE.p7s                             the only PIV card in a reader, slot 9C
//	go run . -module PATH -token LABEL -key LABEL FILE > FILE.p7s
//	go run . -emulate -root root.pem FILE > FILE.p7s     a card in software: needs no hardware
//	openssl cms -verify -inform PEM -in FILE.p7s -content FILE -binary -CAfile root.pem -purpose any -out /dev/null
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/smallstep/pkcs7"

	"github.com/cardoki/cardoki/examples/internal/place"
	"github.com/cardoki/cardoki/signer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "sign-cms:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("sign-cms", flag.ContinueOnError)
	emulated := flags.Bool("emulate", false, "a card in software, with a new key")
	root := flags.String("root", "", "with -emulate: write the authority that issued the certificate to this PEM `file`")
	var where place.Flags
	where.Add(flags, "9C")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("name one file; see -help")
	}
	data, err := os.ReadFile(flags.Arg(0))
	if err != nil {
		return err
	}
	open := where.Source
	if *emulated {
		open = func() (signer.Source, func(), error) { return emulate(ctx, *root) }
	}
	source, done, err := open()
	if err != nil {
		return err
	}
	defer done()
	cert, err := source(ctx)
	if err != nil {
		return err
	}
	signature, err := sign(cert, data)
	if err != nil {
		return err
	}
	return pem.Encode(out, &pem.Block{Type: "CMS", Bytes: signature})
}

// sign returns a SignedData without the data, in DER.
func sign(cert tls.Certificate, data []byte) ([]byte, error) {
	digest, err := digestFor(cert.Leaf)
	if err != nil {
		return nil, err
	}
	signed, err := pkcs7.NewSignedData(data)
	if err != nil {
		return nil, err
	}
	signed.SetDigestAlgorithm(digest)
	if err := signed.AddSigner(cert.Leaf, cert.PrivateKey, pkcs7.SignerInfoConfig{}); err != nil {
		return nil, err
	}
	for _, der := range cert.Certificate[1:] {
		issuer, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		signed.AddCertificate(issuer)
	}
	signed.Detach()
	return signed.Finish()
}

// digestFor returns the hash function that is as strong as the key.
func digestFor(cert *x509.Certificate) (asn1.ObjectIdentifier, error) {
	switch public := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		return pkcs7.OIDDigestAlgorithmSHA256, nil
	case *ecdsa.PublicKey:
		switch bits := public.Params().BitSize; {
		case bits > 384:
			return pkcs7.OIDDigestAlgorithmSHA512, nil
		case bits > 256:
			return pkcs7.OIDDigestAlgorithmSHA384, nil
		}
		return pkcs7.OIDDigestAlgorithmSHA256, nil
	}
	return nil, fmt.Errorf("the library for CMS has no signatures with %v keys; use RSA or ECDSA", cert.PublicKeyAlgorithm)
}
