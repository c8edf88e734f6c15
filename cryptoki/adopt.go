//go:build cgo

package cryptoki

import (
	"fmt"

	"github.com/miekg/pkcs11"

	"github.com/cardoki/cardoki/internal/ck"
)

// Adopt returns a Module for one that other code of this process has loaded and
// initialised with github.com/miekg/pkcs11, for a program that moves over part by part. The
// module stays theirs: it is used, and never finalised here. p must not be finalised or
// destroyed before Close, and may be used meanwhile; of its sessions and ours each is
// used by its own side. opts may be nil.
func Adopt(p *pkcs11.Ctx, opts *Options) (*Module, error) {
	in, err := ck.Adopt(p)
	if err != nil {
		return nil, fmt.Errorf("cryptoki: adopt a module: %w", err)
	}
	return newModule(in, "adopted", opts)
}
