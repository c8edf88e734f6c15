// Package rsapad makes and takes off the paddings of RFC 8017 for devices that
// only do the raw RSA operation, as PIV cards do.
//
// The Encode functions give the encoded message EM, as long as the modulus, that
// the device signs. The Decode functions take the EM that the device decrypted.
// They run in constant time as far as RFC 8017 asks for it, and give one and the
// same error, [ErrDecryption], for every EM that is wrong: whoever can tell the
// ways in which it is wrong from each other can decrypt.
//
// # Secrets
//
// An EM that was decrypted holds the plaintext. It belongs to the caller, who
// clears it when he has used what was found in it. Whatever else held a secret is
// cleared here.
//
// Everything here may be called from any goroutine.
package rsapad
