package iso7816

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/cardoki/cardoki/apdu"
)

// A Record names a record of an EF (ISO/IEC 7816-4:2013).
type Record struct {
	// ShortEFID is the short EF identifier of the file, 1 to 30; 0 means the current
	// EF.
	ShortEFID int
	// Number is the record number, 1 to 254; 0 means the current record.
	Number int
}

// p2 returns P2 for a record by number.
func (r Record) p2() (byte, error) {
	if r.ShortEFID < 0 || r.ShortEFID > 30 {
		return 0, &apdu.LengthError{Field: "short EF identifier", Value: r.ShortEFID, Max: 30}
	}
	if r.Number < 0 || r.Number > 254 {
		return 0, &apdu.LengthError{Field: "record number", Value: r.Number, Max: 254}
	}
	const byNumber = 0x04
	return byte(r.ShortEFID)<<3 | byNumber, nil
}

// ReadRecord reads one record, whole. A card that has fewer bytes than it says, or
// whose record does not exist (6A83), gives a [*CommandError].
func (ch *Channel) ReadRecord(ctx context.Context, r Record) ([]byte, error) {
	p2, err := r.p2()
	if err != nil {
		return nil, err
	}
	return ch.Send(ctx, apdu.Command{Instruction: apdu.InsReadRecord, P1: byte(r.Number), P2: p2, Ne: apdu.MaxShortNe})
}

// Records reads the records of a file in their order from record 1 on, until the card
// says that there is none (6A83). It ends after record 254, and with the first error,
// which it yields.
func (ch *Channel) Records(ctx context.Context, shortEFID int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for n := 1; n <= 254; n++ {
			data, err := ch.ReadRecord(ctx, Record{ShortEFID: shortEFID, Number: n})
			if err != nil {
				if !errors.Is(err, apdu.StatusRecordNotFound) {
					yield(nil, err)
				}
				return
			}
			if !yield(data, nil) {
				return
			}
		}
	}
}

// UpdateRecord writes data, at most 65,535 bytes, over one record.
func (ch *Channel) UpdateRecord(ctx context.Context, r Record, data []byte) error {
	return ch.writeRecord(ctx, apdu.InsUpdateRecord, r, data)
}

// WriteRecord writes data into one record, as the data coding byte of the file says:
// once, or by OR or AND with what is there.
func (ch *Channel) WriteRecord(ctx context.Context, r Record, data []byte) error {
	return ch.writeRecord(ctx, apdu.InsWriteRecord, r, data)
}

func (ch *Channel) writeRecord(ctx context.Context, ins apdu.Instruction, r Record, data []byte) error {
	p2, err := r.p2()
	if err != nil {
		return err
	}
	if len(data) == 0 {
		return fmt.Errorf("iso7816: %v: no data: %w", ins, apdu.ErrLength)
	}
	_, err = ch.Send(ctx, apdu.Command{Instruction: ins, P1: byte(r.Number), P2: p2, Data: data})
	return err
}

// AppendRecord appends a record to a file, or writes the first of a cyclic one.
func (ch *Channel) AppendRecord(ctx context.Context, shortEFID int, data []byte) error {
	p2, err := Record{ShortEFID: shortEFID}.p2()
	if err != nil {
		return err
	}
	if len(data) == 0 {
		return fmt.Errorf("iso7816: APPEND RECORD: no data: %w", apdu.ErrLength)
	}
	const byNumber = 0x04
	_, err = ch.Send(ctx, apdu.Command{Instruction: apdu.InsAppendRecord, P2: p2 &^ byNumber, Data: data})
	return err
}
