package iso7816

import (
	"context"
	"errors"
	"testing"

	"github.com/cardoki/cardoki/apdu"
)

// counterSM is secure messaging reduced to what the Channel must respect: each
// command and each response carries a counter that both ends count.
type counterSM struct{ n byte }

func (s *counterSM) WrapCommand(dst []byte, c apdu.Command) (apdu.Command, error) {
	s.n++
	c.Class = c.Class.WithSecureMessaging(apdu.SMHeaderAuth)
	c.Data = append(append(dst, s.n), c.Data...)
	if c.Ne > 0 {
		c.Data = append(c.Data, byte(c.Ne))
	}
	c.Ne = 256
	return c, nil
}

func (s *counterSM) UnwrapResponse(dst []byte, r apdu.Response) (apdu.Response, error) {
	s.n++
	if len(r.Data) < 3 || r.Data[0] != s.n {
		return apdu.Response{}, errors.New("counter is wrong or missing")
	}
	inner, err := apdu.ParseResponse(r.Data[1:])
	if err != nil {
		return apdu.Response{}, err
	}
	return apdu.Response{Data: append(dst, inner.Data...), Status: inner.Status}, nil
}

func TestSecureMessaging(t *testing.T) {
	ctx := context.Background()
	read := apdu.Command{Instruction: 0xB0, Ne: 4}
	for _, tt := range []struct {
		name  string
		pairs []string
		want  string
		over  bool
	}{
		{"is wrapped once, and unwrapped", []string{"0CB0000002010400", "02AABB90009000"}, "AABB9000", false},
		{"a bare 61XX is transport", []string{"0CB0000002010400", "6105", "00C0000005", "02AABB90009000"}, "AABB9000", false},
		{"a bare 6CXX sends the same protected bytes with a new Le", []string{"0CB0000002010400", "6C05", "0CB0000002010405", "02AABB90009000"}, "AABB9000", false},
		{"6CXX inside is wrapped anew, with a new counter", []string{"0CB0000002010400", "026C029000", "0CB0000002030200", "04AABB90009000"}, "AABB9000", false},
		{"another bare status ends the session", []string{"0CB0000002010400", "6982"}, "", true},
		{"a wrong counter ends the session", []string{"0CB0000002010400", "07AABB90009000"}, "", true},
		{"a transport error ends the session", []string{"0CB0000002010400", "-"}, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &script{t: t, pairs: tt.pairs}
			ch := NewChannel(s, nil)
			ch.SetSecureMessaging(&counterSM{})
			r, err := ch.Exchange(ctx, read)
			s.done()
			if tt.over {
				if err == nil {
					t.Fatal("got nil, want an error")
				}
				if _, err := ch.Exchange(ctx, read); !errors.Is(err, ErrSecureMessaging) {
					t.Errorf("the next command: got %v, want ErrSecureMessaging and nothing sent", err)
				}
				ch.SetSecureMessaging(nil)
				s.pairs = []string{"00B0000004", "9000"}
				if _, err := ch.Exchange(ctx, read); err != nil {
					t.Error(err)
				}
				return
			}
			b, _ := r.AppendBinary(nil)
			if err != nil || hexOf(b) != tt.want {
				t.Errorf("got %X, %v; want %s", b, err, tt.want)
			}
		})
	}
}

func TestSecureMessagingEndsForBothSidesOfExclusive(t *testing.T) {
	ctx := context.Background()
	s := &script{t: t, pairs: []string{"0CB0000002010400", "6982"}}
	ch := NewChannel(s, nil)
	ch.SetSecureMessaging(&counterSM{})
	ch.Exclusive(ctx, func(tx *Channel) error {
		_, err := tx.Exchange(ctx, apdu.Command{Instruction: 0xB0, Ne: 4})
		return err
	})
	if _, err := ch.Exchange(ctx, apdu.Command{Instruction: 0xB0, Ne: 4}); !errors.Is(err, ErrSecureMessaging) {
		t.Errorf("got %v, want ErrSecureMessaging", err)
	}
}
