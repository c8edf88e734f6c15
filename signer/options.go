package signer

import (
	"context"
	"crypto"
	"errors"
	"time"
)

// A VerifyPolicy says which signatures are verified with the public key before
// they are returned.
type VerifyPolicy int

// The policies.
const (
	VerifyDefault VerifyPolicy = iota // every RSA signature, and the first of any other key
	VerifyAlways                      // every signature
	VerifyNever                       // none: for devices that are trusted not to fail or change
)

// A HashPlace says where messages are hashed.
type HashPlace int

// The places.
const (
	// HashOnHost hashes in Go: the device sees a digest.
	HashOnHost HashPlace = iota
	// HashOnDevice lets the device hash, for which the key must be [Hashing].
	// Digests from elsewhere are refused: Sign then only takes the messages of
	// Ed25519.
	HashOnDevice
)

// Options changes what [New] and its like make. The zero value, and a nil pointer,
// are ready to use. They are copied; what they point to must not change.
type Options struct {
	// Context is given to the key, as crypto.Signer has no context of its own.
	// It ends waiting for a PIN, a touch or the device. Nil means
	// context.Background. WithContext is for one that is known later.
	Context context.Context
	// Timeout ends each use of the key, with context.DeadlineExceeded; Before
	// counts. 0 means none.
	Timeout time.Duration
	// Before, if not nil, is called before each use of the key, with what will be
	// done, by the goroutine that uses it: to tell the user to touch the key, to
	// ask for consent, to write a log. Its error refuses the use and is returned.
	// The function that it returns, if not nil, is called when the key has
	// answered, with the outcome. It is called for a signature before that is
	// verified. Uses by several goroutines call it at the same time.
	Before func(ctx context.Context, op Operation) (after func(error), err error)
	// Policy says what the key is used for; nil allows all that can be verified.
	Policy *Policy
	// Verify says which signatures are verified.
	Verify VerifyPolicy
	// Hash says where SignMessage hashes.
	Hash HashPlace
}

// A device is a key with its options, shared by all copies of a Signer.
type device struct {
	pub  crypto.PublicKey
	opts Options
}

func newDevice(pub crypto.PublicKey, opts *Options) device {
	d := device{pub: pub}
	if opts != nil {
		d.opts = *opts
	}
	if d.opts.Context == nil {
		d.opts.Context = context.Background()
	}
	return d
}

// use calls f for op. own is the context of WithContext, or nil: then that of the
// options counts alone.
func (d *device) use(own context.Context, op Operation, f func(context.Context) error) error {
	op.Public = d.pub
	if err := d.opts.Policy.Check(op); err != nil {
		return err
	}
	ctx, done := d.context(own)
	defer done()
	if d.opts.Before == nil {
		return f(ctx)
	}
	after, err := d.opts.Before(ctx, op)
	if err != nil {
		return err
	}
	err = f(ctx)
	if after != nil {
		after(err)
	}
	return err
}

func nothing() {}

// context returns one that ends with own and with that of the options, or when the
// time is out.
func (d *device) context(own context.Context) (context.Context, func()) {
	ctx, done := d.opts.Context, nothing
	if own != nil {
		if base := ctx; base.Done() != nil {
			c, cancel := context.WithCancelCause(own)
			stop := context.AfterFunc(base, func() { cancel(context.Cause(base)) })
			ctx, done = c, func() { stop(); cancel(nil) }
		} else {
			ctx = own
		}
	}
	if d.opts.Timeout > 0 {
		c, cancel := context.WithTimeout(ctx, d.opts.Timeout)
		outer := done
		return c, func() { cancel(); outer() }
	}
	return ctx, done
}

// refusal reports whether an error was made without asking the device.
func refusal(err error) bool {
	if _, ok := errors.AsType[*PolicyError](err); ok {
		return true
	}
	return errors.Is(err, ErrInvalid) || errors.Is(err, errors.ErrUnsupported)
}
