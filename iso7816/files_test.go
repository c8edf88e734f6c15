package iso7816

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

func TestSelect(t *testing.T) {
	for _, tt := range []struct {
		name  string
		sel   Selection
		pairs []string
	}{
		{"the MF", Selection{}, []string{"00A4000000", "9000"}},
		{"a file identifier, for its FCP", Selection{Data: []byte{0x2F, 0x00}, Return: ReturnFCP}, []string{"00A40004022F0000", "9000"}},
		{"an AID, the next occurrence, for nothing", Selection{Method: SelectDFName, Data: []byte{1, 2, 3, 4, 5}, Occurrence: NextOccurrence, Return: ReturnNothing}, []string{"00A4040E050102030405", "9000"}},
		{"the parent", Selection{Method: SelectParentDF, Return: ReturnFMD}, []string{"00A4030800", "9000"}},
		{"a path", Selection{Method: SelectPath, Data: []byte{0x7F, 0x20, 0x6F, 7}, Return: ReturnNothing}, []string{"00A4080C047F206F07", "9000"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &script{t: t, pairs: tt.pairs}
			if _, err := NewChannel(s, nil).Select(context.Background(), tt.sel); err != nil {
				t.Fatal(err)
			}
			s.done()
		})
	}
	s := &script{t: t, pairs: []string{"00A4000000", "6F0483023F00" + "6283"}}
	fci, err := NewChannel(s, nil).Select(context.Background(), Selection{})
	if !errors.Is(err, apdu.StatusFileDeactivated) || fci.FileID != 0x3F00 {
		t.Errorf("a deactivated file: got %+v, %v; want its FCI and the warning", fci, err)
	}
}

func TestParseFCI(t *testing.T) {
	// An EF of a USIM, from pySim's tests (vectors sim/files.json).
	f := ParseFCI(unhex("621A82054221000E0283026FB78A01058B036F06088002001C880108"))
	if f.Size != 28 || f.TotalSize != -1 || f.FileID != 0x6FB7 || !f.HasFileID || f.ShortEFID != 1 || f.LifeCycle.String() != "operational, activated" {
		t.Errorf("got %+v", f)
	}
	if d := f.Descriptor; !d.Known() || !d.Shareable() || d.DF() || d.Structure() != LinearFixed || d.MaxRecordLength != 14 || d.Records != 2 {
		t.Errorf("descriptor: got %+v", d)
	}
	// A bank card's FCI.
	f = ParseFCI(unhex("6F1A840E315041592E5359532E4444463031A5088801025F2D02656E"))
	if string(f.DFName) != "1PAY.SYS.DDF01" || len(f.Proprietary) != 8 || f.ShortEFID != -1 || f.Descriptor.Known() {
		t.Errorf("got %+v", f)
	}
	// The other templates inside an FCI.
	f = ParseFCI(unhex("6F0B6209820138830230008800"))
	if !f.Descriptor.DF() || f.FileID != 0x3000 || f.ShortEFID != 0 {
		t.Errorf("nested: got %+v", f)
	}
	for _, b := range []string{"", "00", "6F", "6F05", "6F03820100", "6F0482008300", "6F0480050102", "9F36"} {
		f := ParseFCI(unhex(b)) // must not panic, and keeps what it got
		if len(f.Raw) != len(unhex(b)) {
			t.Errorf("%s: Raw has %d bytes", b, len(f.Raw))
		}
	}
}

func FuzzParseFCI(f *testing.F) {
	f.Add(unhex("621A82054221000E0283026FB78A01058B036F06088002001C880108"))
	f.Add(unhex("6F1A840E315041592E5359532E4444463031A5088801025F2D02656E"))
	f.Fuzz(func(t *testing.T, b []byte) {
		fci := ParseFCI(b)
		if fci.Size < -1 || fci.TotalSize < -1 || fci.ShortEFID < -1 || fci.ShortEFID > 31 || fci.Descriptor.Records < 0 {
			t.Fatalf("%X: %+v", b, fci)
		}
		_ = fci.Descriptor.Structure().String() + fci.LifeCycle.String()
	})
}

// memoryFile is a card with one transparent file, by what ISO/IEC 7816-4 says of the
// even and the odd instructions. limit is the longest response.
type memoryFile struct {
	t     *testing.T
	file  []byte
	limit int
	seen  int
}

func (m *memoryFile) Transmit(_ context.Context, dst, command []byte) ([]byte, error) {
	m.seen++
	c, err := apdu.ParseCommand(command)
	if err != nil {
		m.t.Fatalf("%X: %v", command, err)
	}
	offset, data := int(c.P1)<<8|int(c.P2), c.Data
	if c.Instruction.Odd() {
		value, err := tlv.Find(c.Data, tagOffset)
		if err != nil || offset != 0 {
			m.t.Fatalf("%X: offset: %v", command, err)
		}
		offset = number(value)
		data, _ = tlv.Find(c.Data, tagDiscretionary)
	} else if offset > maxEvenOffset {
		m.t.Fatalf("%X: offset %d names a short EF identifier", command, offset)
	}
	if offset > len(m.file) {
		return append(dst, 0x6B, 0x00), nil
	}
	switch c.Instruction &^ 1 {
	case apdu.InsReadBinary:
		part := m.file[offset:]
		sw := []byte{0x90, 0x00}
		n := min(c.Ne, m.limit)
		if c.Instruction.Odd() {
			n -= overhead(n)
		}
		if len(part) > n {
			part = part[:n]
		} else if len(part) < n {
			sw = []byte{0x62, 0x82}
		}
		if c.Instruction.Odd() {
			part = tlv.Append(nil, tagDiscretionary, part)
		}
		return append(append(dst, part...), sw...), nil
	case apdu.InsUpdateBinary, apdu.InsWriteBinary:
		if offset+len(data) > len(m.file) {
			return append(dst, 0x6A, 0x84), nil
		}
		copy(m.file[offset:], data)
		return append(dst, 0x90, 0x00), nil
	}
	return append(dst, 0x6D, 0x00), nil
}

func TestFilesBeyond32K(t *testing.T) {
	ctx := context.Background()
	for _, size := range []int{0, 1, 255, 256, 257, 32767, 32768, 32769, 40000, 70000} {
		for _, known := range []bool{true, false} {
			m := &memoryFile{t: t, file: make([]byte, size), limit: 256}
			ch := NewChannel(m, nil)
			want := make([]byte, size)
			for i := range want {
				want[i] = byte(i>>8) ^ byte(i)
			}
			if n, err := ch.UpdateBinary(ctx, 0, want); err != nil || n != size {
				t.Fatalf("size %d: wrote %d, %v", size, n, err)
			}
			length, calls, last := -1, 0, 0
			if known {
				length = size
			}
			got, err := ch.ReadFile(ctx, length, func(done, total int) {
				calls++
				if done < last || total != length {
					t.Fatalf("progress %d of %d after %d", done, total, last)
				}
				last = done
			})
			if err != nil || string(got) != string(want) {
				t.Errorf("size %d, known %v: got %d bytes, %v", size, known, len(got), err)
			}
			if size > 0 && (calls == 0 || last != size) {
				t.Errorf("size %d: %d calls of progress, the last with %d", size, calls, last)
			}
		}
	}
}

func TestReadFileTellsWhatItGot(t *testing.T) {
	ctx := context.Background()
	m := &memoryFile{t: t, file: make([]byte, 300), limit: 256}
	if got, err := NewChannel(m, nil).ReadFile(ctx, 400, nil); err == nil || len(got) != 300 {
		t.Errorf("a file that ends early: got %d bytes, %v; want 300 and an error", len(got), err)
	}
	s := &script{t: t, pairs: []string{"00B0000000", hexOf(fill(256)) + "9000", "00B0010000", "6982"}}
	if got, err := NewChannel(s, nil).ReadFile(ctx, -1, nil); !errors.Is(err, apdu.StatusSecurityStatusNotSatisfied) || len(got) != 256 {
		t.Errorf("refused half-way: got %d bytes, %v", len(got), err)
	}
	if _, err := NewChannel(&script{t: t}, nil).ReadBinary(ctx, 0, 0); !errors.Is(err, apdu.ErrLength) {
		t.Errorf("no bytes: got %v, want ErrLength", err)
	}
	if _, err := NewChannel(&script{t: t}, nil).ReadBinary(ctx, 1<<24, 1); !errors.Is(err, apdu.ErrLength) {
		t.Errorf("an offset of four bytes: got %v, want ErrLength", err)
	}
}

func TestUpdateBinaryTellsHowFarItCame(t *testing.T) {
	s := &script{t: t, pairs: []string{"00D60000FF" + hexOf(fill(255)), "9000", "00D600FF2D" + hexOf(fill(300)[255:]), "6581"}}
	n, err := NewChannel(s, nil).UpdateBinary(context.Background(), 0, fill(300))
	if n != 255 || !errors.Is(err, apdu.StatusMemoryFailure) {
		t.Errorf("got %d, %v; want 255 and 6581", n, err)
	}
}

// TestCommands has one row for each command method: the bytes that it sends.
func TestCommands(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		name  string
		call  func(*Channel) error
		pairs []string
	}{
		{"EraseBinary to the end", func(c *Channel) error { return c.EraseBinary(ctx, 16, -1) }, []string{"000E0010", "9000"}},
		{"EraseBinary to an offset", func(c *Channel) error { return c.EraseBinary(ctx, 16, 32) }, []string{"000E0010020020", "9000"}},
		{"EraseBinary to beyond 32 K", func(c *Channel) error { return c.EraseBinary(ctx, 16, 0x9000) }, []string{"000F0000085402001054029000", "9000"}},
		{"EraseBinary from beyond 32 K", func(c *Channel) error { return c.EraseBinary(ctx, 0x8000, -1) }, []string{"000F00000454028000", "9000"}},
		{"ReadRecord of the current EF", func(c *Channel) error { _, err := c.ReadRecord(ctx, Record{Number: 3}); return err }, []string{"00B2030400", "9000"}},
		{"ReadRecord by short EF identifier", func(c *Channel) error { _, err := c.ReadRecord(ctx, Record{ShortEFID: 1, Number: 2}); return err }, []string{"00B2020C00", "9000"}},
		{"UpdateRecord", func(c *Channel) error { return c.UpdateRecord(ctx, Record{Number: 1}, []byte{0xAA}) }, []string{"00DC010401AA", "9000"}},
		{"WriteRecord", func(c *Channel) error { return c.WriteRecord(ctx, Record{Number: 1}, []byte{0xAA}) }, []string{"00D2010401AA", "9000"}},
		{"AppendRecord", func(c *Channel) error { return c.AppendRecord(ctx, 2, []byte{0xAA}) }, []string{"00E2001001AA", "9000"}},
		{"WriteBinary", func(c *Channel) error { _, err := c.WriteBinary(ctx, 1, []byte{0xAA}); return err }, []string{"00D0000101AA", "9000"}},
		{"GetDataPlain", func(c *Channel) error { _, err := c.GetDataPlain(ctx, 0x9F7F); return err }, []string{"00CA9F7F00", "9000"}},
		{"PutDataPlain", func(c *Channel) error { return c.PutDataPlain(ctx, 0x5B, []byte{1}) }, []string{"00DA005B0101", "9000"}},
		{"ChangeReferenceData", func(c *Channel) error { return c.ChangeReferenceData(ctx, 0x81, []byte{1}, []byte{2}) }, []string{"00240081020102", "9000"}},
		{"ChangeReferenceData without the old", func(c *Channel) error { return c.ChangeReferenceData(ctx, 0x81, nil, []byte{2}) }, []string{"002401810102", "9000"}},
		{"ResetRetryCounter with code and new", func(c *Channel) error { return c.ResetRetryCounter(ctx, 0x80, []byte{1}, []byte{2}) }, []string{"002C0080020102", "9000"}},
		{"ResetRetryCounter with the code alone", func(c *Channel) error { return c.ResetRetryCounter(ctx, 0x80, []byte{1}, nil) }, []string{"002C01800101", "9000"}},
		{"ResetRetryCounter with new data alone", func(c *Channel) error { return c.ResetRetryCounter(ctx, 0x80, nil, []byte{2}) }, []string{"002C02800102", "9000"}},
		{"ResetRetryCounter with nothing", func(c *Channel) error { return c.ResetRetryCounter(ctx, 0x80, nil, nil) }, []string{"002C0380", "9000"}},
		{"EnableVerification", func(c *Channel) error { return c.EnableVerification(ctx, 1, []byte{9}) }, []string{"002800010109", "9000"}},
		{"DisableVerification without data", func(c *Channel) error { return c.DisableVerification(ctx, 1, nil) }, []string{"00260101", "9000"}},
		{"GetChallenge", func(c *Channel) error { _, err := c.GetChallenge(ctx, 8); return err }, []string{"0084000008", "9000"}},
		{"InternalAuthenticate", func(c *Channel) error { _, err := c.InternalAuthenticate(ctx, 1, 2, []byte{3}); return err }, []string{"00880102010300", "9000"}},
		{"ExternalAuthenticate", func(c *Channel) error { return c.ExternalAuthenticate(ctx, 1, 2, []byte{3}) }, []string{"008201020103", "9000"}},
		{"MutualAuthenticate", func(c *Channel) error { _, err := c.MutualAuthenticate(ctx, 1, 2, []byte{3}); return err }, []string{"00820102010300", "9000"}},
		{"SetSecurityEnvironment", func(c *Channel) error {
			return c.SetSecurityEnvironment(ctx, 0x40, TemplateSignature, []byte{0x84, 1, 1})
		}, []string{"002241B603840101", "9000"}},
		{"RestoreSecurityEnvironment", func(c *Channel) error { return c.RestoreSecurityEnvironment(ctx, 1) }, []string{"0022F301", "9000"}},
		{"PerformSecurityOperation that computes", func(c *Channel) error { _, err := c.PerformSecurityOperation(ctx, 0x9E, 0x9A, []byte{1}); return err }, []string{"002A9E9A010100", "9000"}},
		{"PerformSecurityOperation that verifies", func(c *Channel) error { _, err := c.PerformSecurityOperation(ctx, 0, 0xA8, []byte{1}); return err }, []string{"002A00A80101", "9000"}},
		{"GenerateKeyPair", func(c *Channel) error { _, err := c.GenerateKeyPair(ctx, 0x80, 0, []byte{0xB6, 0}); return err }, []string{"0046800002B60000", "7F4902860090" + "00"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &script{t: t, pairs: tt.pairs}
			if err := tt.call(NewChannel(s, nil)); err != nil {
				t.Error(err)
			}
			s.done()
		})
	}
}

func TestCommandsThatCannotBeAreNotSent(t *testing.T) {
	ctx := context.Background()
	ch := NewChannel(&script{t: t}, nil)
	for name, err := range map[string]error{
		"record 255":           second(ch.ReadRecord(ctx, Record{Number: 255})),
		"short EF 31":          second(ch.ReadRecord(ctx, Record{ShortEFID: 31, Number: 1})),
		"an empty record":      ch.UpdateRecord(ctx, Record{Number: 1}, nil),
		"an empty new record":  ch.AppendRecord(ctx, 1, nil),
		"a challenge of 0":     second(ch.GetChallenge(ctx, 0)),
		"a tag of three bytes": second(ch.GetDataPlain(ctx, 0x5FC105)),
		"an end before":        ch.EraseBinary(ctx, 5, 5),
	} {
		if !errors.Is(err, apdu.ErrLength) {
			t.Errorf("%s: got %v, want ErrLength", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestRefusedReferenceDataTellsTheTries(t *testing.T) {
	s := &script{t: t, pairs: []string{"00240081020102", "63C2", "002C0080020102", "6983", "00820000" + "0101", "6300"}}
	ch := NewChannel(s, nil)
	ctx := context.Background()
	for _, tt := range []struct {
		err       error
		remaining int
		text      string
	}{
		{ch.ChangeReferenceData(ctx, 0x81, []byte{1}, []byte{2}), 2, "iso7816: CHANGE REFERENCE DATA: 63C2 verification failed, 2 tries left"},
		{ch.ResetRetryCounter(ctx, 0x80, []byte{1}, []byte{2}), 0, "iso7816: RESET RETRY COUNTER: 6983 authentication method blocked: reference data 80 is blocked; unblock it with the card's PUK or ask its issuer"},
		{ch.ExternalAuthenticate(ctx, 0, 0, []byte{1}), -1, "iso7816: EXTERNAL AUTHENTICATE: 6300 warning, memory changed; the card does not tell how many tries are left"},
	} {
		e, ok := errors.AsType[*VerifyError](tt.err)
		if !ok || e.Remaining != tt.remaining || e.Error() != tt.text {
			t.Errorf("got %v, want %s", tt.err, tt.text)
		}
	}
}

func TestRecords(t *testing.T) {
	s := &script{t: t, pairs: []string{"00B2010C00", "AA9000", "00B2020C00", "BB9000", "00B2030C00", "6A83"}}
	var got string
	for record, err := range NewChannel(s, nil).Records(context.Background(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		got += fmt.Sprintf("%X;", record)
	}
	s.done()
	if got != "AA;BB;" {
		t.Errorf("got %s", got)
	}
	s = &script{t: t, pairs: []string{"00B2010400", "6982"}}
	for _, err := range NewChannel(s, nil).Records(context.Background(), 0) {
		if !errors.Is(err, apdu.StatusSecurityStatusNotSatisfied) {
			t.Errorf("got %v, want 6982", err)
		}
	}
}
