// Package card is a card in software: it answers command APDUs as a card in a
// reader does, for tests, demonstrations and services.
//
// A [Card] is an [apdu.Transmitter], so it stands wherever a reader connection
// can: below an iso7816.Channel, or behind a real pcscd by way of package vpcd.
// What it can do is the work of its applications, such as piv.Application:
//
//	ch := iso7816.NewChannel(card.New(nil, piv.NewApplication(nil)), nil)
//	client, err := piv.Open(ctx, ch, nil)
//
// # What the card does, what an application does
//
// The card parses commands, joins chains, keeps what does not fit a response for
// GET RESPONSE, selects applications by full or partial AID, unwraps and wraps
// secure messaging and forgets everything but its [Store] when power goes. An
// [Application] opens a [Session] for each selection; the session answers whole
// logical commands and holds the security status, which dies with it.
//
// Each logical channel that MANAGE CHANNEL opens has its own session, with its own
// security status. What several sessions share is the application's.
//
// # An application of one's own
//
// A purse, whose coins only the holder of the PIN can set:
//
//	type purse struct{}
//
//	func (purse) AID() iso7816.AID { return iso7816.MustParseAID("F000000001") }
//
//	func (purse) Open(env *card.Env) (card.Session, error) {
//		pin, err := card.OpenPIN(env.Store, "pin", []byte("1234"), 3)
//		return &payment{pin, env.Store}, err
//	}
//
//	type payment struct {
//		pin   *card.PIN
//		store card.Store
//	}
//
//	func (*payment) Select(*card.ResponseWriter) apdu.Status { return apdu.StatusOK }
//
//	func (p *payment) Close() { p.pin.Verified = false }
//
//	func (p *payment) ServeAPDU(_ context.Context, w *card.ResponseWriter, c *apdu.Command) apdu.Status {
//		switch c.Instruction {
//		case apdu.InsVerify:
//			return p.pin.Serve(c)
//		case apdu.InsReadBinary:
//			coins, err := p.store.Load("coins")
//			if err != nil {
//				coins = []byte{0}
//			}
//			w.Write(coins)
//			return apdu.StatusOK
//		case apdu.InsUpdateBinary:
//			if !p.pin.Verified {
//				return apdu.StatusSecurityStatusNotSatisfied
//			}
//			if len(c.Data) != 1 {
//				return apdu.StatusWrongLength
//			}
//			if p.store.Commit("coins", c.Data) != nil {
//				return apdu.StatusMemoryFailure
//			}
//			return apdu.StatusOK
//		}
//		return apdu.StatusInstructionNotSupported
//	}
//
// A [PIN] has its retry counter in the store, where pulling the card out saves no
// try. An application whose lasting state is one piece puts a [Reference] into it.
//
// # Persistence
//
// What must survive power off is in a [Store]: in memory ([NewMemoryStore]), or
// in a file ([OpenFileStore]). A commit is all or nothing: power cut at any moment
// leaves the old value or the new one. [Card.Snapshot] and [Card.Restore] take the
// whole state and put it back, for a test that wants a fresh card each time.
//
// Commands that change several values do so with one commit, of one name.
//
// # Concurrency
//
// A Card is safe for concurrent use and handles one command at a time. It calls
// its applications and sessions from one goroutine at a time.
//
// # Documents
//
// ISO/IEC 7816-3:2006 and ISO/IEC 7816-4:2013.
package card
