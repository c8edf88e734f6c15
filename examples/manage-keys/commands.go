package main

import (
	"context"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cardoki/cardoki/cryptoki"
)

// classes are those that are listed.
var classes = map[cryptoki.ObjectClass]string{
	cryptoki.CKO_PRIVATE_KEY: "private key", cryptoki.CKO_PUBLIC_KEY: "public key", cryptoki.CKO_SECRET_KEY: "secret key", cryptoki.CKO_CERTIFICATE: "certificate",
}

func list(ctx context.Context, s *cryptoki.Session, out io.Writer, _ []string) error {
	for e, err := range s.Objects(ctx, nil, cryptoki.CKA_CLASS, cryptoki.CKA_LABEL, cryptoki.CKA_ID, cryptoki.CKA_KEY_TYPE, cryptoki.CKA_SENSITIVE, cryptoki.CKA_EXTRACTABLE, cryptoki.CKA_VALUE) {
		if err != nil {
			fmt.Fprintf(out, "one that can't be read: %v\n", err)
			continue
		}
		a := e.Attributes
		class, _ := a.Ulong(cryptoki.CKA_CLASS)
		kind, ok := classes[cryptoki.ObjectClass(class)]
		if !ok {
			continue
		}
		id, _ := a.Value(cryptoki.CKA_ID)
		fmt.Fprintf(out, "%-12s %-24q id %-10X %s\n", kind, a.Text(cryptoki.CKA_LABEL), id, detail(a, cryptoki.ObjectClass(class)))
	}
	return nil
}

// detail says what is worth knowing of an object of its class.
func detail(a cryptoki.Attributes, class cryptoki.ObjectClass) string {
	if class == cryptoki.CKO_CERTIFICATE {
		der, _ := a.Value(cryptoki.CKA_VALUE)
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return "of a form that is not understood"
		}
		return fmt.Sprintf("of %q, valid until %s", cert.Subject, cert.NotAfter.Format("2006-01-02"))
	}
	t, _ := a.Ulong(cryptoki.CKA_KEY_TYPE)
	text := cryptoki.KeyType(t).String()
	if class == cryptoki.CKO_PUBLIC_KEY {
		return text
	}
	if extractable, ok := a.Bool(cryptoki.CKA_EXTRACTABLE); ok && !extractable {
		return text + ", never leaves the token"
	}
	if sensitive, _ := a.Bool(cryptoki.CKA_SENSITIVE); sensitive {
		return text + ", leaves the token wrapped only"
	}
	return text + ", CAN BE READ"
}

// kinds are what can be generated.
var kinds = map[string]cryptoki.KeyPairOptions{
	"p256": {Curve: elliptic.P256(), Derive: true}, "p384": {Curve: elliptic.P384(), Derive: true}, "p521": {Curve: elliptic.P521(), Derive: true},
	"ed25519": {Ed25519: true}, "rsa2048": {RSABits: 2048, Decrypt: true}, "rsa3072": {RSABits: 3072, Decrypt: true}, "rsa4096": {RSABits: 4096, Decrypt: true},
}

// newID returns an id that no other key has.
func newID() []byte {
	id := make([]byte, 8)
	rand.Read(id)
	return id
}

// unused fails when a key of this label is there.
func unused(ctx context.Context, s *cryptoki.Session, label string) error {
	there, err := s.FindObjects(ctx, cryptoki.Attributes{cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_PRIVATE_KEY), cryptoki.String(cryptoki.CKA_LABEL, label)})
	if err == nil && len(there) > 0 {
		err = fmt.Errorf("there is a key %q already", label)
	}
	return err
}

func generate(ctx context.Context, s *cryptoki.Session, out io.Writer, args []string) error {
	o, ok := kinds[args[1]]
	if !ok {
		return fmt.Errorf("%q is not p256, p384, p521, ed25519, rsa2048, rsa3072 or rsa4096", args[1])
	}
	if err := unused(ctx, s, args[0]); err != nil {
		return err
	}
	o.Label, o.ID = args[0], newID()
	if _, _, err := s.GenerateKeyPair(ctx, &o); err != nil {
		return err
	}
	fmt.Fprintf(out, "Generated %q, id %X.\n", o.Label, o.ID)
	return nil
}

func importKey(ctx context.Context, s *cryptoki.Session, out io.Writer, args []string) error {
	b, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	defer clear(b)
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" {
		return fmt.Errorf("%s holds no PRIVATE KEY in PEM; openssl pkcs8 -topk8 -nocrypt makes one", args[1])
	}
	defer clear(block.Bytes)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return err
	}
	if err := unused(ctx, s, args[0]); err != nil {
		return err
	}
	o := cryptoki.KeyPairOptions{Label: args[0], ID: newID()}
	if _, _, err := s.ImportKey(ctx, key, &o); err != nil {
		return err
	}
	fmt.Fprintf(out, "Imported %q, id %X. The file still has the key.\n", o.Label, o.ID)
	return nil
}

// keyID returns the id of the key with the label.
func keyID(ctx context.Context, s *cryptoki.Session, label string) ([]byte, error) {
	keys, err := s.FindObjects(ctx, cryptoki.Attributes{cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_PRIVATE_KEY), cryptoki.String(cryptoki.CKA_LABEL, label)})
	if err != nil {
		return nil, err
	}
	if len(keys) != 1 {
		return nil, fmt.Errorf("there are %d keys %q, not one", len(keys), label)
	}
	a, err := s.Attributes(ctx, keys[0], cryptoki.CKA_ID)
	if err != nil {
		return nil, err
	}
	id, _ := a.Value(cryptoki.CKA_ID)
	if len(id) == 0 {
		return nil, fmt.Errorf("the key %q has no id, by which what belongs to it is found", label)
	}
	return id, nil
}

func certificate(ctx context.Context, s *cryptoki.Session, out io.Writer, args []string) error {
	b, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" {
		return fmt.Errorf("%s holds no CERTIFICATE in PEM", args[1])
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	id, err := keyID(ctx, s, args[0])
	if err != nil {
		return err
	}
	if _, err := s.PutCertificate(ctx, args[0], id, cert); err != nil {
		return err
	}
	fmt.Fprintf(out, "Stored the certificate of %q, id %X.\n", cert.Subject, id)
	return nil
}

func remove(ctx context.Context, s *cryptoki.Session, out io.Writer, args []string) error {
	id, err := keyID(ctx, s, args[0])
	if err != nil {
		return err
	}
	objects, err := s.FindObjects(ctx, cryptoki.Attributes{cryptoki.Bytes(cryptoki.CKA_ID, id)})
	if err != nil {
		return err
	}
	var failed error
	for _, o := range objects {
		failed = errors.Join(failed, s.DestroyObject(ctx, o))
	}
	if failed == nil {
		fmt.Fprintf(out, "Deleted %d objects of %q.\n", len(objects), args[0])
	}
	return failed
}
