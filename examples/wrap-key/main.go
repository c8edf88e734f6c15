// Wrap-key shows which keys could leave a PKCS#11 token, exports a secret key wrapped by
// another key, and imports one again.
//
//	wrap-key -module MODULE -token TOKEN report
//	wrap-key -module MODULE -token TOKEN new-wrapping-key NAME          AES, for wrapping only
//	wrap-key -module MODULE -token TOKEN new-data-key NAME              AES, which may leave when it is wrapped
//	wrap-key -module MODULE -token TOKEN export KEY WRAPPING-KEY FILE   by AES key wrap (RFC 3394)
//	wrap-key -module MODULE -token TOKEN import KEY WRAPPING-KEY FILE   as an AES key that never leaves again
//
// A key leaves only if it was made so that it may, and only wrapped. Start it with go run
// ./examples/wrap-key.
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
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "wrap-key:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("wrap-key", flag.ContinueOnError)
	var t token.Flags
	t.Add(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	commands := map[string]struct {
		arguments int
		run       func(context.Context, *cryptoki.Session, io.Writer, []string) error
	}{"report": {0, report}, "new-wrapping-key": {1, newWrappingKey}, "new-data-key": {1, newDataKey}, "export": {3, export}, "import": {3, importKey}}
	command, ok := commands[flags.Arg(0)]
	if !ok || flags.NArg() != 1+command.arguments {
		return errors.New("one of report, new-wrapping-key, new-data-key, export, import with its arguments is needed; see the first lines of main.go")
	}
	pool, done, err := t.Open(true)
	if err != nil {
		return err
	}
	defer done()
	return pool.Do(ctx, func(s *cryptoki.Session) error { return command.run(ctx, s, out, flags.Args()[1:]) })
}

// report lists the keys that could leave the token.
func report(ctx context.Context, s *cryptoki.Session, out io.Writer, _ []string) error {
	policies, err := s.Exportable(ctx)
	for _, p := range policies {
		fmt.Fprintf(out, "%-24q %v: %v\n", p.Label, p.Type, p)
	}
	if err == nil && len(policies) == 0 {
		fmt.Fprintln(out, "No key could leave the token.")
	}
	return err
}

func newWrappingKey(ctx context.Context, s *cryptoki.Session, out io.Writer, args []string) error {
	_, err := s.GenerateSecretKey(ctx, &cryptoki.SecretKeyOptions{Type: cryptoki.CKK_AES, Size: 32, Label: args[0], ID: []byte(args[0]), Wrap: true, Unwrap: true})
	if err == nil {
		fmt.Fprintf(out, "Generated %q, which wraps others and never leaves.\n", args[0])
	}
	return err
}

func newDataKey(ctx context.Context, s *cryptoki.Session, out io.Writer, args []string) error {
	_, err := s.GenerateSecretKey(ctx, &cryptoki.SecretKeyOptions{Type: cryptoki.CKK_AES, Size: 32, Label: args[0], ID: []byte(args[0]), Encrypt: true, Decrypt: true, Extractable: true})
	if err == nil {
		fmt.Fprintf(out, "Generated %q, which leaves only wrapped.\n", args[0])
	}
	return err
}

// find returns the secret key with the label.
func find(ctx context.Context, s *cryptoki.Session, label string) (cryptoki.Object, error) {
	keys, err := s.FindObjects(ctx, cryptoki.Attributes{cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY), cryptoki.String(cryptoki.CKA_LABEL, label)})
	if err == nil && len(keys) != 1 {
		err = fmt.Errorf("there are %d secret keys %q, not one", len(keys), label)
	}
	if err != nil {
		return cryptoki.Object{}, err
	}
	return keys[0], nil
}

// keyWrap is AES key wrap with the usual initial value.
var keyWrap = cryptoki.Plain(cryptoki.CKM_AES_KEY_WRAP)

func export(ctx context.Context, s *cryptoki.Session, out io.Writer, args []string) error {
	key, err := find(ctx, s, args[0])
	if err != nil {
		return err
	}
	policy, err := s.Policy(ctx, key)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%q %v.\n", args[0], policy)
	by, err := find(ctx, s, args[1])
	if err != nil {
		return err
	}
	wrapped, err := s.WrapKey(ctx, keyWrap, by, key, 4096)
	if err != nil {
		return err
	}
	if err := os.WriteFile(args[2], wrapped, 0o600); err != nil {
		return err
	}
	fmt.Fprintf(out, "Exported it, wrapped by %q: %d bytes.\n", args[1], len(wrapped))
	return nil
}

func importKey(ctx context.Context, s *cryptoki.Session, out io.Writer, args []string) error {
	wrapped, err := os.ReadFile(args[2])
	if err != nil {
		return err
	}
	by, err := find(ctx, s, args[1])
	if err != nil {
		return err
	}
	if _, err = s.UnwrapKey(ctx, keyWrap, by, wrapped, &cryptoki.SecretKeyOptions{Type: cryptoki.CKK_AES, Label: args[0], ID: []byte(args[0]), Encrypt: true, Decrypt: true}); err == nil {
		fmt.Fprintf(out, "Imported %q.\n", args[0])
	}
	return err
}
