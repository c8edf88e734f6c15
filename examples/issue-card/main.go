// Issue-card makes a PIV card ready for its holder: keys in the four slots, certificates
// by a demonstration authority, a random management key that only the PIN gives out, and
// new PIN and PUK. What the slots held before is lost.
//
//	go run ./examples/issue-card -emulate              a card in software: needs no hardware
//	go run ./examples/issue-card -serial 21119561      that card, and it must be named
//
// It asks for the card's present PIN and PUK and for the new ones. The management key must
// be the one that every new card has, unless the card keeps its own under the PIN.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/pcsc"
	"github.com/cardoki/cardoki/signer/prompt"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "issue-card:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("issue-card", flag.ContinueOnError)
	serial := flags.String("serial", "", "the card with this serial `number`, whose keys are replaced")
	emulate := flags.Bool("emulate", false, "a card in software")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var asker piv.Asker = prompt.Terminal{}
	var client *piv.Client
	var err error
	switch {
	case *emulate:
		asker = newHolder{}
		client, err = piv.Open(ctx, iso7816.NewChannel(card.New(nil, piv.NewApplication(nil)), nil), &piv.Options{PIN: piv.AskPIN(asker)})
	case *serial == "":
		return errors.New("name the card by -serial, as it loses its keys; card-info tells the number")
	default:
		client, err = piv.Find(ctx, pcsc.Cards(ctx, nil), piv.Match{Serial: *serial}, &piv.Options{PIN: piv.AskPIN(asker)})
	}
	if err != nil {
		return err
	}
	defer client.Close()
	if err := authenticate(ctx, client); err != nil {
		return err
	}
	if err := issue(ctx, client, out); err != nil {
		return err
	}
	return secrets(ctx, client, asker, out)
}

// authenticate uses the management key that the card keeps, or else, where the card says
// that it is the one that everybody knows, that one.
func authenticate(ctx context.Context, client *piv.Client) error {
	m, err := client.ManagementKeyMetadata(ctx)
	if err != nil {
		return err
	}
	if !m.Default {
		return client.AuthenticateProtectedManagementKey(ctx)
	}
	known := []byte("\x01\x02\x03\x04\x05\x06\x07\x08\x01\x02\x03\x04\x05\x06\x07\x08\x01\x02\x03\x04\x05\x06\x07\x08")
	return client.AuthenticateManagementKey(ctx, m.Algorithm, known)
}

// issue fills the slots.
func issue(ctx context.Context, client *piv.Client, out io.Writer) error {
	ca, err := piv.NewAuthority("Issue-card demonstration CA")
	if err != nil {
		return err
	}
	for _, s := range []struct {
		slot      piv.Slot
		algorithm piv.Algorithm
	}{
		{piv.SlotAuthentication, piv.AlgorithmP256},
		{piv.SlotSignature, piv.AlgorithmP384},
		{piv.SlotKeyManagement, piv.AlgorithmRSA2048},
		{piv.SlotCardAuthentication, piv.AlgorithmP256},
	} {
		cert, err := ca.Issue(ctx, client, s.slot, s.algorithm, nil)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "Slot %v: %v, %q\n", s.slot, s.algorithm, cert.Subject)
	}
	return nil
}

// secrets replaces management key, PUK and PIN.
func secrets(ctx context.Context, client *piv.Client, asker piv.Asker, out io.Writer) error {
	if err := client.ProtectManagementKey(ctx, piv.AlgorithmAES256); err != nil {
		return err
	}
	fmt.Fprintln(out, "The card keeps a random management key, for who knows the PIN.")
	for _, s := range []struct {
		name   string
		change func(ctx context.Context, old, new []byte) error
	}{{"PUK", client.ChangePUK}, {"PIN", client.ChangePIN}} {
		old, err := asker.AskSecret(ctx, "Present "+s.name)
		if err != nil {
			return err
		}
		defer clear(old)
		fresh, err := asker.AskSecret(ctx, "New "+s.name+", 6 to 8 characters")
		if err != nil {
			return err
		}
		defer clear(fresh)
		if err := s.change(ctx, old, fresh); err != nil {
			return err
		}
		fmt.Fprintf(out, "The %s is changed.\n", s.name)
	}
	return nil
}

// newHolder answers for the holder of a card in software.
type newHolder struct{}

func (newHolder) AskSecret(_ context.Context, message string) ([]byte, error) {
	switch message {
	case "Present PUK":
		return []byte("12345678"), nil
	case "Present PIN":
		return []byte("123456"), nil
	}
	return []byte("24681357"), nil
}

func (newHolder) Confirm(context.Context, string) (bool, error) { return false, nil }
