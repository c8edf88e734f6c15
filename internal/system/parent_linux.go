package system

import "syscall"

// dieWithParent makes a child end when this process does, even when a test's time
// is up and no cleanup runs.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
