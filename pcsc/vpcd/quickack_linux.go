package vpcd

import (
	"net"
	"syscall"
)

// quickACK returns a function that sets TCP_QUICKACK on conn. The kernel takes it
// back by itself, so it is called before each read.
func quickACK(conn net.Conn) func() {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return func() {}
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return func() {}
	}
	set := func(fd uintptr) {
		// Without it the card is slow, no more: an error changes nothing.
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
	}
	return func() { _ = raw.Control(set) }
}
