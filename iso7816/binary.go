package iso7816

import (
	"context"
	"errors"
	"fmt"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// maxEvenOffset is the highest offset that P1-P2 of READ BINARY and its kin hold;
// beyond it the odd instruction carries the offset in a data object.
const maxEvenOffset = 0x7FFF

// Data objects of the odd instructions.
const (
	tagOffset        = tlv.Tag(0x54)
	tagDiscretionary = tlv.Tag(0x53)
)

// ReadBinary reads n bytes, 1 to 65,536, of the current EF from offset on, in one
// command (ISO/IEC 7816-4:2013). A card may give fewer than were asked for:
// with 6282, which is returned as a [*CommandError] together with the bytes, or
// without. [Channel.ReadFile] reads on.
func (ch *Channel) ReadBinary(ctx context.Context, offset, n int) ([]byte, error) {
	if n < 1 || n > apdu.MaxExtendedNe {
		return nil, &apdu.LengthError{Field: "Ne", Value: n, Max: apdu.MaxExtendedNe}
	}
	c, err := binaryCommand(apdu.InsReadBinary, offset)
	if err != nil {
		return nil, err
	}
	c.Ne = n
	if c.Instruction.Odd() {
		c.Ne = min(n+overhead(n), apdu.MaxExtendedNe)
	}
	data, err := ch.Send(ctx, c)
	if !c.Instruction.Odd() || len(data) == 0 {
		return data, err
	}
	value, tlvErr := tlv.Find(data, tagDiscretionary)
	if tlvErr != nil && err == nil {
		return nil, fmt.Errorf("iso7816: READ BINARY: %w", tlvErr)
	}
	return value, err
}

// overhead returns the size of the tag and length of a data object of n bytes.
func overhead(n int) int {
	var b [6]byte
	return len(tlv.AppendHeader(b[:0], tagDiscretionary, n))
}

// binaryCommand returns a command on the current EF at an offset.
func binaryCommand(even apdu.Instruction, offset int) (apdu.Command, error) {
	switch {
	case offset < 0 || offset > 0xFFFFFF:
		return apdu.Command{}, &apdu.LengthError{Field: "offset", Value: offset, Max: 0xFFFFFF}
	case offset <= maxEvenOffset:
		return apdu.Command{Instruction: even, P1: byte(offset >> 8), P2: byte(offset)}, nil
	}
	return apdu.Command{Instruction: even | 1, Data: appendOffset(nil, offset)}, nil
}

func appendOffset(dst []byte, offset int) []byte {
	if offset > 0xFFFF {
		return tlv.Append(dst, tagOffset, []byte{byte(offset >> 16), byte(offset >> 8), byte(offset)})
	}
	return tlv.Append(dst, tagOffset, []byte{byte(offset >> 8), byte(offset)})
}

// ReadFile reads the current EF from its beginning: size bytes, or to its end when
// size is -1. The end is where the card says so (6282, 6B00 or 6A86 at an offset, or
// no more data). A card that refuses the first command (6700, 6282 without data) is
// asked for fewer bytes at a time. progress, if not nil, is called after each command
// with the bytes read and the size; it gets -1 when that is not known. No more than
// 16 MiB are read, and no more than 65,536 commands sent.
//
// On an error what was read so far is returned with it.
func (ch *Channel) ReadFile(ctx context.Context, size int, progress func(done, size int)) ([]byte, error) {
	const maxFile = 1 << 24
	if size > maxFile {
		return nil, &apdu.LengthError{Field: "file", Value: size, Max: maxFile}
	}
	return ch.read(ctx, size, maxFile, progress)
}

// read is ReadFile of limit bytes at most, by as many commands of 256 bytes, or 64.
func (ch *Channel) read(ctx context.Context, size, limit int, progress func(done, size int)) ([]byte, error) {
	want, maxCommands := limit, max(64, limit/apdu.MaxShortNe)
	if size >= 0 {
		want = size
	}
	chunk, err := ch.chunk(ctx)
	if err != nil {
		return nil, err
	}
	var file []byte
	for commands := 0; len(file) < want; commands++ {
		if commands == maxCommands {
			return file, fmt.Errorf("iso7816: READ BINARY: the card gave %d bytes in %d commands, too few at a time", len(file), commands)
		}
		n := min(chunk, want-len(file))
		data, err := ch.ReadBinary(ctx, len(file), n)
		if less := fewer(n); len(file) == 0 && len(data) == 0 && less > 0 && (errors.Is(err, apdu.StatusWrongLength) || errors.Is(err, apdu.StatusEndOfFile)) {
			chunk = less
			continue
		}
		// What is more than was asked for follows in the file.
		file = append(file, data[:min(len(data), want-len(file))]...)
		atEnd := errors.Is(err, apdu.StatusEndOfFile) ||
			size < 0 && len(data) == 0 && (errors.Is(err, apdu.StatusWrongP1P2) || errors.Is(err, apdu.StatusIncorrectP1P2))
		if err != nil && !atEnd {
			return file, err
		}
		if progress != nil {
			progress(len(file), size)
		}
		if atEnd || len(data) == 0 {
			break
		}
	}
	if size >= 0 && len(file) < size {
		return file, fmt.Errorf("iso7816: READ BINARY: the file ended after %d of %d bytes", len(file), size)
	}
	return file, nil
}

// chunk returns how many bytes one READ BINARY asks for.
func (ch *Channel) chunk(ctx context.Context) (int, error) {
	if err := ch.acquire(ctx); err != nil {
		return 0, err
	}
	defer ch.release()
	// More than 4,096 bytes gain little and make a failure dear.
	if l := ch.known(); ch.extended && l.MaxResponse > apdu.MaxShortNe+2 {
		return min(l.MaxResponse-2, 4096), nil
	}
	return ch.shortNe(), nil
}

// fewer returns for how many bytes a card is asked that did not give n, or 0 when
// there is no sense in it. A Ukrainian passport gives 192 bytes at most (gmrtd/gmrtd
// #410), a Spanish identity card answers a longer READ BINARY with 6282 and no data
// (AndyQ/NFCPassportReader #91).
func fewer(n int) int {
	for _, less := range [...]int{256, 192, 128} {
		if less < n {
			return less
		}
	}
	return 0
}

// UpdateBinary writes data over the current EF from offset on (ISO/IEC 7816-4:2013),
// in as many commands as it needs. On an error written tells how many bytes the card
// confirmed; of the rest of that one command nobody knows.
func (ch *Channel) UpdateBinary(ctx context.Context, offset int, data []byte) (written int, err error) {
	return ch.writeBinary(ctx, apdu.InsUpdateBinary, offset, data)
}

// WriteBinary writes data into the current EF from offset on, as its data coding
// byte says: once, or by OR or AND with what is there (ISO/IEC 7816-4:2013).
// Otherwise it is as [Channel.UpdateBinary].
func (ch *Channel) WriteBinary(ctx context.Context, offset int, data []byte) (written int, err error) {
	return ch.writeBinary(ctx, apdu.InsWriteBinary, offset, data)
}

func (ch *Channel) writeBinary(ctx context.Context, ins apdu.Instruction, offset int, data []byte) (int, error) {
	const room = 5 + 4 // of the odd form: offset object, header of the data object
	for written := 0; written < len(data); {
		c, err := binaryCommand(ins, offset+written)
		if err != nil {
			return written, err
		}
		part := data[written:min(len(data), written+apdu.MaxShortNc)]
		if c.Instruction.Odd() {
			part = part[:min(len(part), apdu.MaxShortNc-room)]
			c.Data = tlv.Append(c.Data, tagDiscretionary, part)
		} else {
			part = part[:min(len(part), max(1, maxEvenOffset+1-(offset+written)))]
			c.Data = part
		}
		if _, err := ch.Send(ctx, c); err != nil {
			return written, err
		}
		written += len(part)
	}
	return len(data), nil
}

// EraseBinary erases the current EF from offset on, up to before end, or to its end
// when end is -1 (ISO/IEC 7816-4:2013).
func (ch *Channel) EraseBinary(ctx context.Context, offset, end int) error {
	c, err := binaryCommand(apdu.InsEraseBinary, offset)
	if err != nil {
		return err
	}
	switch {
	case end < 0:
	case end <= offset || end > 0xFFFFFF:
		return &apdu.LengthError{Field: "end", Value: end, Max: 0xFFFFFF}
	case c.Instruction.Odd():
		c.Data = appendOffset(c.Data, end)
	case end > maxEvenOffset: // the end needs the odd form, and with it the offset
		c = apdu.Command{Instruction: apdu.InsEraseBinaryOdd, Data: appendOffset(appendOffset(nil, offset), end)}
	default:
		c.Data = []byte{byte(end >> 8), byte(end)}
	}
	_, err = ch.Send(ctx, c)
	return err
}
