//go:build cgo

package system_test

import (
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/cryptoki"
)

func moduleRows() []tokenRow {
	const section = "Module, slots, token, login"
	row := func(name string, try func(x *tokenTrial) error) tokenRow {
		return tokenRow{section, name, unlisted, try}
	}
	return []tokenRow{
		row("C_GetInfo", func(x *tokenTrial) error {
			i, err := x.m.Info()
			if err != nil {
				return err
			}
			return x.works("Cryptoki %v", i.Cryptoki)
		}),
		row("C_GetSlotList", func(x *tokenTrial) error {
			all, err := x.m.Slots(false)
			if err != nil {
				return err
			}
			full, err := x.m.Slots(true)
			if err != nil {
				return err
			}
			return x.works("%d slots, %d tokens", len(all), len(full))
		}),
		row("C_GetSlotInfo", func(x *tokenTrial) error {
			i, err := x.slot.Info()
			if err == nil && i.Flags&cryptoki.CKF_TOKEN_PRESENT == 0 {
				return wrong("the token is absent")
			}
			return err
		}),
		row("C_GetTokenInfo", func(x *tokenTrial) error {
			i, err := x.slot.Token()
			if err == nil && (i.Label == "" || !i.Initialized()) {
				return wrong("no token")
			}
			if err != nil {
				return err
			}
			switch i.MaxSessions {
			case 0:
				return x.works("sessions without a limit")
			case ^uint(0):
				return x.works("limit of sessions not told")
			}
			return x.works("%d sessions", i.MaxSessions)
		}),
		row("C_GetMechanismList and C_GetMechanismInfo of all", func(x *tokenTrial) error {
			list, err := x.slot.Mechanisms()
			if err != nil {
				return err
			}
			for _, m := range list {
				if _, err := x.slot.Mechanism(m); err != nil {
					return fmt.Errorf("%v: %w", m, err)
				}
			}
			return x.works("%d", len(list))
		}),
		row("C_OpenSession, read-only and read-write", func(x *tokenTrial) error {
			for _, rw := range []bool{false, true} {
				s, err := x.slot.OpenSession(x.ctx, rw)
				if err != nil {
					return err
				}
				state, err := s.State(x.ctx)
				s.Close()
				if err != nil {
					return err
				}
				if got := state == cryptoki.CKS_RW_USER_FUNCTIONS; got != rw {
					return wrong("state %d", state)
				}
			}
			return nil
		}),
		row("5,000 sessions", func(x *tokenTrial) error {
			var sessions []*cryptoki.Session
			defer func() {
				for _, s := range sessions {
					s.Close()
				}
			}()
			for range 5000 {
				s, err := x.slot.OpenSession(x.ctx, false)
				if err != nil {
					return fmt.Errorf("after %d: %w", len(sessions), err)
				}
				sessions = append(sessions, s)
			}
			return nil
		}),
		row("C_Login, wrong PIN", func(x *tokenTrial) error {
			if err := x.s.Logout(x.ctx); err != nil {
				return err
			}
			err := x.s.Login(x.ctx, cryptoki.CKU_USER, cryptoki.FixedPIN([]byte("654321")))
			if again := x.login(); again != nil {
				return again
			}
			pin, ok := errors.AsType[*cryptoki.PINError](err)
			if !ok || !pin.Tried {
				return wrong("the refusal is no PINError: %v", err)
			}
			if pin.CountLow {
				x.note = "and CKF_USER_PIN_COUNT_LOW"
			}
			if errors.Is(err, cryptoki.CKR_PIN_INCORRECT) {
				return nil
			}
			return pin.Err
		}),
		row("C_Login, again", func(x *tokenTrial) error { return x.login() }),
		row("C_Logout", func(x *tokenTrial) error {
			if err := x.s.Logout(x.ctx); err != nil {
				return err
			}
			state, err := x.s.State(x.ctx)
			if err != nil {
				return err
			}
			if state != cryptoki.CKS_RW_PUBLIC_SESSION && state != cryptoki.CKS_RO_PUBLIC_SESSION {
				return wrong("state %d", state)
			}
			return x.login()
		}),
		row("C_SetPIN", func(x *tokenTrial) error {
			other := []byte("112233")
			for _, change := range [][2][]byte{{x.setup.pin, other}, {other, x.setup.pin}} {
				if err := x.s.SetPIN(x.ctx, givePINs(change[0], change[1])); err != nil {
					return err
				}
			}
			return nil
		}),
		row("C_Login, security officer, and C_InitPIN", func(x *tokenTrial) error {
			if err := x.s.Logout(x.ctx); err != nil {
				return err
			}
			err := x.s.Login(x.ctx, cryptoki.CKU_SO, cryptoki.FixedPIN(x.setup.soPIN))
			if err == nil {
				err = x.s.InitPIN(x.ctx, cryptoki.FixedPIN(x.setup.pin))
				err = errors.Join(err, x.s.Logout(x.ctx))
			}
			return errors.Join(err, x.login())
		}),
	}
}
