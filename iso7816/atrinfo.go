package iso7816

import (
	"context"
	"errors"

	"github.com/cardoki/cardoki/apdu"
)

// maxATRInfo is the longest EF.ATR/INFO that is read, in bytes.
const maxATRInfo = 4096

// ReadATRInfo reads EF.ATR/INFO, the file 2F01 under the MF, and uses what it tells
// (ISO/IEC 7816-4): from then on, until [Channel.Reconnect], all Channels of the card
// use extended length fields where it announces them, and keep to the longest command
// and response APDU of its extended length information. [Options] has the last word.
//
// It selects the MF and the file, so that no application is selected afterwards: call
// it before selecting one. A card without the file, or without an MF, gives an error
// that Is [apdu.StatusFileNotFound] in most cases, else another [*CommandError]. What
// is no data objects gives a [*SyntaxError] and what was read before, and changes
// nothing. At most 4,096 bytes are read; more is an error that Is [apdu.ErrLength].
func (ch *Channel) ReadATRInfo(ctx context.Context) (info ATRInfo, err error) {
	err = ch.Exclusive(ctx, func(tx *Channel) error {
		for _, file := range [...]Selection{
			{Method: SelectFileID, Data: []byte{0x3F, 0x00}},
			{Method: SelectEF, Data: []byte{0x2F, 0x01}},
		} {
			if err := tx.selectQuietly(ctx, file); err != nil {
				return err
			}
		}
		b, err := tx.read(ctx, -1, maxATRInfo+1, nil)
		if errors.Is(err, apdu.StatusIncompatibleWithFile) && len(b) == 0 {
			b, err = tx.readRecords(ctx, maxATRInfo+1)
		}
		if err != nil {
			return err
		}
		if len(b) > maxATRInfo {
			return &apdu.LengthError{Field: "EF.ATR/INFO", Value: len(b), Max: maxATRInfo}
		}
		if info, err = ParseATRInfo(b); err != nil {
			return err
		}
		tx.learn(&info)
		return nil
	})
	return info, err
}

// selectQuietly selects a file and asks for nothing, or for anything where the card
// does not know how to return nothing. A warning is no error: the file is selected.
func (ch *Channel) selectQuietly(ctx context.Context, s Selection) error {
	s.Return = ReturnNothing
	_, err := ch.Select(ctx, s)
	if errors.Is(err, apdu.StatusIncorrectP1P2) || errors.Is(err, apdu.StatusWrongP1P2) || errors.Is(err, apdu.StatusFunctionNotSupported) {
		s.Return = ReturnFCI
		_, err = ch.Select(ctx, s)
	}
	if e, ok := errors.AsType[*CommandError](err); ok && e.Status.Warning() {
		return nil
	}
	return err
}

// readRecords returns the records of the current EF one after the other, until they
// have limit bytes or more.
func (ch *Channel) readRecords(ctx context.Context, limit int) (b []byte, err error) {
	for record, err := range ch.Records(ctx, 0) {
		if err != nil {
			return b, err
		}
		if b = append(b, record...); len(b) >= limit {
			break
		}
	}
	return b, nil
}

// learn takes over what the card tells of lengths. The lock is held.
func (s *shared) learn(info *ATRInfo) {
	can := info.CardCapabilities
	if can.Tables == 0 {
		h, _ := ParseHistoricalBytes(info.HistoricalBytes) // what is sound of them will do
		can, _ = h.CardCapabilities()
	}
	if s.opts.Length != LengthShort && (can.Functions.Has(ExtendedLengths) || info.HasExtendedLength) {
		s.extended = true
	}
	if !info.HasExtendedLength {
		return
	}
	// Every card takes what short length fields can tell.
	const shortCommand, shortResponse = apdu.HeaderSize + 1 + apdu.MaxShortNc + 1, apdu.MaxShortNe + 2
	s.limits.MaxCommand = lower(s.limits.MaxCommand, max(info.ExtendedLength.MaxCommand, shortCommand))
	s.limits.MaxResponse = lower(s.limits.MaxResponse, max(info.ExtendedLength.MaxResponse, shortResponse))
}

// lower returns the lower of a limit, which is not known when it is 0, and another.
func lower(limit, other int) int {
	if limit <= 0 {
		return other
	}
	return min(limit, other)
}
