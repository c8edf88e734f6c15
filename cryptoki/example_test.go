package cryptoki_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"os"

	"github.com/cardoki/cardoki/cryptoki"
)

// A client whose TLS key stays in a token.
func Example() {
	ctx := context.Background()
	module, err := cryptoki.Open("/usr/lib/softhsm/libsofthsm2.so", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer module.Close()
	slot, err := module.FindToken("my token")
	if err != nil {
		log.Fatal(err) // says which tokens there are
	}
	pool := slot.NewPool(&cryptoki.PoolOptions{
		PIN: func(ctx context.Context, r cryptoki.PINRequest) ([]byte, error) {
			pin, err := os.ReadFile("/run/secrets/token-pin")
			return bytes.TrimRight(pin, "\r\n"), err
		},
	})
	defer pool.Close()
	cert, err := pool.TLSCertificate(ctx, cryptoki.KeyQuery{Label: "my key"})
	if err != nil {
		log.Fatal(err)
	}
	conn, err := tls.Dial("tcp", "example.com:443", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Println(conn.ConnectionState().NegotiatedProtocol)
}
