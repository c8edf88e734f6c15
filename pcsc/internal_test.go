package pcsc

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
)

func TestControlCodes(t *testing.T) {
	for system, want := range map[string]uint32{"linux": 0x42000D48, "darwin": 0x42000D48, "windows": 0x00313520} {
		if got := controlCode(system, 3400); got != want {
			t.Errorf("%s: got %08X, want %08X", system, got, want)
		}
	}
}

// What happened between two looks at the service.
func TestEvents(t *testing.T) {
	up := func(version, lost int, readers ...Reader) snapshot {
		return snapshot{version: version, lost: lost, readers: readers}
	}
	down := snapshot{version: 2, lost: 1, err: SCARD_E_NO_SERVICE, lastErr: SCARD_E_NO_SERVICE}
	empty := Reader{Name: "A", State: stateEmpty}
	card := Reader{Name: "A", State: statePresent | 1<<16, ATR: []byte{0x3B, 0x00}}
	same := card
	same.State |= stateInUse
	spoken := same
	spoken.Protocol = 2
	another := Reader{Name: "A", State: statePresent | 3<<16, ATR: []byte{0x3B, 0x00}}
	otherATR := Reader{Name: "A", State: statePresent | 1<<16, ATR: []byte{0x3B, 0x01, 0x00}}
	broken := Reader{Name: "A", State: stateUnavailable}
	b := Reader{Name: "B", State: stateEmpty}
	for _, tt := range []struct {
		name     string
		old, now snapshot
		want     []string
	}{
		{"the first look", snapshot{}, up(1, 0, card, b), []string{"reader added: A", "card inserted: A", "reader added: B"}},
		{"the first look finds no service", snapshot{}, down, []string{"service lost"}},
		{"still no service", down, snapshot{version: 3, lost: 1, err: SCARD_E_NO_SERVICE}, nil},
		{"the service is back", down, up(3, 1, empty), []string{"service restored", "reader added: A"}},
		{"the service is lost", up(1, 0, card, b), down, []string{"service lost", "card removed: A", "reader removed: A", "reader removed: B"}},
		{"lost and back between two looks", up(1, 0, card), up(3, 1, card), []string{"service lost", "card removed: A", "reader removed: A", "service restored", "reader added: A", "card inserted: A"}},
		{"a card comes", up(1, 0, empty), up(2, 0, card), []string{"card inserted: A"}},
		{"a card goes", up(1, 0, card), up(2, 0, empty), []string{"card removed: A"}},
		{"a card is exchanged for one alike", up(1, 0, card), up(2, 0, another), []string{"card removed: A", "card inserted: A"}},
		{"a card came and went", up(1, 0, empty), up(2, 0, Reader{Name: "A", State: stateEmpty | 2<<16}), nil},
		{"another answer to reset of the same card", up(1, 0, card), up(2, 0, otherATR), []string{"card reset: A"}},
		{"the protocol is forgotten", up(1, 0, spoken), up(2, 0, same), []string{"card reset: A"}},
		{"a protocol is chosen", up(1, 0, same), up(2, 0, spoken), nil},
		{"somebody connects", up(1, 0, card), up(2, 0, same), nil},
		{"the reader fails", up(1, 0, card), up(2, 0, broken), []string{"card removed: A"}},
		{"a reader with a card goes, another comes", up(1, 0, card), up(2, 0, b), []string{"card removed: A", "reader removed: A", "reader added: B"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, e := range events(tt.old, tt.now) {
				got = append(got, e.String())
				if e.Kind == ServiceLost && !errors.Is(e.Err, SCARD_E_NO_SERVICE) && tt.now.lastErr != nil {
					t.Errorf("got %v for the loss of the service", e.Err)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestUnreachableSocketsNameUserAndRemedy(t *testing.T) {
	for _, tt := range []struct {
		name      string
		container string
		err       error
		access    bool
		code      Code
		words     []string
	}{
		{"permission denied", "", fs.ErrPermission, true, SCARD_W_SECURITY_VIOLATION, []string{"may not open /s", "write permission"}},
		{"a container without the socket", "podman", fs.ErrNotExist, true, SCARD_E_NO_SERVICE, []string{"container", "mount"}},
		{"nobody listens", "podman", errors.New("connection refused"), false, SCARD_E_NO_SERVICE, []string{"is pcscd installed and running?"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("container", tt.container)
			err := newError("establish", "", socketUnreachable("/s", fmt.Errorf("dial: %w", tt.err)))
			var e *AccessError
			if errors.As(err, &e) != tt.access || !errors.Is(err, tt.code) || !errors.Is(err, tt.err) {
				t.Errorf("got %v", err)
			}
			for _, w := range tt.words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("got %q, want it to say %q", err, w)
				}
			}
			if e != nil && (e.User == "" || e.Path != "/s" || !strings.Contains(err.Error(), e.User)) {
				t.Errorf("got %+v, want user and path", e)
			}
		})
	}
}

func FuzzProperties(f *testing.F) {
	f.Add([]byte{1, 2, 0x10, 2, 8, 3, 'G', 'e', 'm', 10, 4, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseProperties(b)
		if err == nil && (p.MaxAPDUDataSize < -1 || p.LCDLines < 0 || p.MinPINSize < 0 || len(p.FirmwareID) > 255) {
			t.Errorf("% X: got %+v", b, p)
		}
		features, err := ParseFeatures(b)
		if (err == nil) == (features == nil) || len(features) > len(b)/6 {
			t.Errorf("% X: got %v, %v", b, features, err)
		}
	})
}
