package system_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/pcsc"
	"github.com/cardoki/cardoki/pcsc/vpcd"
)

// stepLimit is how long a step may take that succeeds in the end.
const stepLimit = 20 * time.Second

// needPCSCD ends the test where the parts of a private pcscd are missing.
func needPCSCD(t testing.TB) {
	t.Helper()
	const packages = "pcscd vsmartcard-vpcd"
	system.Need(t, "pcscd", packages)
	system.NeedFile(t, "/usr/lib/pcsc/drivers/serial/libifdvpcd.so", packages)
}

// chaos is a program at a card, and what is done to both.
type chaos struct {
	t      *testing.T
	daemon *system.PCSCD
	remove func() // takes the card out
	card   *watchedCard
	public crypto.PublicKey // of the card's key
	pc     *pcsc.Context    // to wait for cards
	other  *process

	conn   *pcsc.Conn
	ch     *iso7816.Channel
	client *piv.Client
	key    *piv.Key
	asked  atomic.Int64

	fig       figures
	answers   atomic.Int64
	wrong     atomic.Int64
	recovered []time.Duration
	open      [2]int // descriptors of this process and of pcscd at the beginning
}

// newCardWithKey returns a card with a PIV application that has a key, and with the counters
// given, and the public key.
func newCardWithKey(t *testing.T, slot piv.Slot, counters ...card.Application) (*watchedCard, crypto.PublicKey) {
	t.Helper()
	c := &watchedCard{Card: card.New(nil, append([]card.Application{newApplication()}, counters...)...)}
	client, err := piv.Open(t.Context(), iso7816.NewChannel(c, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	if err := provision(t.Context(), client, ca, slot, piv.AlgorithmP256); err != nil {
		t.Fatal(err)
	}
	key, err := client.Key(t.Context(), slot)
	if err != nil {
		t.Fatal(err)
	}
	c.Reset()
	return c, key.Public()
}

func newChaos(t *testing.T, other bool) *chaos {
	c := &chaos{t: t, daemon: system.StartPCSCD(t, nil), fig: figures{Errors: map[string]int{}}}
	c.card, c.public = newCardWithKey(t, piv.SlotAuthentication, &counter{aid: counterAID(1)})
	c.insert()
	t.Cleanup(func() { c.remove() })
	var err error
	if c.pc, err = pcsc.Establish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.pc.Close() })
	t.Cleanup(func() {
		if c.conn != nil {
			c.conn.Close()
		}
	})
	if other {
		if _, err := c.pc.WaitForCard(t.Context(), c.here); err != nil {
			t.Fatal(err)
		}
		c.other = startProcess(t, "TestChaos", "other")
		c.awaitOther()
	}
	c.recover(true)
	c.recovered = nil
	c.open = c.descriptors()
	return c
}

func (c *chaos) here(r pcsc.Reader) bool { return r.Name == c.daemon.Readers[0] }

// must ends the scenario unless f returns nil within limit.
func (c *chaos) must(what string, limit time.Duration, f func(ctx context.Context) error) {
	c.t.Helper()
	if err := c.do(what, limit, f); err != nil {
		c.t.Fatalf("%s: %v", what, err)
	}
}

// do calls f, and ends the scenario when that does not come back.
func (c *chaos) do(what string, limit time.Duration, f func(ctx context.Context) error) error {
	c.t.Helper()
	err, returned := within(limit, f)
	if !returned {
		c.fig.Hangs++
		stacks := make([]byte, 1<<20)
		c.t.Fatalf("%s: hangs\n%s", what, stacks[:runtime.Stack(stacks, true)])
	}
	return err
}

// use does what a program does: each answer is that to its own question.
func (c *chaos) use(ctx context.Context) error {
	serial, err := c.client.Serial(ctx)
	if err != nil {
		return err
	}
	c.answered(serial == fmt.Sprint(testSerial))
	return c.sign(ctx)
}

// sign signs what was never signed before.
func (c *chaos) sign(ctx context.Context) error {
	digest := make([]byte, 32)
	rand.Read(digest)
	signature, err := c.key.Sign(ctx, digest, crypto.SHA256)
	if err != nil {
		return err
	}
	c.answered(ecdsa.VerifyASN1(c.public.(*ecdsa.PublicKey), digest, signature))
	return nil
}

func (c *chaos) answered(right bool) {
	c.answers.Add(1)
	if !right {
		c.wrong.Add(1)
	}
}

// background calls f in a goroutine and returns how to wait for its end.
func (c *chaos) background(what string, limit time.Duration, f func(ctx context.Context) error) (done chan struct{}, result func() error) {
	done = make(chan struct{})
	var err error
	var returned bool
	go func() {
		defer close(done)
		err, returned = within(limit, f)
	}()
	return done, func() error {
		c.t.Helper()
		<-done
		return c.do(what, 0, func(context.Context) error {
			if !returned {
				select {}
			}
			return err
		})
	}
}

// connect opens a connection, the application and the key.
func (c *chaos) connect(ctx context.Context) error {
	if c.conn != nil {
		if err := c.conn.Close(); err != nil {
			return err
		}
		c.conn, c.key = nil, nil
	}
	conn, err := pcsc.Open(ctx, c.daemon.Readers[0], nil)
	if err != nil {
		return err
	}
	c.conn, c.ch = conn, iso7816.NewChannel(conn, nil)
	return c.openPIV(ctx)
}

func (c *chaos) openPIV(ctx context.Context) (err error) {
	c.client, err = piv.Open(ctx, c.ch, &piv.Options{PIN: func(ctx context.Context, r piv.PINRequest) ([]byte, error) {
		c.asked.Add(1)
		return givePIN(ctx, r)
	}})
	if err != nil {
		return err
	}
	c.key, err = c.client.Key(ctx, piv.SlotAuthentication)
	return err
}

// recover goes on as the pages of pcsc, iso7816 and piv say, with the connection there is
// or with a new one, until the card has signed.
func (c *chaos) recover(anew bool) {
	c.t.Helper()
	start := time.Now()
	c.must("recovery", stepLimit, func(ctx context.Context) error { return c.recovery(ctx, anew) })
	c.recovered = append(c.recovered, time.Since(start))
}

func (c *chaos) recovery(ctx context.Context, anew bool) error {
	for first := true; ; first = false {
		var err error
		switch {
		case anew && first, c.conn == nil:
			err = c.connect(ctx)
		default:
			if err = c.ch.Reconnect(ctx); err == nil && c.key == nil {
				err = c.openPIV(ctx)
			}
		}
		if err == nil {
			err = c.use(ctx)
		}
		if err == nil {
			return nil
		}
		kind := c.note(err)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("not until the deadline: %w", err)
		case kind == "removed", kind == "no card", kind == "no reader", kind == "no service":
			if _, err := c.pc.WaitForCard(ctx, c.here); err != nil {
				return err
			}
			// pcscd notices up to 0.4 s late that the card is gone.
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
			}
		case kind == "reset", kind == "lost":
		default:
			return err
		}
	}
}

// note counts an error by what it is.
func (c *chaos) note(err error) (kind string) {
	kind = kindOf(err)
	c.fig.Errors[kind]++
	return kind
}

func kindOf(err error) string {
	for _, k := range []struct {
		is   error
		name string
	}{
		{pcsc.SCARD_E_NO_SERVICE, "no service"},
		{apdu.ErrReset, "reset"},
		{pcsc.SCARD_E_NO_SMARTCARD, "no card"},
		{pcsc.SCARD_E_UNKNOWN_READER, "no reader"},
		{pcsc.SCARD_E_NO_READERS_AVAILABLE, "no reader"},
		{apdu.ErrRemoved, "removed"},
	} {
		if errors.Is(err, k.is) {
			return k.name
		}
	}
	deadline := errors.Is(err, context.DeadlineExceeded)
	switch {
	case deadline && errors.Is(err, apdu.ErrRetired):
		return "deadline, lost"
	case deadline && errors.Is(err, apdu.ErrNotSent):
		return "deadline, not sent"
	case errors.Is(err, apdu.ErrRetired):
		return "lost"
	}
	return err.Error()
}

// want fails the test unless err is of one of the kinds.
func (c *chaos) want(round int, err error, kinds ...string) {
	c.t.Helper()
	if err == nil {
		c.t.Fatalf("round %d: got no error, want one of %q", round, kinds)
	}
	if kind := c.note(err); !slices.Contains(kinds, kind) {
		c.t.Errorf("round %d: got %s, %v; want one of %q", round, kind, err, kinds)
	}
}

// insert puts the card in at once, though pcscd, which looks every 0.4 s, may not have
// seen that it was out. When it falls out, as by a command without power, it is put in
// again.
func (c *chaos) insert() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_ = vpcd.DialAndServe(ctx, c.daemon.Addresses[0], c.card, nil) // what became of it is seen in the reader
			select {
			case <-time.After(500 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}()
	c.remove = func() { cancel(); <-done }
}

// untilEmpty waits until pcscd has seen that the card is gone.
func (c *chaos) untilEmpty() {
	c.t.Helper()
	c.must("wait for the card to go", stepLimit, func(ctx context.Context) error {
		readers, err := c.pc.Readers(ctx)
		for err == nil && slices.ContainsFunc(readers, func(r pcsc.Reader) bool { return c.here(r) && r.State.Present() }) {
			readers, err = c.pc.WaitForChange(ctx, readers)
		}
		return err
	})
}

// midCommand makes the card wait in a command of f, another one each round, and calls f
// until that is so. It returns how to let the card answer, and how f ended.
func (c *chaos) midCommand(round int, f func(ctx context.Context) error) (release func(), result func() error) {
	c.t.Helper()
	const commands = 9 // of use, when it selects and presents the PIN
	n := round % commands
	if n > 4 {
		// Without a selection: by our own hand, so nothing is lost but that.
		c.must("reset", stepLimit, func(ctx context.Context) error { return c.conn.Reset(ctx, apdu.ResetCard) })
	}
	for {
		h := c.card.arm(n, round/commands%2 == 1)
		done, result := c.background("a call that is disturbed", stepLimit, f)
		select {
		case <-h.reached:
			return func() { close(h.release) }, result
		case <-done:
		}
		c.card.disarm()
		err := result()
		if err != nil && strings.HasPrefix(kindOf(err), "deadline") {
			c.must("recovery", stepLimit, func(ctx context.Context) error { return c.recovery(ctx, false) })
			continue // a machine that is too slow for that deadline now
		}
		if err != nil || n == 0 {
			c.t.Fatalf("command %d of the call is not reached: %v", n, err)
		}
		n /= 2
	}
}

func (c *chaos) tornOut(round int) {
	_, result := c.midCommand(round, c.use)
	c.remove()
	c.want(round, result(), "removed")
	if round%2 == 1 {
		c.untilEmpty()
	}
	c.insert()
	c.recover(round%4 >= 2)
}

func (c *chaos) killed(round int) {
	release, result := c.midCommand(round, c.use)
	c.daemon.Kill()
	release()
	c.want(round, result(), "lost", "no service")
	c.remove()
	anew := round%4 >= 2
	if round%2 == 0 {
		c.daemon.Restart()
		c.insert()
		c.recover(anew)
		return
	}
	// The program does not know when pcscd comes back.
	_, recovered := c.background("recovery while pcscd is away", stepLimit, func(ctx context.Context) error { return c.recovery(ctx, anew) })
	c.daemon.Restart()
	c.insert()
	start := time.Now()
	if err := recovered(); err != nil {
		c.t.Fatalf("round %d: %v", round, err)
	}
	c.recovered = append(c.recovered, time.Since(start))
}

// reinserted takes the card, or the reader, out and puts it in again while nothing is
// done. A virtual reader cannot be pulled: pcscd starts without it.
func (c *chaos) reinserted(round int) {
	anew := round%4 >= 2
	switch round % 3 {
	case 0: // before pcscd notices
		c.remove()
		c.insert()
	case 1:
		c.remove()
		c.untilEmpty()
		c.want(round, c.do("use without a card", stepLimit, c.use), "removed")
		c.want(round, c.do("reconnect without a card", stepLimit, c.ch.Reconnect), "no card")
		c.insert()
	case 2:
		c.remove()
		config := filepath.Join(filepath.Dir(c.daemon.SocketName), "readers", "vpcd")
		entry, err := os.ReadFile(config)
		if err != nil {
			c.t.Fatal(err)
		}
		addresses := c.daemon.Addresses
		c.daemon.Addresses = nil // that is what Restart waits for
		if err := os.WriteFile(config, nil, 0o644); err != nil {
			c.t.Fatal(err)
		}
		c.daemon.Restart()
		c.want(round, c.do("use without a reader", stepLimit, c.use), "lost", "no service")
		c.want(round, c.do("reconnect without a reader", stepLimit, c.ch.Reconnect), "no reader")
		c.daemon.Addresses = addresses
		if err := os.WriteFile(config, entry, 0o644); err != nil {
			c.t.Fatal(err)
		}
		c.daemon.Restart()
		c.insert()
	}
	err := c.do("use", stepLimit, c.use)
	if err == nil {
		c.t.Fatalf("round %d: got no error, after the card lost its state", round)
	}
	c.want(round, err, "removed", "lost", "no service", "reset")
	c.recover(anew)
}

// resetByOther lets another program reset the card between two groups of commands,
// which the client mends where nothing was lost that is needed; or during a
// command that is in no transaction.
func (c *chaos) resetByOther(round int) {
	if round%2 == 0 {
		c.tellOther("reset")
		c.awaitOther()
		if err := c.do("use after a reset", stepLimit, c.use); err != nil {
			c.want(round, err, "reset")
		}
		c.recover(round%4 >= 2)
		return
	}
	release, result := c.raw(0)
	c.tellOther("reset")
	release()
	if err := result(); err != nil {
		c.want(round, err, "reset") // it came before the command
	}
	c.awaitOther()
	_, result = c.raw(-1)
	c.want(round, result(), "reset")
	c.recover(round%4 >= 2)
}

// raw sends an echo to the counter outside of a transaction, once it is selected, and
// makes the card wait in that command unless n is negative.
func (c *chaos) raw(n int) (release func(), result func() error) {
	c.t.Helper()
	var h *hold
	if n >= 0 {
		aid := counterAID(1)
		c.must("select", stepLimit, func(ctx context.Context) error {
			command, err := (&apdu.Command{Instruction: apdu.InsSelect, P1: 4, Data: aid.AppendTo(nil)}).AppendBinary(nil)
			if err == nil {
				_, err = c.conn.Transmit(ctx, nil, command)
			}
			return err
		})
		// As if by the counter's own group, which this is not.
		c.must("begin", stepLimit, func(ctx context.Context) error {
			_, err := c.conn.Transmit(ctx, nil, []byte{0, byte(insBegin), 0, 1, 4})
			return err
		})
		h = c.card.arm(n, false)
	}
	nonce := make([]byte, 16)
	rand.Read(nonce)
	command, err := (&apdu.Command{Instruction: insEcho, P2: 1, Data: nonce, Ne: 256}).AppendBinary(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	done, result := c.background("echo", stepLimit, func(ctx context.Context) error {
		r, err := c.conn.Transmit(ctx, nil, command)
		if err == nil {
			c.answered(bytes.Equal(r, append(nonce, 0x90, 0)))
		}
		return err
	})
	if h == nil {
		return nil, result
	}
	select {
	case <-h.reached:
	case <-done:
		c.t.Fatalf("the command is not reached: %v", result())
	}
	return func() { close(h.release) }, result
}

func (c *chaos) heldByOther(round int) {
	c.tellOther("hold")
	c.awaitOther()
	limit := 30 * time.Millisecond << (round % 4)
	start := time.Now()
	err := c.do("use during another's transaction", limit, c.use)
	took := time.Since(start)
	c.want(round, err, "deadline, not sent", "deadline, lost") // lost: through libpcsclite
	if took > limit+time.Second {
		c.t.Errorf("round %d: got out after %v, want about %v", round, took, limit)
	}
	anew := kindOf(err) == "deadline, lost" || round%4 >= 2
	_, recovered := c.background("use until the other's transaction ends", stepLimit, func(ctx context.Context) error {
		if anew {
			return c.recovery(ctx, true)
		}
		return c.use(ctx) // nothing was lost
	})
	c.tellOther("release")
	c.awaitOther()
	start = time.Now()
	if err := recovered(); err != nil {
		c.t.Fatalf("round %d: %v", round, err)
	}
	c.recovered = append(c.recovered, time.Since(start))
}

func (c *chaos) selectedByOther(round int) {
	c.tellOther("select")
	if round%2 == 0 {
		c.awaitOther()
	}
	start := time.Now()
	c.must("use while another selects", stepLimit, c.use)
	if round%2 == 1 {
		c.awaitOther()
	}
	c.must("use after another selected", stepLimit, c.use)
	c.recovered = append(c.recovered, time.Since(start))
}

func (c *chaos) expired(round int) {
	limit := 50*time.Millisecond + 10*time.Millisecond<<(round%4)
	var start time.Time
	release, result := c.midCommand(round, func(ctx context.Context) error {
		start = time.Now()
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return c.use(ctx)
	})
	err := result()
	c.want(round, err, "deadline, lost")
	if took := time.Since(start); took > limit+time.Second {
		c.t.Errorf("round %d: got out after %v, want about %v", round, took, limit)
	}
	anew := round%4 >= 2
	if round%2 == 0 {
		release()
		c.recover(anew)
		return
	}
	// The card takes its time.
	_, recovered := c.background("recovery while the card is busy", stepLimit, func(ctx context.Context) error { return c.recovery(ctx, anew) })
	release()
	from := time.Now()
	if err := recovered(); err != nil {
		c.t.Fatalf("round %d: %v", round, err)
	}
	c.recovered = append(c.recovered, time.Since(from))
}

// check looks at the card after a round.
func (c *chaos) check(round int) {
	c.t.Helper()
	c.must("PIN status", stepLimit, func(ctx context.Context) error {
		v, err := c.client.PINStatus(ctx)
		if err == nil && !v.Verified && v.Remaining != 3 {
			c.t.Errorf("round %d: got %+v, want three tries left", round, v)
		}
		return err
	})
	tried, strays := c.card.counts()
	if asked := int(c.asked.Load()); tried > asked || strays != 0 {
		c.t.Fatalf("round %d: got %d PINs presented of %d given, %d of them to another application", round, tried, asked, strays)
	}
}

// descriptors returns how many descriptors this process and pcscd have open.
func (c *chaos) descriptors() (n [2]int) {
	for i, pid := range []string{"self", fmt.Sprint(c.daemon.PID())} {
		open, err := os.ReadDir("/proc/" + pid + "/fd")
		if err != nil {
			c.t.Fatal(err)
		}
		n[i] = len(open)
	}
	return n
}

// end returns the figures.
func (c *chaos) end() *figures {
	if c.other != nil {
		if err := c.other.wait(); err != nil {
			c.t.Errorf("the other program: %v", err)
		}
	}
	// What was given up may go on for a moment.
	now := c.descriptors()
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline) && (now[0] > c.open[0] || now[1] > c.open[1]); now = c.descriptors() {
		time.Sleep(5 * time.Millisecond)
	}
	c.fig.Left = max(now[0]-c.open[0], 0) + max(now[1]-c.open[1], 0)
	slices.Sort(c.recovered)
	if n := len(c.recovered); n > 0 {
		c.fig.Recoveries, c.fig.Median, c.fig.Max = n, c.recovered[n/2], c.recovered[n-1]
	}
	c.fig.Answers, c.fig.Wrong = int(c.answers.Load()), int(c.wrong.Load())
	c.fig.Asked = int(c.asked.Load())
	c.fig.Tried, c.fig.Strays = c.card.counts()
	return &c.fig
}
