package main

import (
	"context"
	"errors"
	"time"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/piv"
)

// A tester tries keys, until a PIN is refused: what follows could cost a try each.
type tester struct {
	ctx     context.Context
	report  *report
	refused error // the PIN was
}

// try does what operations there are, or only the first where each costs a touch.
func (x *tester) try(list []operation, once bool) *tally {
	t := &tally{}
	for i, o := range list {
		switch {
		case x.refused != nil:
			t.skipped = append(t.skipped, "the rest: not tried, as the PIN was refused")
			return t
		case once && i > 0:
			t.skipped = append(t.skipped, "the rest: not tried, as each wants a touch")
			return t
		}
		start := time.Now()
		err := o.do(x.ctx)
		took := time.Since(start)
		switch {
		case err == nil:
			t.worked(o.name, took)
		case pinTrouble(err):
			x.refused = err
			t.failed = append(t.failed, o.name+": "+x.report.why(err))
		case errors.Is(err, errors.ErrUnsupported):
			t.refused = append(t.refused, o.name+": "+x.report.why(err))
		default:
			t.failed = append(t.failed, o.name+": "+x.report.why(err))
		}
	}
	return t
}

// pinTrouble reports whether an error is about the PIN, or about somebody who was to give
// it.
func pinTrouble(err error) bool {
	if _, ok := errors.AsType[*cryptoki.PINError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*iso7816.VerifyError](err); ok {
		return true
	}
	return errors.Is(err, errPIN) || errors.Is(err, piv.ErrLastTry) || errors.Is(err, piv.ErrPINRequired) || errors.Is(err, context.Canceled)
}
