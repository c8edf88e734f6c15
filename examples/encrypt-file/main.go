// Encrypt-file encrypts a file of any size with an AES key that never leaves its PKCS#11
// token, and decrypts it again.
//
//	encrypt-file -module MODULE -token TOKEN -generate LABEL            a new key
//	encrypt-file -module MODULE -token TOKEN -key LABEL FILE FILE.enc
//	encrypt-file -module MODULE -token TOKEN -key LABEL -d FILE.enc FILE
//
// The token does all encryption: that is slow with most hardware; see examples/envelope for
// a key that encrypts keys. Start it with go run ./examples/encrypt-file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/examples/internal/token"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "encrypt-file:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, progress io.Writer) error {
	flags := flag.NewFlagSet("encrypt-file", flag.ContinueOnError)
	var t token.Flags
	t.Add(flags)
	generate := flags.String("generate", "", "make a key with this `label`")
	label := flags.String("key", "", "the `label` of the key")
	decrypt := flags.Bool("d", false, "decrypt")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if (*generate == "") == (flags.NArg() != 2) {
		return errors.New("-generate, or two files, are needed")
	}
	pool, done, err := t.Open(*generate != "")
	if err != nil {
		return err
	}
	defer done()
	if *generate != "" {
		return pool.Do(ctx, func(s *cryptoki.Session) error {
			_, err := s.GenerateSecretKey(ctx, &cryptoki.SecretKeyOptions{Type: cryptoki.CKK_AES, Size: 32, Label: *generate, ID: []byte(*generate), Encrypt: true, Decrypt: true})
			return err
		})
	}
	key, err := pool.SecretKey(ctx, cryptoki.KeyQuery{Label: *label})
	if err != nil {
		return err
	}
	aead, err := key.AEAD(nil)
	if err != nil {
		return err
	}
	in, err := os.Open(flags.Arg(0))
	if err != nil {
		return err
	}
	defer in.Close()
	return replace(flags.Arg(1), func(out io.Writer) error {
		b := &bar{r: in, w: progress}
		if info, err := in.Stat(); err == nil {
			b.size = info.Size()
		}
		defer fmt.Fprintln(progress)
		if *decrypt {
			return open(ctx, aead, out, b)
		}
		return seal(ctx, aead, out, b)
	})
}

// replace writes a file by f, which is not there before all of it is.
func replace(name string, f func(io.Writer) error) error {
	w, err := os.OpenFile(name+".part", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(w.Name())
	if err := f(w); err != nil {
		w.Close()
		return err
	}
	if err := errors.Join(w.Sync(), w.Close()); err != nil {
		return err
	}
	return os.Rename(w.Name(), name)
}

// A bar shows how much of a file was read.
type bar struct {
	r          io.Reader
	w          io.Writer
	size, done int64
}

func (b *bar) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.done += int64(n); b.size > 0 {
		const width = 40
		full := int(width * b.done / b.size)
		fmt.Fprintf(b.w, "\r[%-*.*s] %3d %%", width, full, "########################################", 100*b.done/b.size)
	}
	return n, err
}
