package pcsclite

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Commands of the protocol, by their names in pcsc-lite.
const (
	cmdEstablishContext             = 0x01
	cmdReleaseContext               = 0x02
	cmdConnect                      = 0x04
	cmdReconnect                    = 0x05
	cmdDisconnect                   = 0x06
	cmdBeginTransaction             = 0x07
	cmdEndTransaction               = 0x08
	cmdTransmit                     = 0x09
	cmdControl                      = 0x0A
	cmdStatus                       = 0x0B
	cmdCancel                       = 0x0D
	cmdGetAttrib                    = 0x0F
	cmdSetAttrib                    = 0x10
	cmdVersion                      = 0x11
	cmdGetReadersState              = 0x12
	cmdWaitReaderStateChange        = 0x13
	cmdStopWaitingReaderStateChange = 0x14
)

// Versions of the protocol. The structures are the same in all the minor
// versions of this list; 4:3 and older wait for events in another way.
const (
	versionMajor    = 4
	versionMinor    = 4 // offered first
	versionMinorMax = 5 // spoken when the daemon insists: 2.3.0 to 2.4.0 accept nothing else
)

// Sizes in bytes.
const (
	headerSize    = 8   // body length, command
	maxReaderName = 128 // with its terminating zero
	maxATR        = 33
	maxReaders    = 16
	readerSize    = 184 // one reader state
	transmitSize  = 32
	controlSize   = 24
	maxAttribute  = 264

	// MaxAPDU is the longest command and the longest response that the daemon
	// carries, in bytes. It closes the socket on a longer command.
	MaxAPDU = 65548
)

// Share modes of [Client.Connect].
const (
	ShareExclusive = 1
	ShareShared    = 2
	ShareDirect    = 3 // with the reader, card or no card
)

// Bits of [ReaderState.State].
const (
	ReaderUnknown    = 0x01 // the reader does not work
	ReaderAbsent     = 0x02 // no card
	ReaderPresent    = 0x04 // a card
	ReaderSwallowed  = 0x08 // a card that does not answer
	ReaderPowered    = 0x10
	ReaderNegotiable = 0x20 // no protocol chosen yet
	ReaderSpecific   = 0x40
)

// SharingExclusive is the value of [ReaderState.Sharing] when one client has the
// reader for itself.
const SharingExclusive = -1

// An RV is a return value of the daemon other than success, such as 0x8010000C.
type RV uint32

// The return values that this package itself looks at.
const (
	rvSuccess        RV = 0
	rvServiceStopped RV = 0x8010001E
)

// Error returns the number.
func (rv RV) Error() string { return fmt.Sprintf("pcsclite: pcscd returned 0x%08X", uint32(rv)) }

// A ReaderState is what the daemon tells of one reader.
type ReaderState struct {
	Name         string
	EventCounter uint32 // grows with each insertion and removal
	State        uint32 // Reader… bits
	Sharing      int32  // number of connections, or SharingExclusive
	ATR          string // answer to reset; empty without a card
	Protocol     uint32 // active protocol, 0 when none was chosen
}

// le is the byte order of the protocol: that of the machine.
var le = binary.NativeEndian

// parseReaderStates decodes the 16 states of an answer; free places are left out.
func parseReaderStates(b []byte) ([]ReaderState, error) {
	if len(b)%readerSize != 0 || len(b) > maxReaders*readerSize {
		return nil, &ProtocolError{Reason: fmt.Sprintf("reader states of %d bytes", len(b))}
	}
	var states []ReaderState
	for ; len(b) > 0; b = b[readerSize:] {
		name, _, found := bytes.Cut(b[:maxReaderName], []byte{0})
		if !found {
			return nil, &ProtocolError{Reason: "reader name without an end"}
		}
		if len(name) == 0 {
			continue
		}
		s := ReaderState{
			Name:         string(name),
			EventCounter: le.Uint32(b[128:]),
			State:        le.Uint32(b[132:]),
			Sharing:      int32(le.Uint32(b[136:])),
			Protocol:     le.Uint32(b[180:]),
		}
		n := le.Uint32(b[176:])
		if n > maxATR {
			return nil, &ProtocolError{Reason: fmt.Sprintf("answer to reset of %d bytes", n)}
		}
		if s.State&ReaderPresent != 0 {
			s.ATR = string(b[140 : 140+n])
		}
		states = append(states, s)
	}
	return states, nil
}
