package pcsc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"

	"github.com/cardoki/cardoki/apdu"
)

// The actions that pcscd asks polkit about.
const (
	ActionAccessPCSC = "org.debian.pcsc-lite.access_pcsc" // to connect to pcscd at all
	ActionAccessCard = "org.debian.pcsc-lite.access_card" // to connect to a card
)

// An AccessError reports that this process may not use the PC/SC service, or a card:
// pcscd's policy refuses the user, the socket may not be opened, or a container has no
// socket. It is found in an [Error] by errors.As.
type AccessError struct {
	User   string // user of this process, by name or as "uid 1000"
	Action string // polkit action that was refused, such as ActionAccessPCSC; empty where the socket is out of reach
	Path   string // socket of pcscd; may be empty where the library of the system finds it
	Reader string // the reader, where it is about a card
	Remedy string // what to do, in words
	Err    error  // what was seen; may be nil
}

// Error returns who may not do what.
func (e *AccessError) Error() string {
	switch {
	case e.Action != "":
		s := "pcscd does not admit user " + e.User + " to polkit action " + e.Action
		if e.Reader != "" {
			s += fmt.Sprintf(" for %q", e.Reader)
		}
		return s
	case errors.Is(e.Err, fs.ErrPermission):
		return fmt.Sprintf("user %s may not open %s: %v", e.User, e.Path, e.Err)
	}
	return fmt.Sprintf("user %s is in a container without pcscd's socket: %v", e.User, e.Err)
}

// Unwrap returns Err.
func (e *AccessError) Unwrap() error { return e.Err }

// refusedByPolicy is the error of a session that polkit keeps out.
func refusedByPolicy(action, path, reader string, err error) error {
	e := &AccessError{User: userName(), Action: action, Path: path, Reader: reader, Err: err}
	e.Remedy = fmt.Sprintf("let user %s do %s and %s by a rule in /etc/polkit-1/rules.d, for instance for a group of users", e.User, ActionAccessPCSC, ActionAccessCard)
	if inContainer() {
		e.Remedy += " (pcscd sees the user of the container without a session)"
	} else {
		e.Remedy += ", or work from a local session"
	}
	return &serviceError{SCARD_W_SECURITY_VIOLATION, path, e}
}

// socketUnreachable is the error of a session whose socket at path gave err.
func socketUnreachable(path string, err error) error {
	e := &AccessError{User: userName(), Path: path, Err: err}
	switch {
	case errors.Is(err, fs.ErrPermission):
		e.Remedy = "ask for write permission on " + path + ", mostly by membership in its group"
		return &serviceError{SCARD_W_SECURITY_VIOLATION, path, e}
	case errors.Is(err, fs.ErrNotExist) && inContainer():
		e.Remedy = "is pcscd installed and running? In a container, run it on the host and mount the folder of its socket (docker run -v /run/pcscd:/run/pcscd), or set PCSCLITE_CSOCK_NAME to where it is"
		return &serviceError{SCARD_E_NO_SERVICE, path, e}
	}
	return &serviceError{SCARD_E_NO_SERVICE, path, err}
}

// inContainer reports whether this process seems to run in a container.
func inContainer() bool {
	if os.Getenv("container") != "" { // podman, systemd-nspawn, lxc
		return true
	}
	for _, name := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Stat(name); err == nil {
			return true
		}
	}
	return false
}

// userName names the user of this process.
func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}

// connectAnew opens a session and connects to the card in a reader. pcscd closes the
// connection when its policy keeps the user from the card, as it does when it is stopped;
// a second attempt tells one from the other.
func connectAnew(ctx context.Context, service *Options, reader string, opts *ConnectOptions) (s session, active apdu.Protocol, err error) {
	for range 2 {
		s, err = openSession(ctx, service)
		if err != nil {
			return nil, 0, err
		}
		active, err = s.connect(ctx, reader, opts.share(), opts.protocols())
		switch {
		case err == nil:
			return s, active, nil
		case errors.Is(err, SCARD_W_SECURITY_VIOLATION):
			s.close()
			return nil, 0, refusedByPolicy(ActionAccessCard, service.Socket, reader, err)
		case !serviceGone(err) || ctx.Err() != nil:
			return s, 0, err // the session tells about the readers
		}
		s.close()
	}
	if again, openErr := openSession(ctx, service); openErr == nil {
		again.close()
		return nil, 0, refusedByPolicy(ActionAccessCard, service.Socket, reader, err)
	}
	return nil, 0, err
}
