package pcsctest

// A Call is a request of a client that has come and was not carried out yet.
type Call struct {
	Command Command
	N       int    // how many calls of this command there were since Start, this one included
	Client  int    // number of the client, in the order in which they connected, from 1
	Reader  string // whose card the call is about; empty when it is about none
	Code    uint32 // the control code of SCARD_CONTROL, the attribute of SCARD_GET_ATTRIB and SCARD_SET_ATTRIB

	// Data is the command APDU of SCARD_TRANSMIT or what is sent with SCARD_CONTROL.
	// It must not be modified or retained.
	Data []byte
}

// A Fault is what becomes of a call instead of its right answer. Fields that do not
// exclude each other can be combined; the zero Fault changes nothing.
type Fault struct {
	// After carries the call out first, so that only the answer is lost; else
	// nothing is done.
	After bool

	// Code is the return value of the answer, such as 0x8010002F. At
	// CMD_WAIT_READER_STATE_CHANGE it is that of the event, which then comes at once.
	// CMD_GET_READERS_STATE has no return value to change.
	Code uint32

	// Rewrite returns what is sent in place of the answer: cut short, longer, with
	// other lengths. With a call that was not carried out, the answer is the request
	// as it came. It may modify and return its argument.
	Rewrite func(answer []byte) []byte

	// Hang gives no answer, and no further one on this connection, until the client
	// closes it.
	Hang bool

	// Drop closes the connection, after what Rewrite returned was sent, or without
	// any answer.
	Drop bool

	// Kill ends the daemon instead of answering, as [Daemon.Kill] does.
	Kill bool
}

// changes reports whether f does anything to a call.
func (f *Fault) changes() bool {
	return f.After || f.Code != 0 || f.Rewrite != nil || f.Hang || f.Drop || f.Kill
}

// SetFault makes the daemon ask f what becomes of each call; a nil *Fault lets it
// pass. It is called by several goroutines at once, and must not call Kill, Restart
// or Close of the daemon. SetFault(nil) ends all faults, except for calls that hang.
func (d *Daemon) SetFault(f func(Call) *Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = f
}
