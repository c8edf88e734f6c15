//go:build cgo

package system_test

import (
	"bytes"
	"errors"

	"github.com/cardoki/cardoki/cryptoki"
)

func digestRows() []tokenRow {
	var rows []tokenRow
	for i := range tokenHashes {
		h := &tokenHashes[i]
		rows = append(rows, tokenRow{"Digest", h.digest.String() + ", one-shot and in parts", h.digest, func(x *tokenTrial) error {
			got, err := x.s.AppendDigest(x.ctx, nil, cryptoki.Plain(h.digest), testMessage, 64)
			if err != nil {
				return err
			}
			w, err := x.s.Digester(x.ctx, cryptoki.Plain(h.digest))
			if err != nil {
				return err
			}
			for _, b := range testMessage {
				if _, err := w.Write([]byte{b}); err != nil {
					return err
				}
			}
			parts, err := w.Sum(nil, 64)
			if err != nil {
				return err
			}
			if want := h.sum(testMessage); !bytes.Equal(got, want) || !bytes.Equal(parts, want) {
				return wrong("another digest")
			}
			return nil
		}})
	}
	rows = append(rows, tokenRow{"Digest", "an operation given up, and another in its place", cryptoki.CKM_SHA256, func(x *tokenTrial) error {
		for range 2 {
			s, err := x.slot.OpenSession(x.ctx, false)
			if err != nil {
				return err
			}
			d, err := s.Digester(x.ctx, cryptoki.Plain(cryptoki.CKM_SHA256))
			if err != nil {
				return err
			}
			d.Write(testMessage)
			d.Close() // C_SessionCancel is not to be relied on: the session goes
			if _, err := s.AppendDigest(x.ctx, nil, cryptoki.Plain(cryptoki.CKM_SHA256), testMessage, 32); !errors.Is(err, cryptoki.ErrClosed) {
				return wrong("the session goes on: %v", err)
			}
		}
		got, err := x.s.AppendDigest(x.ctx, nil, cryptoki.Plain(cryptoki.CKM_SHA256), testMessage, 32)
		if err == nil && !bytes.Equal(got, digest256(testMessage)) {
			return wrong("another digest")
		}
		return err
	}})
	return rows
}

func randomRows() []tokenRow {
	return []tokenRow{
		{"Random numbers", "C_GenerateRandom", unlisted, func(x *tokenTrial) error {
			a, b := make([]byte, 64), make([]byte, 64)
			if err := errors.Join(x.s.Random(x.ctx, a), x.s.Random(x.ctx, b)); err != nil {
				return err
			}
			if bytes.Equal(a, b) || bytes.Equal(a, make([]byte, 64)) {
				return wrong("not at all random")
			}
			return nil
		}},
		{"Random numbers", "C_SeedRandom", unlisted, func(x *tokenTrial) error { return x.s.SeedRandom(x.ctx, []byte("a seed of 16 byt")) }},
	}
}
