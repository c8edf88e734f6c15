//go:build cgo

package system_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	_ "crypto/sha3"
	"fmt"

	"github.com/cardoki/cardoki/signer"
)

// A signWay is how something is given to be signed.
type signWay int

const (
	signDigest         signWay = iota // crypto.Signer, a digest or a message of Ed25519
	signMessage                       // crypto.MessageSigner, hashed in Go
	signOnDevice                      // crypto.MessageSigner, hashed in the token
	signOnDeviceDigest                // crypto.Signer, where the token is to hash
)

var signWays = []string{"digest", "message", "message, hashed in the token"}

var (
	signerHashes = []crypto.Hash{crypto.SHA1, crypto.SHA224, crypto.SHA256, crypto.SHA384, crypto.SHA512}
	moreHashes   = []crypto.Hash{crypto.SHA512_224, crypto.SHA512_256, crypto.SHA3_224, crypto.SHA3_256, crypto.SHA3_384, crypto.SHA3_512}
)

// digestOf hashes with what crypto.Hash names. Hash 0 gives what nobody says the hash of.
func digestOf(hash crypto.Hash, message []byte) []byte {
	switch hash {
	case 0:
		return digest256(message)
	case crypto.MD5SHA1: // TLS 1.0 and 1.1
		a, b := md5.Sum(message), sha1.Sum(message)
		return append(a[:], b[:]...)
	}
	h := hash.New()
	h.Write(message)
	return h.Sum(nil)
}

// nameOf names a hash function, or that there is none.
func nameOf(hash crypto.Hash) string {
	if hash == 0 {
		return "no hash named"
	}
	return hash.String()
}

func signRow(section, key, name string, way signWay, opts crypto.SignerOpts, openssl bool) signerRow {
	return signerRow{section: section, key: key, name: name + ", " + signWays[way], openssl: openssl, try: func(x *signerTrial) error {
		return x.signs(way, opts, testMessage)
	}}
}

const (
	pkcs1v15Section = "RSA PKCS #1 v1.5 signatures"
	pssSection      = "RSA-PSS signatures"
)

func pkcs1v15Rows() []signerRow {
	const section = pkcs1v15Section
	var rows []signerRow
	for _, key := range []string{"RSA 2048", "RSA 3072", "RSA 4096"} {
		for _, h := range signerHashes {
			rows = append(rows, signRow(section, key, nameOf(h), signDigest, h, key == "RSA 2048" || h == crypto.SHA256))
		}
		hashes := []crypto.Hash{crypto.SHA256}
		if key == "RSA 2048" {
			for _, h := range append([]crypto.Hash{0, crypto.MD5SHA1, crypto.MD5}, moreHashes...) {
				rows = append(rows, signRow(section, key, nameOf(h), signDigest, h, true))
			}
			hashes = append(append([]crypto.Hash(nil), signerHashes...), crypto.SHA512_256, crypto.SHA3_256)
		}
		for _, way := range []signWay{signMessage, signOnDevice} {
			for _, h := range hashes {
				rows = append(rows, signRow(section, key, nameOf(h), way, h, h == crypto.SHA256))
			}
		}
	}
	return rows
}

func pssRows() []signerRow {
	const section = pssSection
	salts := []struct {
		name string
		n    int
	}{
		{"salt as long as the hash", rsa.PSSSaltLengthEqualsHash}, {"the longest salt (auto)", rsa.PSSSaltLengthAuto},
		{"salt of 1 byte", 1}, {"salt of 20 bytes", 20}, {"salt of 64 bytes", 64},
	}
	pss := func(key string, h crypto.Hash, i int, way signWay) signerRow {
		opts := &rsa.PSSOptions{SaltLength: salts[i].n, Hash: h}
		return signRow(section, key, nameOf(h)+", "+salts[i].name, way, opts, way == signDigest && (h == crypto.SHA256 || i == 0 && key == "RSA 2048"))
	}
	var rows []signerRow
	for _, key := range []string{"RSA 2048", "RSA 3072", "RSA 4096"} {
		for _, h := range signerHashes {
			for i := range salts {
				if i == 0 || key == "RSA 2048" || h == crypto.SHA256 {
					rows = append(rows, pss(key, h, i, signDigest))
				}
			}
		}
		if key != "RSA 2048" {
			rows = append(rows, pss(key, crypto.SHA256, 0, signMessage), pss(key, crypto.SHA256, 0, signOnDevice))
			continue
		}
		for _, h := range moreHashes {
			rows = append(rows, pss(key, h, 0, signDigest))
		}
		for _, way := range []signWay{signMessage, signOnDevice} {
			for _, h := range signerHashes {
				rows = append(rows, pss(key, h, 0, way))
			}
			for i := range salts[1:] {
				rows = append(rows, pss(key, crypto.SHA256, i+1, way))
			}
			rows = append(rows, pss(key, crypto.SHA3_256, 0, way))
		}
	}
	return rows
}

func ecdsaRows() []signerRow {
	const section = "ECDSA"
	var rows []signerRow
	for _, key := range []string{"P-224", "P-256", "P-384", "P-521"} {
		for _, h := range append([]crypto.Hash{0}, signerHashes...) {
			rows = append(rows, signRow(section, key, nameOf(h), signDigest, h, h == 0 || h == crypto.SHA256 || h == crypto.SHA512))
		}
		for _, h := range []crypto.Hash{crypto.SHA512_256, crypto.SHA3_256, crypto.SHA3_512} {
			rows = append(rows, signRow(section, key, nameOf(h), signDigest, h, false))
		}
		for _, way := range []signWay{signMessage, signOnDevice} {
			for _, h := range append(append([]crypto.Hash(nil), signerHashes...), crypto.SHA3_256) {
				rows = append(rows, signRow(section, key, nameOf(h), way, h, h == crypto.SHA256))
			}
		}
	}
	return rows
}

func ed25519Rows() []signerRow {
	const section, key = "Ed25519", "Ed25519"
	return []signerRow{
		signRow(section, key, "pure", signDigest, crypto.Hash(0), true),
		signRow(section, key, "pure, by ed25519.Options", signDigest, &ed25519.Options{}, false),
		signRow(section, key, "pure, by no options", signDigest, nil, false),
		signRow(section, key, "pure", signMessage, crypto.Hash(0), true),
		signRow(section, key, "pure", signOnDevice, crypto.Hash(0), true),
		{section: section, key: key, name: "pure, an empty message", try: func(x *signerTrial) error { return x.signs(signDigest, crypto.Hash(0), nil) }},
		{section: section, key: key, name: "pure, a message of 10,000 bytes", try: func(x *signerTrial) error { return x.signs(signDigest, crypto.Hash(0), make([]byte, 10000)) }},
		signRow(section, key, "Ed25519ctx", signDigest, &ed25519.Options{Context: "context"}, false),
		signRow(section, key, "Ed25519ph", signDigest, crypto.SHA512, false),
		signRow(section, key, "Ed25519ph", signMessage, crypto.SHA512, false),
		signRow(section, key, "Ed25519ph with a context", signDigest, &ed25519.Options{Hash: crypto.SHA512, Context: "context"}, false),
	}
}

// An onlyHashing key is used by SignMessage alone.
type onlyHashing struct {
	unasked
	hashing signer.Hashing
}

func (k onlyHashing) SignMessage(ctx context.Context, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.hashing.SignMessage(ctx, message, opts)
}

// signs signs message and checks the signature.
func (x *signerTrial) signs(way signWay, opts crypto.SignerOpts, message []byte) error {
	key, err := x.signerKey()
	if err != nil {
		return err
	}
	o := &signer.Options{}
	if way == signOnDevice || way == signOnDeviceDigest {
		o.Hash = signer.HashOnDevice
		if h, ok := key.(signer.Hashing); ok && opts.HashFunc() != 0 {
			key = onlyHashing{unasked{key}, h}
		}
	}
	return x.signsWith(signer.New(key, o), way, opts, message)
}

func (x *signerTrial) signsWith(s crypto.MessageSigner, way signWay, opts crypto.SignerOpts, message []byte) error {
	hash := crypto.Hash(0)
	if opts != nil {
		hash = opts.HashFunc()
	}
	_, edwards := s.Public().(ed25519.PublicKey)
	input := message
	if hash != 0 || !edwards {
		input = digestOf(hash, message)
	}
	var sig []byte
	var err error
	if way == signDigest || way == signOnDeviceDigest {
		sig, err = s.Sign(rand.Reader, input, opts)
	} else {
		sig, err = s.SignMessage(rand.Reader, message, opts)
	}
	if err != nil {
		if sig != nil {
			return wrong("a signature besides the error %v", err)
		}
		return err
	}
	return x.right(s.Public(), input, sig, opts)
}

// right checks a signature, and that the check would see a wrong one: for each one that it is not
// of another message, for each algorithm and key that another key does not verify it, nor openssl
// everything.
func (x *signerTrial) right(public crypto.PublicKey, input, sig []byte, opts crypto.SignerOpts) error {
	if !verifies(public, input, sig, opts) {
		return wrong("a signature that does not verify")
	}
	changed := append([]byte{1}, input...)
	if len(input) > 0 {
		changed = append([]byte{input[0] ^ 1}, input[1:]...)
	}
	if verifies(public, changed, sig, opts) {
		return wrong("a signature that verifies for another message")
	}
	algorithm := fmt.Sprintf("%T %s", opts, x.row.key)
	if !x.doubted[algorithm] {
		x.doubted[algorithm] = true
		if verifies(otherKey(public), input, sig, opts) {
			return wrong("a signature that verifies with another key")
		}
	}
	if !x.row.openssl {
		return nil
	}
	if err := x.opensslVerifies(public, input, sig, opts); err != nil {
		return wrong("openssl: %v", err)
	}
	if algorithm += ", openssl"; !x.doubted[algorithm] {
		x.doubted[algorithm] = true
		if x.opensslVerifies(public, changed, sig, opts) == nil || x.opensslVerifies(otherKey(public), input, sig, opts) == nil {
			return wrong("openssl verifies everything")
		}
	}
	return nil
}

// verifies is the standard library's verdict. A salt must be as long as it was asked for.
func verifies(public crypto.PublicKey, input, sig []byte, opts crypto.SignerOpts) bool {
	switch public := public.(type) {
	case *rsa.PublicKey:
		if o, ok := opts.(*rsa.PSSOptions); ok {
			return rsa.VerifyPSS(public, o.Hash, input, sig, &rsa.PSSOptions{SaltLength: saltLength(public, o)}) == nil
		}
		return rsa.VerifyPKCS1v15(public, opts.HashFunc(), input, sig) == nil
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(public, input, sig)
	case ed25519.PublicKey:
		o, ok := opts.(*ed25519.Options)
		if !ok {
			o = &ed25519.Options{}
			if opts != nil {
				o.Hash = opts.HashFunc()
			}
		}
		return ed25519.VerifyWithOptions(public, input, sig, o) == nil
	}
	panic(fmt.Sprintf("a public key of type %T", public))
}

// saltLength is the length that a rule asks for.
func saltLength(public *rsa.PublicKey, o *rsa.PSSOptions) int {
	switch o.SaltLength {
	case rsa.PSSSaltLengthAuto:
		return (public.N.BitLen()+6)/8 - o.Hash.Size() - 2 // RFC 8017, 9.1.1
	case rsa.PSSSaltLengthEqualsHash:
		return o.Hash.Size()
	}
	return o.SaltLength
}
