package main

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/cardoki/cardoki/pcsc"
)

// loopback reports whether an address is one of this machine alone.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip, ipErr := netip.ParseAddr(host)
	return err == nil && (host == "localhost" || ipErr == nil && ip.IsLoopback())
}

// choose returns the name of the reader with that name, or of the only one whose name
// contains it.
func choose(readers []pcsc.Reader, want string) (string, error) {
	var names, fits []string
	for _, r := range readers {
		if r.Name == want {
			return want, nil
		}
		names = append(names, r.Name)
		if strings.Contains(strings.ToLower(r.Name), strings.ToLower(want)) {
			fits = append(fits, r.Name)
		}
	}
	if len(fits) != 1 {
		return "", fmt.Errorf("-reader %q fits %d readers; name one of %q", want, len(fits), names)
	}
	return fits[0], nil
}
