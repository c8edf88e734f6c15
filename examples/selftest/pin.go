package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/signer/prompt"
)

// errPIN ends the trying of keys that want a PIN.
var errPIN = errors.New("no PIN")

// A holder is asked for the PIN once.
type holder struct {
	pin   []byte // kept until the end for keys that want it each time
	asked bool
}

func (h *holder) ask(ctx context.Context, message string) ([]byte, error) {
	if !h.asked {
		h.asked = true
		pin, err := prompt.Terminal{}.AskSecret(ctx, message)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errPIN, err)
		}
		h.pin = pin
	}
	if h.pin == nil {
		return nil, errPIN
	}
	return bytes.Clone(h.pin), nil
}

func (h *holder) forget() { clear(h.pin); h.pin = nil }

// forCard is a piv.Options.PIN.
func (h *holder) forCard(ctx context.Context, r piv.PINRequest) ([]byte, error) {
	if r.Remaining == 1 {
		return nil, fmt.Errorf("%w: one try is left, which is not spent here", errPIN)
	}
	return h.ask(ctx, r.String())
}

// forToken is a cryptoki.PINFunc.
func (h *holder) forToken(ctx context.Context, r cryptoki.PINRequest) ([]byte, error) {
	if r.FinalTry {
		return nil, fmt.Errorf("%w: one try is left, which is not spent here", errPIN)
	}
	return h.ask(ctx, fmt.Sprintf("PIN of token %q", r.Token))
}
