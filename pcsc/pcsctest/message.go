package pcsctest

import (
	"encoding/binary"
	"fmt"
)

// A Command is the number of a request, with its name in winscard_msg.h of
// pcsc-lite.
type Command uint32

// The commands of the protocol. Accepted is none of them: it stands for a client
// that has connected and sent nothing yet.
const (
	Accepted                             Command = 0x00
	SCARD_ESTABLISH_CONTEXT              Command = 0x01
	SCARD_RELEASE_CONTEXT                Command = 0x02
	SCARD_CONNECT                        Command = 0x04
	SCARD_RECONNECT                      Command = 0x05
	SCARD_DISCONNECT                     Command = 0x06
	SCARD_BEGIN_TRANSACTION              Command = 0x07
	SCARD_END_TRANSACTION                Command = 0x08
	SCARD_TRANSMIT                       Command = 0x09
	SCARD_CONTROL                        Command = 0x0A
	SCARD_STATUS                         Command = 0x0B
	SCARD_CANCEL                         Command = 0x0D
	SCARD_GET_ATTRIB                     Command = 0x0F
	SCARD_SET_ATTRIB                     Command = 0x10
	CMD_VERSION                          Command = 0x11
	CMD_GET_READERS_STATE                Command = 0x12
	CMD_WAIT_READER_STATE_CHANGE         Command = 0x13
	CMD_STOP_WAITING_READER_STATE_CHANGE Command = 0x14
	CMD_GET_READER_EVENTS                Command = 0x15 // from 4:5 on
)

// messages tells of each command its name, the length of its body and where in
// the body the handle of a card is, -1 for none.
var messages = [...]struct {
	name   string
	size   int
	handle int
}{
	Accepted:                             {"Accepted", 0, -1},
	SCARD_ESTABLISH_CONTEXT:              {"SCARD_ESTABLISH_CONTEXT", 12, -1},
	SCARD_RELEASE_CONTEXT:                {"SCARD_RELEASE_CONTEXT", 8, -1},
	SCARD_CONNECT:                        {"SCARD_CONNECT", 24 + maxReaderName, -1},
	SCARD_RECONNECT:                      {"SCARD_RECONNECT", 24, 0},
	SCARD_DISCONNECT:                     {"SCARD_DISCONNECT", 12, 0},
	SCARD_BEGIN_TRANSACTION:              {"SCARD_BEGIN_TRANSACTION", 8, 0},
	SCARD_END_TRANSACTION:                {"SCARD_END_TRANSACTION", 12, 0},
	SCARD_TRANSMIT:                       {"SCARD_TRANSMIT", 32, 0},
	SCARD_CONTROL:                        {"SCARD_CONTROL", 24, 0},
	SCARD_STATUS:                         {"SCARD_STATUS", 8, 0},
	SCARD_CANCEL:                         {"SCARD_CANCEL", 8, -1},
	SCARD_GET_ATTRIB:                     {"SCARD_GET_ATTRIB", 16 + maxAttribute, 0},
	SCARD_SET_ATTRIB:                     {"SCARD_SET_ATTRIB", 16 + maxAttribute, 0},
	CMD_VERSION:                          {"CMD_VERSION", 12, -1},
	CMD_GET_READERS_STATE:                {"CMD_GET_READERS_STATE", 0, -1},
	CMD_WAIT_READER_STATE_CHANGE:         {"CMD_WAIT_READER_STATE_CHANGE", 0, -1},
	CMD_STOP_WAITING_READER_STATE_CHANGE: {"CMD_STOP_WAITING_READER_STATE_CHANGE", 0, -1},
	CMD_GET_READER_EVENTS:                {"CMD_GET_READER_EVENTS", 0, -1},
}

// String returns the name of c, or its number.
func (c Command) String() string {
	if int(c) < len(messages) && messages[c].name != "" {
		return messages[c].name
	}
	return fmt.Sprintf("Command(0x%02X)", uint32(c))
}

// Sizes in bytes, and numbers.
const (
	maxReaders    = 16
	maxReaderName = 128 // with its terminating zero
	maxATR        = 33
	maxAPDU       = 65548
	maxAttribute  = 264
	readerSize    = 184 // of one reader state
)

// Bits of the state of a reader.
const (
	stateUnknown    = 0x01
	stateAbsent     = 0x02
	statePresent    = 0x04
	stateSwallowed  = 0x08 // mute
	statePowered    = 0x10
	stateNegotiable = 0x20
)

const (
	shareExclusive = 1
	shareShared    = 2
	shareDirect    = 3

	protocolT0     = 0x0001
	protocolT1     = 0x0002
	protocolRaw    = 0x0004
	protocolAnyOld = 0x1000

	leaveCard   = 0
	resetCard   = 1
	unpowerCard = 2
	ejectCard   = 3
)

// Return values.
const (
	success            uint32 = 0
	cancelled          uint32 = 0x80100002
	invalidHandle      uint32 = 0x80100003
	insufficientBuffer uint32 = 0x80100008
	unknownReader      uint32 = 0x80100009
	sharingViolation   uint32 = 0x8010000B
	noSmartcard        uint32 = 0x8010000C
	protoMismatch      uint32 = 0x8010000F
	invalidValue       uint32 = 0x80100011
	notTransacted      uint32 = 0x80100016
	readerUnavailable  uint32 = 0x80100017
	serviceStopped     uint32 = 0x8010001E
	unsupportedFeature uint32 = 0x8010001F
	unresponsiveCard   uint32 = 0x80100066
	unpoweredCard      uint32 = 0x80100067
	resetCardWarning   uint32 = 0x80100068
	removedCard        uint32 = 0x80100069
)

// le is the byte order of the protocol: that of the machine.
var le = binary.NativeEndian
