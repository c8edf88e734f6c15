package piv

import (
	"bytes"
	"context"
	"crypto"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/internal/leak"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
)

// memoryMode, in the environment, makes the test binary a host program that uses a card
// at the other end of its standard input and output, and then searches its own memory for
// the secrets it was given.
const memoryMode = "CARDOKI_TEST_MEMORY"

// pipe is a transport over two files: lengths of four bytes, and what they announce.
type pipe struct {
	r io.Reader
	w io.Writer
}

func (p pipe) Transmit(_ context.Context, dst, command []byte) ([]byte, error) {
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(command)))
	if _, err := p.w.Write(n[:]); err != nil {
		return dst, err
	}
	if _, err := p.w.Write(command); err != nil {
		return dst, err
	}
	if _, err := io.ReadFull(p.r, n[:]); err != nil {
		return dst, err
	}
	response := make([]byte, binary.BigEndian.Uint32(n[:]))
	defer clear(response)
	if _, err := io.ReadFull(p.r, response); err != nil {
		return dst, err
	}
	return append(dst, response...), nil
}

// serve answers what comes from the child until it ends.
func (p pipe) serve(c *card.Card) error {
	for {
		var n [4]byte
		if _, err := io.ReadFull(p.r, n[:]); err != nil {
			return err
		}
		command := make([]byte, binary.BigEndian.Uint32(n[:]))
		if _, err := io.ReadFull(p.r, command); err != nil {
			return err
		}
		response, err := c.Transmit(ctx, nil, command)
		if err != nil {
			return err
		}
		binary.BigEndian.PutUint32(n[:], uint32(len(response)))
		if _, err := p.w.Write(append(n[:], response...)); err != nil {
			return err
		}
	}
}

// useSecrets is the child: it unmasks the secrets, uses each in every way, wipes its own
// copies, and reports where in its memory they still are.
func useSecrets(keep bool) error {
	secrets := map[string][]byte{} // masked
	for _, name := range []string{"PIN", "PUK", "MANAGEMENT"} {
		b, err := hex.DecodeString(os.Getenv(memoryMode + "_" + name))
		if err != nil || len(b) == 0 {
			return fmt.Errorf("%s: %v", name, err)
		}
		secrets[name] = b
	}
	with := func(name string, f func(secret []byte) error) error {
		b := leak.Masked(secrets[name])
		defer clear(b)
		return f(b)
	}
	ch := iso7816.NewChannel(pipe{os.Stdin, os.Stdout}, nil)
	c, err := Open(ctx, ch, &Options{PIN: func(context.Context, PINRequest) ([]byte, error) { return leak.Masked(secrets["PIN"]), nil }})
	if err != nil {
		return err
	}
	err = errors.Join(
		with("MANAGEMENT", func(k []byte) error { return c.AuthenticateManagementKey(ctx, 0, k) }),
		with("PIN", func(pin []byte) error { return c.VerifyPIN(ctx, pin) }),
		with("PIN", func(pin []byte) error { return c.ChangePIN(ctx, pin, pin) }),
		with("PUK", func(puk []byte) error { return c.ChangePUK(ctx, puk, puk) }),
		with("PIN", func(pin []byte) error {
			return with("PUK", func(puk []byte) error { return c.UnblockPIN(ctx, puk, pin) })
		}),
		with("MANAGEMENT", func(k []byte) error { return c.SetManagementKey(ctx, AlgorithmAES192, k, false) }),
		second(c.GenerateKey(ctx, SlotSignature, AlgorithmP256, nil)),
	)
	if err != nil {
		return err
	}
	k, err := c.Key(ctx, SlotSignature)
	if err != nil {
		return err
	}
	for range 3 {
		if _, err := k.Sign(ctx, digest[:], crypto.SHA256); err != nil {
			return err
		}
	}
	var kept []byte
	if keep { // the search must be able to find something
		kept = leak.Masked(secrets["PIN"])
	}
	runtime.GC()
	for name, secret := range secrets {
		n, err := leak.SearchMemory(secret)
		if err != nil {
			return err
		}
		if n > 0 {
			err = fmt.Errorf("the %s is in memory %d times", name, n)
			runtime.KeepAlive(kept)
			return err
		}
	}
	runtime.KeepAlive(kept)
	runtime.KeepAlive(ch)
	return nil
}

// A host program that has used PIN, PUK and management key in every way has none of
// them in its memory afterwards, as far as it is this package that had them.
func TestNoSecretIsLeftInMemory(t *testing.T) {
	pin, puk, management := []byte("Zq7!xW3p"), []byte("pU4$kR9v"), []byte("m4n@g3m3nt-kEy-0f-24-byt")
	for _, tt := range []struct {
		name string
		keep bool
		want string // what the child says
	}{
		{"after use", false, ""},
		{"the search finds what is kept", true, "the PIN is in memory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := card.New(nil, NewApplication(&ApplicationOptions{PIN: pin, PUK: puk, ManagementKey: management}))
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), exe)
			cmd.Env = append(os.Environ(), memoryMode+"="+strconv.FormatBool(tt.keep),
				memoryMode+"_PIN="+hex.EncodeToString(leak.Masked(pin)),
				memoryMode+"_PUK="+hex.EncodeToString(leak.Masked(puk)),
				memoryMode+"_MANAGEMENT="+hex.EncodeToString(leak.Masked(management)))
			var said bytes.Buffer
			cmd.Stderr = &said
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			served := pipe{out, in}.serve(c)
			err = cmd.Wait()
			if !errors.Is(served, io.EOF) {
				t.Errorf("serving the child: %v", served)
			}
			if (err == nil) != (tt.want == "") || !strings.Contains(said.String(), tt.want) {
				t.Errorf("got %v, %q; want %q", err, &said, tt.want)
			}
		})
	}
}

func init() {
	if keep, ok := os.LookupEnv(memoryMode); ok {
		if err := useSecrets(keep == "true"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}
