//go:build cgo

package system_test

import (
	"crypto"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/signer"
)

// A signerRefusal is why cells are refused. What is not in signerRefusals is no reason.
type signerRefusal struct {
	words  string // of the cell; why is that of the first with these words
	places []string
	rows   *regexp.Regexp // of their ids
	is     []error        // what the error Is; nil for a *signer.PolicyError
	says   string         // what is in its message
	why    string
}

// Columns that refuse alike.
var (
	onCards   = []string{"PIV", "PIV-pcsc"}
	onModules = []string{"SoftHSM2", "NSS", "Firefox", "OpenSC", "p11-kit"}
)

const (
	noSuchKeys   = "no such keys"
	noPoint      = "no such point"
	invalid      = "invalid"
	unsupported  = "unsupported"
	notShown     = "not shown by OpenSC"
	notUsed      = "not used by OpenSC"
	notByP11Kit  = "not over p11-kit"
	hashesInHost = "hashes in Go only"
)

var unsupportedError = []error{errors.ErrUnsupported}

var signerRefusals = slices.Concat([]signerRefusal{
	{noSuchKeys, onCards, row(`: P-(224|521): `), unsupportedError, "piv: EC key on P-", "PIV cards have RSA, P-256 and P-384, and those of YubiKeys Ed25519 and X25519; SoftHSM2 has no ML-KEM; NSS has no P-224, and that of Debian neither Curve25519 nor ML-KEM"},
	{noSuchKeys, onCards, row(`: ML-KEM-\d+: `), unsupportedError, "piv: import a key of type *mlkem.DecapsulationKey", ""},
	{noSuchKeys, []string{"OpenSC"}, row(`: P-(224|521): `), []error{cryptoki.CKR_FUNCTION_NOT_SUPPORTED}, "C_CreateObject", ""},
	{noSuchKeys, []string{"NSS", "Firefox"}, row(`: P-224: `), []error{cryptoki.CKR_DOMAIN_PARAMS_INVALID}, "C_CreateObject", ""},
	{noSuchKeys, []string{"NSS"}, row(`: (Ed25519|X25519): `), []error{cryptoki.CKR_ATTRIBUTE_VALUE_INVALID}, "C_CreateObject", ""},
	{noSuchKeys, []string{"SoftHSM2", "NSS", "OpenSC", "p11-kit"}, row(`: ML-KEM-\d+: `), []error{errors.ErrUnsupported, cryptoki.CKR_MECHANISM_INVALID}, "C_GenerateKeyPair", ""},
	{notShown, []string{"OpenSC"}, row(`: (Ed25519|X25519): `), []error{cryptoki.ErrNotFound}, "there are: ", "the card has the key, and OpenSC 0.23 knows no keys of Curve25519 on PIV cards"},
	{notUsed, []string{"OpenSC"}, row(`^(RSA|Used by|The key).*: RSA 4096: `), []error{errors.ErrUnsupported, cryptoki.CKR_FUNCTION_NOT_SUPPORTED}, "", "OpenSC 0.23 shows keys of RSA 4096 on PIV cards and does not use them"},
	{notByP11Kit, []string{"p11-kit"}, row(`^(Ed25519|Used by.*|The key.*): Ed25519: (pure|cert|SSH|signer.Check|a signature)`), []error{errors.ErrUnsupported, cryptoki.CKR_MECHANISM_INVALID}, "C_SignInit", "p11-kit 0.24 passes on the mechanisms that it knows: neither CKM_EDDSA nor CKM_ECDH1_DERIVE"},
	{notByP11Kit, []string{"p11-kit"}, row(`^(Options: Ed25519: (Verify|Timeout that is not|Before is told)|Policy: Ed25519: Ed25519 where no hash)`), []error{errors.ErrUnsupported, cryptoki.CKR_MECHANISM_INVALID}, "C_SignInit", ""},
	{notByP11Kit, []string{"p11-kit"}, row(`^(Key agreement: (P-256|P-384|P-521): ecdh.KeyExchanger ✓|Key agreement: X25519|Used by.*: HPKE)`), unsupportedError, "key agreement by this token", ""},
	{notByP11Kit, []string{"p11-kit"}, row(`^The key of the public key: X25519: `), unsupportedError, "key agreement by this token", ""},
	{"an empty challenge", onCards, row(`, an empty message$`), unsupportedError, "piv: sign an empty message", "GENERAL AUTHENTICATE has no room for an empty message: an empty challenge asks the card for one"},
	{noPoint, onCards, row(`of low order$`), []error{apdu.StatusIncorrectParametersInData}, "GENERAL AUTHENTICATE", "a shared secret of all zeros is no secret (RFC 7748, 6.1)"},
	{noPoint, []string{"SoftHSM2"}, row(`of low order$`), []error{cryptoki.CKR_GENERAL_ERROR}, "C_DeriveKey", ""},
	{noPoint, []string{"Firefox"}, row(`of low order$`), []error{cryptoki.CKR_KEY_SIZE_RANGE}, "C_DeriveKey", ""},
	{hashesInHost, onCards, row(`: (RSA \d+|P-256|P-384): .* hashed in the token`), unsupportedError, "hashing in the device, with a key of type *piv.Key", "a PIV card signs digests; signer.HashOnHost is the default"},
	{"PKCS#11 has no mechanism", onModules, row(`^RSA PKCS.*: SHA-512/256, message, hashed in the token`), unsupportedError, "in one by this token", "none that hashes with SHA-512/256 and signs in one; signer.HashOnHost is the default"},
	{unsupported, nil, row(`^Ed25519: Ed25519: Ed25519(ctx|ph)`), unsupportedError, "Ed25519", "what keys of this type do not do; Ed25519ph and Ed25519ctx want a key that is signer.Able to, and none is here: PIV cards have no command for them, SoftHSM2 makes signatures that do not verify, and NSS and p11-kit refuse"},
	{unsupported, nil, row(`^Options: P-256: a digest, with Hash: HashOnDevice`), unsupportedError, "use SignMessage", ""},
	{unsupported, nil, row(`^Key agreement: P-224: `), unsupportedError, "key agreement on P-224", ""},
	{unsupported, nil, row(`^Refused before.*: (RSA 2048: (.*nobody knows|.*BLAKE2b-256|OAEP without a hash)|Ed25519: .*(SHA-256|context of).*)`), unsupportedError, "signer: ", ""},
	{unsupported, nil, row(`^Refused before.*: (P-256: (RSA-PSS|decryption|decapsulation)|X25519: a signature|(RSA 2048|Ed25519): key agreement|RSA 2048: decryption with options)`), unsupportedError, "signer: ", ""},
	{invalid, nil, row(`^Refused before.*: (a digest, no options|a digest of 31 bytes|246 bytes|no digest|PSS with|a ciphertext of 255|a session key that)`), []error{signer.ErrInvalid}, "", "what no key of this type and size takes: a wrong length, no options"},
	{invalid, nil, row(`a peer on another curve$|a ciphertext that is too short$`), []error{signer.ErrInvalid}, "", ""},
	{"policy", nil, row(`^Policy: .*(where (PSS|SHA-256|signatures|P-384|P-256|ECDSA)|(Min|Max)RSABits)`), nil, "the policy does not allow", "what signer.Options.Policy does not allow; the error names it"},
}, hashingRefusals())

// hashingRefusals are the mechanisms that hash and sign in one and that tokens do not have.
func hashingRefusals() (all []signerRefusal) {
	add := func(places []string, section string, hash crypto.Hash, mechanism cryptoki.MechanismType) {
		all = append(all, signerRefusal{
			"no " + mechanism.String(), places, row("^" + regexp.QuoteMeta(section) + ": .*: " + regexp.QuoteMeta(hash.String()) + ",.* message, hashed in the token"),
			unsupportedError, "in one by this token", "it is not in the token's list of mechanisms; signer.HashOnHost is the default",
		})
	}
	for _, h := range tokenHashes {
		switch h.hash {
		case crypto.SHA3_256:
			add(onModules, pkcs1v15Section, h.hash, h.rsa)
			add(onModules, pssSection, h.hash, h.rsaPSS)
			add(onModules, "ECDSA", h.hash, h.ecdsa)
			continue
		case crypto.SHA224:
			add([]string{"p11-kit"}, pkcs1v15Section, h.hash, h.rsa)
		}
		add([]string{"p11-kit"}, pssSection, h.hash, h.rsaPSS)
		add([]string{"SoftHSM2", "p11-kit"}, "ECDSA", h.hash, h.ecdsa)
	}
	return all
}

func row(pattern string) *regexp.Regexp { return regexp.MustCompile(pattern) }

func (r *signerRefusal) concerns(place string, row *signerRow) bool {
	return (r.places == nil || slices.Contains(r.places, place)) && r.rows.MatchString(row.id())
}

func (r *signerRefusal) explains(err error) bool {
	if r.is == nil {
		if _, ok := errors.AsType[*signer.PolicyError](err); !ok {
			return false
		}
	}
	for _, target := range r.is {
		if !errors.Is(err, target) {
			return false
		}
	}
	return strings.Contains(err.Error(), r.says)
}

// class is what the error Is, in Go.
func (r *signerRefusal) class() string {
	if r.is == nil {
		return "`*signer.PolicyError`"
	}
	var names []string
	for _, target := range r.is {
		name := sentinelNames[target]
		if rv, ok := target.(cryptoki.RV); ok {
			name = "cryptoki." + rv.String()
		}
		names = append(names, "`"+name+"`")
	}
	return strings.Join(names, " and ")
}

var sentinelNames = map[error]string{
	errors.ErrUnsupported: "errors.ErrUnsupported", signer.ErrInvalid: "signer.ErrInvalid", cryptoki.ErrNotFound: "cryptoki.ErrNotFound",
	apdu.StatusIncorrectParametersInData: "apdu.StatusIncorrectParametersInData",
}
