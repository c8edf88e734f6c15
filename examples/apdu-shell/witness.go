package main

import (
	"context"
	"fmt"
	"io"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/piv"
)

// names are what select knows, and what is said in place of the bytes.
var names = map[string]iso7816.AID{
	"piv":        piv.AID,
	"openpgp":    iso7816.MustParseAID("D27600012401"),
	"oath":       iso7816.MustParseAID("A0000005272101"),
	"fido":       iso7816.MustParseAID("A0000006472F0001"),
	"management": iso7816.MustParseAID("A000000527471117"), // YubiKey's
	"isd":        iso7816.MustParseAID("A000000151000000"), // GlobalPlatform's issuer security domain
	"emrtd":      iso7816.MustParseAID("A0000002471001"),
	"ndef":       iso7816.MustParseAID("D2760000850101"),
	"usim":       iso7816.MustParseAID("A0000000871002"),
	"pse":        iso7816.MustParseAID("315041592E5359532E4444463031"), // 1PAY.SYS.DDF01
	"ppse":       iso7816.MustParseAID("325041592E5359532E4444463031"), // 2PAY.SYS.DDF01
}

// A witness tells every exchange in words, and in bytes if that was asked for.
type witness struct {
	apdu.Decorator
	out      io.Writer
	insecure bool
	words    *apdu.Vocabulary
}

func newWitness(t apdu.Transmitter, out io.Writer, insecure bool) *witness {
	words := piv.Vocabulary()
	for name, aid := range names {
		if aid != piv.AID {
			words.Applications[string(aid.AppendTo(nil))] = name
		}
	}
	return &witness{apdu.Decorator{Transmitter: t}, out, insecure, words}
}

// Transmit passes a command on and tells what came of it.
func (w *witness) Transmit(ctx context.Context, dst, command []byte) ([]byte, error) {
	answer, err := w.Decorator.Transmit(ctx, dst, command)
	if err != nil {
		fmt.Fprintln(w.out, w.words.Explain(command, nil)+" → no answer")
		w.bytes(">", command)
		return answer, err
	}
	fmt.Fprintln(w.out, w.words.Explain(command, answer[len(dst):]))
	w.bytes(">", command)
	w.bytes("<", answer[len(dst):])
	return answer, nil
}

func (w *witness) bytes(direction string, b []byte) {
	if w.insecure {
		fmt.Fprintf(w.out, "    %s %s\n", direction, apdu.FormatHex(b))
	}
}
