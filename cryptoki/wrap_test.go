package cryptoki_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/cryptoki"
	"github.com/cardoki/cardoki/cryptoki/cryptokitest"
	"github.com/cardoki/cardoki/internal/system"
)

// A module that wraps whatever it is given does not decide what leaves.
func TestSession_WrapKeyHoldsTheAttributesOfKeys(t *testing.T) {
	library, err := cryptokitest.Build(t.TempDir())
	system.Supported(t, err)
	if err != nil {
		t.Fatal(err)
	}
	m, s := misbehaving(t, library, nil)
	ctx := context.Background()
	secret := func(more ...cryptoki.Attribute) cryptoki.Object {
		t.Helper()
		o, err := s.CreateObject(ctx, append(cryptoki.Attributes{
			cryptoki.Ulong(cryptoki.CKA_CLASS, cryptoki.CKO_SECRET_KEY), cryptoki.Ulong(cryptoki.CKA_KEY_TYPE, cryptoki.CKK_AES),
			cryptoki.Bytes(cryptoki.CKA_VALUE, make([]byte, 16)), cryptoki.Bool(cryptoki.CKA_WRAP, true),
		}, more...))
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	extractable := cryptoki.Bool(cryptoki.CKA_EXTRACTABLE, true)
	by, trusted := secret(), secret(cryptoki.Bool(cryptoki.CKA_TRUSTED, true))
	bound := secret(extractable, cryptoki.Bool(cryptoki.CKA_WRAP_WITH_TRUSTED, true))
	for _, tt := range []struct {
		name    string
		by, key cryptoki.Object
		is      error
		words   string
	}{
		{"a key that may leave", by, secret(extractable), nil, ""},
		{"a key of which nothing is told: that is up to the module", by, secret(), nil, ""},
		{"a key that never leaves", by, secret(cryptoki.Bool(cryptoki.CKA_EXTRACTABLE, false)), cryptoki.CKR_KEY_UNEXTRACTABLE, "never leaves the token"},
		{"a key for trusted ones, by another", by, bound, cryptoki.CKR_KEY_NOT_WRAPPABLE, "trusted key"},
		{"a key for trusted ones, by one", trusted, bound, nil, ""},
	} {
		before := m.Calls("C_WrapKey")
		_, err := s.WrapKey(ctx, cryptoki.Plain(cryptoki.CKM_AES_KEY_WRAP), tt.by, tt.key, 100)
		if !errors.Is(err, tt.is) || tt.is != nil && !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: got %v, want %v in words %q", tt.name, err, tt.is, tt.words)
		}
		if asked := m.Calls("C_WrapKey") > before; asked != (tt.is == nil) {
			t.Errorf("%s: the module was asked: %t", tt.name, asked)
		}
	}
}
