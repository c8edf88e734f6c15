// Package prompt asks the user for PINs: at the terminal, by an askpass program, or by
// pinentry. What it returns is the caller's to clear; nothing is kept, and nothing is
// ever shown of what was typed.
//
//	client, err := piv.Open(ctx, ch, &piv.Options{PIN: piv.AskPIN(prompt.Terminal{})})
//
// [Terminal] asks at the controlling terminal, [Askpass] runs a program such as
// ssh-askpass, [Pinentry] speaks to GnuPG's pinentry. All three end with their context,
// and have the same two questions: AskSecret and Confirm.
//
// # Concurrency
//
// All types are safe for concurrent use, though two questions at one terminal at once
// are a bad idea.
package prompt

import "errors"

// ErrCancelled is returned when the user does not answer: Ctrl-C, or a cancel button.
var ErrCancelled = errors.New("prompt: the user cancelled")

// maxSecret is the longest answer that is taken, in bytes.
const maxSecret = 1024

// errTooLong reports an answer that is no PIN.
var errTooLong = errors.New("prompt: the answer is longer than 1,024 bytes")
