// Manage-keys lists, generates, imports and deletes the keys and certificates on a PKCS#11
// token.
//
//	manage-keys -module MODULE -token TOKEN list
//	manage-keys -module MODULE -token TOKEN generate KEY p256|p384|p521|ed25519|rsa2048|rsa3072|rsa4096
//	manage-keys -module MODULE -token TOKEN import KEY KEY.pem        PKCS #8, not encrypted
//	manage-keys -module MODULE -token TOKEN certificate KEY CERT.pem  for the key of that label
//	manage-keys -module MODULE -token TOKEN delete KEY                the key, its public key and certificate
//
// TOKEN and KEY are labels. The PIN is asked for, or is in the file that -pin-file names.
// Start it with go run ./examples/manage-keys.
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
			fmt.Fprintln(os.Stderr, "manage-keys:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("manage-keys", flag.ContinueOnError)
	var t token.Flags
	t.Add(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	commands := map[string]struct {
		arguments int
		run       func(context.Context, *cryptoki.Session, io.Writer, []string) error
	}{
		"list": {0, list}, "generate": {2, generate}, "import": {2, importKey}, "certificate": {2, certificate}, "delete": {1, remove},
	}
	command, ok := commands[flags.Arg(0)]
	if !ok || flags.NArg() != 1+command.arguments {
		return errors.New("one of list, generate, import, certificate, delete with its arguments is needed; see the first lines of main.go")
	}
	pool, done, err := t.Open(true)
	if err != nil {
		return err
	}
	defer done()
	return pool.Do(ctx, func(s *cryptoki.Session) error { return command.run(ctx, s, out, flags.Args()[1:]) })
}
