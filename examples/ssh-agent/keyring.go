package main

import (
	"context"
	"crypto/rand"
	"errors"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/cardoki/cardoki/iso7816/piv"
	"github.com/cardoki/cardoki/signer"
)

// A keyring is an agent that has the keys of a card, and takes no others.
type keyring struct{ keys []cardKey }

type cardKey struct {
	signer  ssh.Signer
	comment string
}

var _ agent.ExtendedAgent = (*keyring)(nil)

// newKeyring finds the keys that OpenSSH can use.
func newKeyring(ctx context.Context, client *piv.Client) (*keyring, error) {
	r := &keyring{}
	for _, slot := range []piv.Slot{piv.SlotAuthentication, piv.SlotSignature, piv.SlotCardAuthentication} {
		key, err := client.Key(ctx, slot)
		if errors.Is(err, piv.ErrNoCertificate) {
			continue
		}
		if err != nil {
			return nil, err
		}
		s, err := ssh.NewSignerFromSigner(key.Signer(&signer.Options{Context: ctx}))
		if err != nil {
			return nil, err
		}
		r.keys = append(r.keys, cardKey{s, "PIV " + slot.String()})
	}
	if len(r.keys) == 0 {
		return nil, errors.New("the card has no key in slot 9A, 9C or 9E")
	}
	return r, nil
}

func (r *keyring) List() ([]*agent.Key, error) {
	var list []*agent.Key
	for _, k := range r.keys {
		list = append(list, &agent.Key{Format: k.signer.PublicKey().Type(), Blob: k.signer.PublicKey().Marshal(), Comment: k.comment})
	}
	return list, nil
}

func (r *keyring) Sign(key ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	return r.SignWithFlags(key, data, 0)
}

func (r *keyring) SignWithFlags(key ssh.PublicKey, data []byte, flags agent.SignatureFlags) (*ssh.Signature, error) {
	for _, k := range r.keys {
		if string(k.signer.PublicKey().Marshal()) != string(key.Marshal()) {
			continue
		}
		algorithm := ""
		switch {
		case flags&agent.SignatureFlagRsaSha512 != 0:
			algorithm = ssh.KeyAlgoRSASHA512
		case flags&agent.SignatureFlagRsaSha256 != 0:
			algorithm = ssh.KeyAlgoRSASHA256
		}
		if s, ok := k.signer.(ssh.AlgorithmSigner); ok && algorithm != "" {
			return s.SignWithAlgorithm(rand.Reader, data, algorithm)
		}
		return k.signer.Sign(rand.Reader, data)
	}
	return nil, errors.New("this key is not on the card")
}

func (r *keyring) Signers() ([]ssh.Signer, error) {
	var list []ssh.Signer
	for _, k := range r.keys {
		list = append(list, k.signer)
	}
	return list, nil
}

// errReadOnly is what a client gets that wants to change the agent.
var errReadOnly = errors.New("the keys are on the card: nothing can be added, removed or locked here")

func (*keyring) Add(agent.AddedKey) error   { return errReadOnly }
func (*keyring) Remove(ssh.PublicKey) error { return errReadOnly }
func (*keyring) RemoveAll() error           { return errReadOnly }
func (*keyring) Lock([]byte) error          { return errReadOnly }
func (*keyring) Unlock([]byte) error        { return errReadOnly }
func (*keyring) Extension(string, []byte) ([]byte, error) {
	return nil, agent.ErrExtensionUnsupported
}
