package piv

import "context"

// An Asker asks the user, as the types of package prompt do.
type Asker interface {
	// AskSecret shows message and returns what the user enters, for the caller to clear.
	AskSecret(ctx context.Context, message string) ([]byte, error)
	// Confirm shows message and reports whether the user says yes.
	Confirm(ctx context.Context, message string) (bool, error)
}

// AskPIN returns a callback for [Options].PIN that asks by a, telling key and tries left.
// The last try is spent only when the user confirms that first; else the error is
// [ErrLastTry].
func AskPIN(a Asker) func(ctx context.Context, r PINRequest) ([]byte, error) {
	return func(ctx context.Context, r PINRequest) ([]byte, error) {
		if r.Remaining == 1 {
			yes, err := a.Confirm(ctx, "One try is left: a wrong PIN blocks the card. Go on?")
			if err != nil {
				return nil, err
			}
			if !yes {
				return nil, ErrLastTry
			}
			r.AllowLastTry()
		}
		return a.AskSecret(ctx, r.String())
	}
}
