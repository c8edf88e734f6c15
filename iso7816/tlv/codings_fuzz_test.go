package tlv_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/cardoki/cardoki/iso7816/tlv"
)

// checkEnd checks where a walk ended: at the end, or with a *SyntaxError within
// what was left.
func checkEnd(t *testing.T, err error, read, length int) {
	t.Helper()
	if e, ok := errors.AsType[*tlv.SyntaxError](err); err != nil && (!ok || e.Offset < read || e.Offset > length) {
		t.Fatalf("got error %v, want a *SyntaxError at an offset in %d..%d", err, read, length)
	}
	if err == nil && read != length {
		t.Fatalf("ended after %d of %d bytes without an error", read, length)
	}
}

// FuzzCompact: what is read and appended again is the same.
func FuzzCompact(f *testing.F) {
	f.Add([]byte{0x31, 0xC0, 0x73, 0xC0, 0x01, 0xC0})
	f.Add([]byte{0x5F})
	f.Fuzz(func(t *testing.T, b []byte) {
		var again []byte
		var failed error
		for o, err := range tlv.AllCompact(b) {
			if failed = err; err == nil {
				again = tlv.AppendCompact(again, o.Tag, o.Value)
			}
		}
		checkEnd(t, failed, len(again), len(b))
		if !bytes.HasPrefix(b, again) {
			t.Fatalf("read %X, appended %X", b, again)
		}
	})
}

// FuzzSimple: what is read and appended again reads the same, and is no longer.
func FuzzSimple(f *testing.F) {
	f.Add([]byte{1, 2, 0xAA, 0xBB, 2, 0xFF, 0, 1, 0x42})
	f.Add([]byte{0x42, 0xFF, 2, 0, 1, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		rest := b
		var failed error
		for o, err := range tlv.AllSimple(b) {
			if failed = err; err != nil {
				break
			}
			first, after, err := tlv.NextSimple(rest)
			if err != nil || first.Tag != o.Tag || !bytes.Equal(first.Value, o.Value) {
				t.Fatalf("NextSimple gives %v, %v, AllSimple gives %v", first, err, o)
			}
			short := tlv.AppendSimple(nil, o.Tag, o.Value)
			if raw := rest[:len(rest)-len(after)]; len(short) > len(raw) || len(short) == len(raw) && !bytes.Equal(short, raw) {
				t.Fatalf("read %X, appended %X", raw, short)
			}
			if back, left, err := tlv.NextSimple(short); err != nil || len(left) != 0 || back.Tag != o.Tag || !bytes.Equal(back.Value, o.Value) {
				t.Fatalf("appended %X, read %v, %v", short, back, err)
			}
			rest = after
		}
		checkEnd(t, failed, len(b)-len(rest), len(b))
	})
}

// FuzzDER: what AllDER accepts is what Append writes, and nothing else.
func FuzzDER(f *testing.F) {
	f.Add([]byte{0x53, 1, 0xAA, 0x5F, 0x24, 0})
	f.Add([]byte{0x53, 0x81, 1, 0xAA})
	f.Fuzz(func(t *testing.T, b []byte) {
		var again []byte
		var failed error
		for o, err := range tlv.AllDER(b) {
			if failed = err; err == nil {
				again = tlv.Append(again, o.Tag, o.Value)
			}
		}
		checkEnd(t, failed, len(again), len(b))
		if !bytes.HasPrefix(b, again) {
			t.Fatalf("read %X, appended %X", b, again)
		}
		if failed == nil {
			return
		}
		// Where it stops, All stops too or Append would have written less.
		rest := b[len(again):]
		o, after, err := tlv.Next(rest)
		if err == nil && len(tlv.Append(nil, o.Tag, o.Value)) >= len(rest)-len(after) {
			t.Fatalf("refused %X: %v", rest, failed)
		}
	})
}

// FuzzDOL: entries append to the same list, and values have the length asked
// for whatever is looked up.
func FuzzDOL(f *testing.F) {
	f.Add([]byte{0x9F, 0x02, 6, 0x9F, 0x37, 4, 0x9A, 3}, []byte{1, 0}, byte(1))
	f.Add([]byte{0x5A, 0xFF}, []byte{1}, byte(2))
	f.Fuzz(func(t *testing.T, dol, value []byte, format byte) {
		var again []byte
		var failed error
		for e, err := range tlv.AllDOL(dol) {
			if failed = err; err == nil {
				again = tlv.AppendDOL(again, e)
			}
		}
		checkEnd(t, failed, len(again), len(dol))
		if !bytes.HasPrefix(dol, again) {
			t.Fatalf("read %X, appended %X", dol, again)
		}
		n, err := tlv.DOLLength(dol)
		got, err2 := tlv.AppendDOLValues(nil, dol, func(tlv.Tag) tlv.DOLValue {
			return tlv.DOLValue{Value: value, Format: tlv.DOLFormat(format)}
		})
		if (err == nil) != (failed == nil) || (err2 == nil) != (failed == nil) || len(got) != n {
			t.Fatalf("got length %d, %v, and %d bytes, %v, after the walk ended with %v", n, err, len(got), err2, failed)
		}
		if n > 128*len(dol) {
			t.Fatalf("%d bytes of list ask for %d", len(dol), n)
		}
	})
}
