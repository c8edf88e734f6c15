package piv_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"log"

	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
)

// A wrong PIN spends one try; nothing is tried again by itself.
func Example() {
	ctx := context.Background()
	ch := iso7816.NewChannel(card.New(nil, piv.NewApplication(nil)), nil) // or a *pcsc.Conn
	client, err := piv.Open(ctx, ch, nil)
	if err != nil {
		log.Fatal(err)
	}
	err = client.VerifyPIN(ctx, []byte("000000"))
	if v, ok := errors.AsType[*iso7816.VerifyError](err); ok {
		fmt.Println("tries left:", v.Remaining)
	}
	// Output: tries left: 2
}

// A key that never leaves the card signs a digest. The PIN is asked for when the key
// needs it.
func ExampleClient_Key() {
	ctx := context.Background()
	managementKey := []byte("management key, 24 bytes")
	application := piv.NewApplication(&piv.ApplicationOptions{PIN: []byte("271828"), ManagementKey: managementKey})
	client, err := piv.Open(ctx, iso7816.NewChannel(card.New(nil, application), nil), &piv.Options{
		PIN: func(_ context.Context, r piv.PINRequest) ([]byte, error) {
			fmt.Printf("PIN for slot %v, %d tries left\n", r.Slot, r.Remaining)
			return []byte("271828"), nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := client.AuthenticateManagementKey(ctx, piv.AlgorithmAES192, managementKey); err != nil {
		log.Fatal(err)
	}
	if _, err := client.GenerateKey(ctx, piv.SlotAuthentication, piv.AlgorithmP256, nil); err != nil {
		log.Fatal(err)
	}
	key, err := client.Key(ctx, piv.SlotAuthentication)
	if err != nil {
		log.Fatal(err)
	}
	digest := sha256.Sum256([]byte("message"))
	signature, err := key.Signer(nil).Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("verifies:", ecdsa.VerifyASN1(key.Public().(*ecdsa.PublicKey), digest[:], signature))
	// Output:
	// PIN for slot 9A (PIV Authentication), 3 tries left
	// verifies: true
}
