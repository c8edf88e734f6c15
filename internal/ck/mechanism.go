package ck

// A ParameterKind says what the parameter of a mechanism is.
type ParameterKind uint

// The kinds of parameters, and what A, B, C, D, Data and Data2 of the Mechanism mean
// then. What is not named is not used.
//
// There are two forms of the parameter of CKM_PKCS5_PBKD2 of one size, and a module that gets
// the wrong one crashes: NSS 3.87 wants the pointer, NSS 3.125 does not.
const (
	Plain            ParameterKind = iota // Data: the parameter as it is, such as an IV; empty: none
	Number                                // A: a CK_ULONG, as the length of a MAC or a key's handle
	PSS                                   // A: hash, B: mask generation function, C: length of the salt
	OAEP                                  // A: hash, B: mask generation function, C: source, Data: label
	RSAAES                                // as OAEP, D: bits of the AES key
	ECDH1                                 // A: key derivation function, Data: the other side's public key, Data2: shared data
	GCM                                   // A: bits of the nonce, B: bits of the tag, Data: nonce, Data2: additional data
	CCM                                   // A: length of the data, B: length of the MAC, Data: nonce, Data2: additional data
	ChaCha20Poly1305                      // Data: nonce, Data2: additional data
	CTR                                   // A: bits of the counter, Data: counter block, 16 bytes
	HKDF                                  // A: 1 extract, 2 expand, 3 both; B: hash; C: type of the salt, D: key that is the salt, Data: salt, Data2: info
	PBKDF2                                // A: iterations, B: pseudo-random function, C: source of the salt, Data: salt, Data2: password
	PBKDF2Pointer                         // as PBKDF2, with a pointer to the password\'s length, as the first edition of 2.40 has it
	EdDSA                                 // A: 1 if the data is a digest, Data: context
	Context                               // A: hedge variant, Data: context
	HashContext                           // as Context, B: hash
	StringData                            // Data: data to derive from
	CBCData                               // Data: IV, 16 bytes, Data2: data to derive from
	GCMMessage                            // A: fixed bits of the nonce, B: generator, Data: nonce, Data2: tag
	CCMMessage                            // as GCMMessage, C: length of the data
	ChaCha20Message                       // Data: nonce, Data2: tag
	kinds
)

// A Mechanism is CK_MECHANISM. Its parameter is built in C, as it has pointers.
//
// Data and Data2 are also where a module writes nonces and tags that it makes itself.
// Some HSMs do so for GCM, at C_EncryptInit or as late as C_Encrypt: then Encrypt is
// needed, and not an operation in parts, of which the parameter is gone after the Init.
type Mechanism struct {
	Type        uint
	Kind        ParameterKind
	A, B, C, D  uint
	Data, Data2 []byte

	// Login makes Sign, Encrypt and Decrypt log in with CKU_CONTEXT_SPECIFIC
	// between the Init and the operation, as keys with CKA_ALWAYS_AUTHENTICATE
	// want. A nil PIN is entered at the token. If that fails, Result.Step is Login
	// and the operation is still active in the session.
	Login bool
	PIN   []byte
}
