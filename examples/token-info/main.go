// Token-info tells what a PKCS#11 module, its slots, its tokens and their mechanisms are.
// It logs nobody in and changes nothing.
//
//	go run ./examples/token-info -module /usr/lib/softhsm/libsofthsm2.so
//	go run ./examples/token-info -module MODULE -uri 'pkcs11:token=my%20token'
//	go run ./examples/token-info -module MODULE -mechanisms
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/cardoki/cardoki/cryptoki"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "token-info:", err)
		}
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("token-info", flag.ContinueOnError)
	path := flags.String("module", "", "the `path` of the PKCS#11 module")
	uri := flags.String("uri", "pkcs11:", "tell of the slots and tokens that fit this PKCS#11 `URI` only")
	mechanisms := flags.Bool("mechanisms", false, "list the mechanisms too")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *path == "" || flags.NArg() > 0 {
		return errors.New("name a module with -module, and nothing else; see -help")
	}
	u, err := cryptoki.ParseURI(*uri, nil)
	if err != nil {
		return err
	}
	module, err := cryptoki.Open(*path, nil)
	if err != nil {
		return err
	}
	defer module.Close()
	info, err := module.Info()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Module %s\n  made by      %s\n  is           %s, version %v\n  speaks       PKCS#11 %v\n", *path, info.Manufacturer, info.Description, info.Library, info.Cryptoki)
	slots, err := module.Slots(false)
	if err != nil {
		return err
	}
	for _, slot := range slots {
		// One strange slot does not hide the others.
		if err := describe(out, slot, u, *mechanisms); err != nil {
			fmt.Fprintf(out, "\nSlot %d\n  not read     %v\n", slot.ID(), err)
		}
	}
	return nil
}

func describe(out io.Writer, slot *cryptoki.Slot, u *cryptoki.URI, mechanisms bool) error {
	info, err := slot.Info()
	if err != nil {
		return err
	}
	if !u.MatchSlot(slot.ID(), &info) {
		return nil
	}
	token, err := slot.Token()
	absent := errors.Is(err, cryptoki.CKR_TOKEN_NOT_PRESENT)
	switch {
	case err != nil && !absent:
		return err
	case absent && u.String() != "pkcs11:", !absent && !u.MatchToken(&token):
		return nil
	}
	fmt.Fprintf(out, "\nSlot %d\n  is           %s, by %s\n", slot.ID(), info.Description, info.Manufacturer)
	if absent {
		fmt.Fprintln(out, "  token        none")
		return nil
	}
	if !token.Initialized() {
		fmt.Fprintf(out, "  token        not initialised, %s by %s\n", token.Model, token.Manufacturer)
		return nil
	}
	fmt.Fprintf(out, "  token        %q, serial number %s\n", token.Label, token.Serial)
	fmt.Fprintf(out, "  model        %s by %s, hardware %v, firmware %v\n", token.Model, token.Manufacturer, token.Hardware, token.Firmware)
	fmt.Fprintf(out, "  user's PIN   %s\n", strings.Join(pinWords(&token), ", "))
	fmt.Fprintf(out, "  sessions     %s\n", sessions(token.MaxSessions))
	list, err := slot.Mechanisms()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  mechanisms   %d\n", len(list))
	if mechanisms {
		for _, m := range list {
			i, err := slot.Mechanism(m)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "    %-34v %s\n", m, keySizes(i))
		}
	}
	return nil
}

// pinWords says what the token tells of its user's PIN.
func pinWords(t *cryptoki.TokenInfo) []string {
	words := []string{fmt.Sprintf("%d to %d bytes", t.MinPIN, t.MaxPIN)}
	for _, w := range []struct {
		is   bool
		word string
	}{
		{!t.LoginRequired(), "not needed"},
		{!t.PINInitialized(), "not set yet"},
		{t.PINPad(), "entered at the token itself"},
		{t.PINCountLow(cryptoki.CKU_USER), "a wrong one was given"},
		{t.PINFinalTry(cryptoki.CKU_USER), "ONE TRY IS LEFT"},
		{t.PINLocked(cryptoki.CKU_USER), "LOCKED"},
	} {
		if w.is {
			words = append(words, w.word)
		}
	}
	return words
}

func sessions(most uint) string {
	switch most {
	case 0:
		return "as many as you like"
	case ^uint(0):
		return "it does not tell how many"
	}
	return fmt.Sprintf("at most %d", most)
}

func keySizes(i cryptoki.MechanismInfo) string {
	if i.MaxKeySize == 0 {
		return ""
	}
	return fmt.Sprintf("keys of %d to %d", i.MinKeySize, i.MaxKeySize)
}
