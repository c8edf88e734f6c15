package iso7816

import (
	"context"
	"testing"

	"github.com/cardoki/cardoki/apdu"
)

// Rows of two commands show what the engine remembers of the first.
func TestSendingAgain(t *testing.T) {
	ctx := context.Background()
	chuid := apdu.Command{Instruction: 0xCB, Ne: 1000}
	for _, tt := range []struct {
		name  string
		opts  Options
		atr   []byte
		sm    SecureMessaging
		cmds  []apdu.Command
		pairs []string
		want  string // data and status of the last
	}{
		{
			name: "GET RESPONSE stays in class 00 once it has gone there",
			cmds: []apdu.Command{{Class: 0x80, Instruction: 0xCA, Ne: 256}},
			pairs: []string{
				"80CA000000", "6101", "80C0000001", "6D00", "00C0000001", "AA6101", "00C0000001", "BB9000",
			},
			want: "AABB9000",
		}, {
			name:  "a card that has GET RESPONSE in neither class says so",
			cmds:  []apdu.Command{{Class: 0x80, Instruction: 0xCA, Ne: 256}},
			pairs: []string{"80CA000000", "6101", "80C0000001", "6E00", "00C0000001", "6D00"},
			want:  "6E00",
		}, {
			name:  "a profile's own GET RESPONSE is not changed",
			opts:  Options{Profile: ProfileSIM()},
			cmds:  []apdu.Command{{Class: 0xA0, Instruction: 0xA4, Ne: 256}},
			pairs: []string{"A0A4000000", "9F01", "A0C0000001", "6D00"},
			want:  "6D00",
		}, {
			name:  "a form that is refused like the first is not kept",
			atr:   atrYubiKey,
			cmds:  []apdu.Command{chuid, chuid},
			pairs: []string{"00CB00000003E8", "6D00", "00CB000000", "6D00", "00CB00000003E8", "9000"},
			want:  "9000",
		}, {
			name:  "6F00 in a proprietary class is the answer",
			atr:   atrYubiKey,
			cmds:  []apdu.Command{{Class: 0x80, Instruction: 0xCB, Ne: 1000}},
			pairs: []string{"80CB00000003E8", "6F00"},
			want:  "6F00",
		}, {
			name:  "a protected command stays in its form after 6D00",
			atr:   atrYubiKey,
			sm:    plainSM{},
			cmds:  []apdu.Command{chuid},
			pairs: []string{"0CCB00000003E8", "6D00"},
			want:  "6D00",
		}, {
			name:  "a protected 6CXX with data is the answer",
			sm:    plainSM{},
			cmds:  []apdu.Command{{Instruction: 0xCA, Ne: 256}},
			pairs: []string{"0CCA000000", "00112233" + "6C04"},
			want:  "001122336C04",
		}, {
			name:  "extended length that brings no more than short is left alone",
			opts:  Options{Limits: apdu.Limits{MaxResponse: 258}},
			atr:   atrYubiKey,
			cmds:  []apdu.Command{chuid},
			pairs: []string{"00CB000000", "9000"},
			want:  "9000",
		}, {
			name:  "one byte more and it is used",
			opts:  Options{Limits: apdu.Limits{MaxResponse: 259}},
			atr:   atrYubiKey,
			cmds:  []apdu.Command{chuid},
			pairs: []string{"00CB0000000101", "9000"},
			want:  "9000",
		}, {
			name:  "Options can say T=0",
			opts:  Options{Limits: apdu.Limits{Protocol: apdu.ProtocolT0}},
			atr:   atrYubiKey,
			cmds:  []apdu.Command{{Instruction: 0xDB, Data: fill(256)}},
			pairs: []string{"10DB0000FF" + hexOf(fill(255)), "9000", "00DB000001FF", "9000"},
			want:  "9000",
		}, {
			name:  "6883 twice is the answer",
			cmds:  []apdu.Command{{Instruction: 0xCA, Ne: 256}},
			pairs: []string{"00CA000000", "6883", "00CA000000", "6883"},
			want:  "6883",
		}, {
			name:  "6883 at the end of a chain is the answer",
			cmds:  []apdu.Command{{Instruction: 0xDB, Data: fill(256)}},
			pairs: []string{"10DB0000FF" + hexOf(fill(255)), "9000", "00DB000001FF", "6883"},
			want:  "6883",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &script{t: t, pairs: tt.pairs, atr: tt.atr}
			ch := NewChannel(s, &tt.opts)
			ch.SetSecureMessaging(tt.sm)
			var r apdu.Response
			for _, cmd := range tt.cmds {
				var err error
				if r, err = ch.Exchange(ctx, cmd); err != nil {
					t.Fatal(err)
				}
			}
			s.done()
			b, _ := r.AppendBinary(nil)
			if got := hexOf(b); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestGetResponseInClass00OfALogicalChannel(t *testing.T) {
	ctx := context.Background()
	s := &script{t: t, pairs: []string{"0070000001", "029000", "80CA000000", "6101", "80C0000001", "6E00", "02C0000001", "AA9000"}}
	ch, err := NewChannel(s, nil).OpenChannel(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.Send(ctx, apdu.Command{Class: 0x80, Instruction: 0xCA, Ne: 256}); err != nil {
		t.Fatal(err)
	}
	s.done()
}
