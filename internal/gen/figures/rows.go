package main

import (
	"bytes"
	"fmt"
	"strings"
)

// A subject is a benchmark that the page tells of.
type subject struct {
	group, work string
	benchmark   string
	floor       string   // the contestant that is the floor
	ours        string   // that of cardoki which does what the peers do
	but         []string // other ways of cardoki, and what is no peer
}

var ownWays = []string{"ck", "session", "append", "pool", "once", "hasty", "copy", "piv"}

var subjects = []subject{
	{"Commands and data objects", "encode a command of 16 bytes", "Encode/16B", "floor", "cardoki", nil},
	{"Commands and data objects", "encode a command of 64 KiB", "Encode/64KiB", "floor", "cardoki", nil},
	{"Commands and data objects", "decode a command", "DecodeCommand", "floor", "cardoki", nil},
	{"Commands and data objects", "decode a response", "DecodeResponse", "floor", "cardoki", nil},
	{"Commands and data objects", "find a data object in an FCI of 49 bytes", "TLVFind", "floor", "cardoki", nil},
	{"Commands and data objects", "walk 64 KiB of data objects", "TLVWalk", "floor", "cardoki", nil},
	{"A card through pcscd", "a command, and a response of 258 bytes", "RoundTrip/pcscd/response=258", "floor", "cardoki", nil},
	{"PKCS#11", "sign, by a module that does nothing", "Null/sign", "C", "session", ownWays},
	{"PKCS#11", "the same, as crypto.Signer with DER", "Signer", "C", "cardoki", ownWays},
	{"PKCS#11", "five attributes, SoftHSM2", "SoftHSM/attributes=5", "C", "cardoki", ownWays},
	{"PKCS#11", "find 1,000 objects with id, label and class, SoftHSM2", "SoftHSM/objects=1000", "C", "cardoki", ownWays},
	{"PKCS#11", "encrypt 1 MiB in 64 KiB updates, SoftHSM2", "SoftHSM/encrypt=1MiB", "C", "cardoki", ownWays},
	{"PKCS#11", "sign with P-256, SoftHSM2", "SoftHSM/sign=P-256", "C", "cardoki", ownWays},
	{"PKCS#11", "sign with RSA 2048, SoftHSM2", "SoftHSM/sign=RSA-2048", "C", "cardoki", ownWays},
	{"PKCS#11", "find 1,000 objects with id, label and class, NSS", "NSS/Firefox/objects=1000", "C", "cardoki", ownWays},
	{"PKCS#11", "seal 1 KiB with AES-GCM, NSS", "NSS/Firefox/message=AES-GCM,1KiB", "C", "cardoki", ownWays},
}

// A row is a subject with what was measured.
type row struct {
	subject
	costs map[string]*cost
	peers []string // the fastest first
}

func choose(r *results) ([]row, error) {
	var rows []row
	for _, s := range subjects {
		costs := r.costs[s.benchmark]
		if costs[s.ours] == nil || costs[s.floor] == nil {
			return nil, fmt.Errorf("no benchmark %s of %s and %s was run", s.benchmark, s.ours, s.floor)
		}
		but := append([]string{s.floor, s.ours, "cardoki"}, s.but...)
		rows = append(rows, row{s, costs, byCost(costs, but...)})
	}
	return rows, nil
}

// page is docs/figures.md.
func page(machine string, rows []row) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `# Figures

<!-- Made by make figures; its figures vary from run to run and machine to machine. -->

What each work costs in cardoki, beside its floor and beside other libraries that do the same, in one run on %s.
Contestants take turns where the work touches a device or a module, and each figure is the median. The floor is the least that the work can cost: bytes appended to a
buffer, a bare exchange over pcscd's socket, or a program in C that makes the same calls. "make bench" has more.

![Times that others need what cardoki needs](figures.svg)
`, machine)
	group := ""
	for _, r := range rows {
		if r.group != group {
			group = r.group
			fmt.Fprintf(&b, "\n## %s\n\n| work | floor | cardoki | beside the floor | others, beside cardoki |\n|---|---:|---:|---:|---|\n", group)
		}
		ours := r.costs[r.ours]
		floor := r.costs[r.floor].median()
		var others []string
		for _, name := range r.peers {
			others = append(others, fmt.Sprintf("%s %s%s", title(name), times(r.costs[name].median()/ours.median()), inParentheses(r.costs[name].allocs)))
		}
		fmt.Fprintf(&b, "| %s | %s | %s%s | %s | %s |\n", r.work, duration(floor), duration(ours.median()), inParentheses(ours.allocs),
			times(ours.median()/floor), strings.Join(others, ", "))
	}
	b.WriteString(`
In parentheses: allocations for an operation. cardoki verifies each RSA signature that a token makes, as one with a fault in it gives the key away; the others, and C, do not.
`)
	return b.Bytes()
}

// inParentheses tells of allocations, if somebody counted.
func inParentheses(allocs float64) string {
	if allocs < 0 {
		return ""
	}
	return fmt.Sprintf(" (%.0f)", allocs)
}

// title is the name of a contestant as its authors write it.
func title(name string) string {
	if t, ok := map[string]string{
		"skythen": "skythen/apdu", "skythen-bertlv": "skythen/bertlv", "moov": "moov-io/bertlv", "google": "google/go-pkcs11",
		"miekg": "miekg/pkcs11", "p11": "miekg/pkcs11/p11", "scard": "ebfe/scard",
	}[name]; ok {
		return t
	}
	return name
}

func times(ratio float64) string {
	if ratio < 10 {
		return fmt.Sprintf("%.2f×", ratio)
	}
	return fmt.Sprintf("%.0f×", ratio)
}

func duration(ns float64) string {
	switch {
	case ns < 10:
		return fmt.Sprintf("%.1f ns", ns)
	case ns < 1e3:
		return fmt.Sprintf("%.0f ns", ns)
	case ns < 1e4:
		return fmt.Sprintf("%.1f µs", ns/1e3)
	case ns < 1e6:
		return fmt.Sprintf("%.0f µs", ns/1e3)
	}
	return fmt.Sprintf("%.1f ms", ns/1e6)
}
