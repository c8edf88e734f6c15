package card_test

import (
	"context"
	"fmt"
	"log"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
)

// A purse holds up to 255 coins. READ BINARY tells how many, and after VERIFY of the
// PIN, UPDATE BINARY sets them.
type purse struct{}

func (purse) AID() iso7816.AID { return iso7816.MustParseAID("F000000001") }

func (purse) Open(env *card.Env) (card.Session, error) {
	pin, err := card.OpenPIN(env.Store, "pin", []byte("1234"), 3)
	return &payment{pin, env.Store}, err
}

type payment struct {
	pin   *card.PIN
	store card.Store
}

func (*payment) Select(*card.ResponseWriter) apdu.Status { return apdu.StatusOK }

func (p *payment) Close() { p.pin.Verified = false }

func (p *payment) ServeAPDU(_ context.Context, w *card.ResponseWriter, c *apdu.Command) apdu.Status {
	switch c.Instruction {
	case apdu.InsVerify:
		return p.pin.Serve(c)
	case apdu.InsReadBinary:
		coins, err := p.store.Load("coins")
		if err != nil {
			coins = []byte{0}
		}
		w.Write(coins)
		return apdu.StatusOK
	case apdu.InsUpdateBinary:
		if !p.pin.Verified {
			return apdu.StatusSecurityStatusNotSatisfied
		}
		if len(c.Data) != 1 {
			return apdu.StatusWrongLength
		}
		if p.store.Commit("coins", c.Data) != nil {
			return apdu.StatusMemoryFailure
		}
		return apdu.StatusOK
	}
	return apdu.StatusInstructionNotSupported
}

// A card application of one's own, with a PIN and lasting state, used as a host uses
// any card.
func Example() {
	ctx := context.Background()
	c := card.New(nil, purse{})
	ch := iso7816.NewChannel(c, nil)
	if _, err := ch.SelectApplication(ctx, purse{}.AID()); err != nil {
		log.Fatal(err)
	}
	_, err := ch.UpdateBinary(ctx, 0, []byte{5})
	fmt.Println(err)
	fmt.Println(ch.Verify(ctx, 0x80, []byte("0000")))
	if err := ch.Verify(ctx, 0x80, []byte("1234")); err != nil {
		log.Fatal(err)
	}
	if _, err := ch.UpdateBinary(ctx, 0, []byte{5}); err != nil {
		log.Fatal(err)
	}
	c.Reset() // the security status is gone, the coins are not
	if _, err := ch.SelectApplication(ctx, purse{}.AID()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(ch.ReadBinary(ctx, 0, 1))
	// Output:
	// iso7816: UPDATE BINARY: 6982 security status not satisfied
	// iso7816: VERIFY: 63C2 verification failed, 2 tries left
	// [5] <nil>
}

// What a test did to a card can be undone.
func ExampleCard_Restore() {
	c := card.New(nil, purse{})
	fresh, err := c.Snapshot()
	if err != nil {
		log.Fatal(err)
	}
	// … commands that change the card …
	if err := c.Restore(fresh); err != nil {
		log.Fatal(err)
	}
	fmt.Println(fresh)
	// Output: [card snapshot]
}
