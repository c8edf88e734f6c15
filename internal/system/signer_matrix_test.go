//go:build cgo

package system_test

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cardoki/cardoki/internal/system"
	"github.com/cardoki/cardoki/signer"
)

const signerText = `# Keys: what each can do

<!-- Made by go test ./internal/system -run TestSignerMatrix -update; the test compares it otherwise. -->

What package signer makes of keys on cards and tokens. Each row was tried with a key in each place, through the interfaces of the standard library. "works" says that the result was
checked: signatures with Go's standard library, which must refuse them for another message, and for each algorithm with another key; plaintexts and secrets against what was encrypted or agreed on by it; and the
rows with ✓ with openssl too, which verifies the signature, encrypts, or agrees on the secret. A cell that is refused says why; what the reason is to a program stands
at the end. Nothing was signed, decrypted or agreed on in such a cell.

The same keys are in each place, but for ML-KEM keys, which tokens generate. PSS has no hash function for mask generation of its own in package crypto: it is that of the
digest. ML-KEM-512 and ML-DSA are not in the table, as Go 1.26 has no types for them.

`

// A signerPlace is a column of docs/signer.md.
type signerPlace struct {
	key, title string
	env        func(t *testing.T) []string // of the process; skips the test where something is missing
	open       func(t *testing.T) *signerKeys
}

// signerKeys are where the keys of a column are.
type signerKeys struct {
	version string // of the module, empty for what is ours
	get     func(ctx context.Context, name string) (key signerDevice, err error)
}

// A signerDevice is a key as package signer knows it, one for signatures or for ML-KEM.
type signerDevice interface{ Public() crypto.PublicKey }

// A signerRow is one thing done with a key.
type signerRow struct {
	section, name string
	key           string // its name
	openssl       bool   // openssl is asked too
	try           func(x *signerTrial) error
}

func (r *signerRow) id() string { return r.section + ": " + r.label() }

// label is the row's first cell.
func (r *signerRow) label() string {
	s := r.key + ": " + r.name
	if r.openssl {
		s += " ✓"
	}
	return s
}

// A signerTrial is one row in one place.
type signerTrial struct {
	*signerKeys
	t   *testing.T
	ctx context.Context
	row *signerRow
	dir string // for openssl's files

	doubted map[string]bool // algorithms for which it was seen that wrong signatures do not verify
}

// What the process of a column reports.
type signerColumn struct {
	Version string
	Cells   map[string]string
	Stale   []string // cells that work, where signerRefusals has a reason why not
	Used    []int    // the reasons in signerRefusals that were given
}

var signerRows = sync.OnceValue(func() []signerRow {
	return slices.Concat(pkcs1v15Rows(), pssRows(), decryptRows(), ecdsaRows(), ed25519Rows(), agreeRows(), kemRows(), callerRows(), checkRows(), optionRows(), policyRows(), requestRows())
})

// TestSignerMatrix does with a key in each place all that package signer can do, and compares
// what came of it with docs/signer.md.
func TestSignerMatrix(t *testing.T) {
	if role := os.Getenv(roleVariable); role != "" {
		i := slices.IndexFunc(signerPlaces, func(p signerPlace) bool { return p.key == role })
		column := trySigner(t, signerPlaces[i].open(t))
		if err := reporter().Encode(column); err != nil {
			t.Fatal(err)
		}
		return
	}
	system.Need(t, "openssl", "openssl")
	columns := make([]*signerColumn, len(signerPlaces))
	t.Run("places", func(t *testing.T) {
		for i, place := range signerPlaces {
			t.Run(place.key, func(t *testing.T) {
				t.Parallel() // in a process of its own: modules have their settings in the environment
				p := startProcess(t, "TestSignerMatrix", place.key, place.env(t)...)
				column := &signerColumn{}
				reported := p.report.Decode(column)
				if err := p.wait(); err != nil || reported != nil {
					t.Fatalf("%v, %v", reported, err)
				}
				columns[i] = column
			})
		}
	})
	if t.Failed() {
		return
	}
	compareSignerMatrix(t, columns)
}

// trySigner is the process of a column.
func trySigner(t *testing.T, keys *signerKeys) *signerColumn {
	column := &signerColumn{Version: keys.version, Cells: map[string]string{}}
	dir, doubted := t.TempDir(), map[string]bool{}
	place := os.Getenv(roleVariable)
	for _, r := range signerRows() {
		x := &signerTrial{signerKeys: keys, t: t, ctx: t.Context(), row: &r, dir: dir, doubted: doubted}
		err := r.try(x)
		if wrong, ok := errors.AsType[wrongResult](err); ok {
			t.Errorf("%s: %v", r.id(), wrong)
		}
		if _, there := column.Cells[r.id()]; there {
			t.Fatalf("two rows %q", r.id())
		}
		cell := "works"
		for i, refusal := range signerRefusals {
			if !refusal.concerns(place, &r) {
				continue
			}
			switch {
			case err == nil:
				column.Stale = append(column.Stale, r.id()+": "+refusal.words)
			case cell == "works" && refusal.explains(err):
				cell = "refused: " + refusal.words
				column.Used = append(column.Used, i)
			}
		}
		if err != nil && cell == "works" {
			cell = "**" + strings.ReplaceAll(err.Error(), "|", "\\|") + "**"
		}
		column.Cells[r.id()] = cell
	}
	return column
}

// signerMatrix returns docs/signer.md, without the columns that are nil.
func signerMatrix(columns []*signerColumn) []byte {
	var b bytes.Buffer
	b.WriteString(signerText)
	b.WriteString("| column | what is behind it | version |\n|---|---|---|\n")
	heading, rule := "| |", "|---|"
	used := map[int]bool{}
	for i, c := range columns {
		if c == nil {
			continue
		}
		version := c.Version
		if version == "" {
			version = "cardoki's own"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", signerPlaces[i].title, signerBehind[signerPlaces[i].key], version)
		heading += " " + signerPlaces[i].title + " |"
		rule += "---|"
		for _, n := range c.Used {
			used[n] = true
		}
	}
	section := ""
	for _, r := range signerRows() {
		if r.section != section {
			section = r.section
			fmt.Fprintf(&b, "\n## %s\n\n%s\n%s\n", section, heading, rule)
		}
		fmt.Fprintf(&b, "| %s |", r.label())
		for _, c := range columns {
			if c != nil {
				fmt.Fprintf(&b, " %s |", c.Cells[r.id()])
			}
		}
		b.WriteString("\n")
	}
	b.WriteString("\n## Reasons\n\n| refused | the error Is, to a program | why |\n|---|---|---|\n")
	for i, refusal := range signerRefusals {
		if i > 0 && refusal.words == signerRefusals[i-1].words {
			continue
		}
		var classes []string
		for n, other := range signerRefusals {
			if class := other.class(); used[n] && other.words == refusal.words && !slices.Contains(classes, class) {
				classes = append(classes, class)
			}
		}
		if classes != nil {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", refusal.words, strings.Join(classes, ", or "), refusal.why)
		}
	}
	return b.Bytes()
}

// compareSignerMatrix writes docs/signer.md, or compares what is there with what came now. A
// module of another version than the one described may do more than that one, but not less.
func compareSignerMatrix(t *testing.T, columns []*signerColumn) {
	name := filepath.Join(root, "docs", "signer.md")
	whole := !slices.Contains(columns, nil)
	if *update {
		if !whole {
			t.Fatal("a module is missing: docs/signer.md is about all of them")
		}
		if err := os.WriteFile(name, signerMatrix(columns), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text := mustRead(t, name)
	there := parseMatrix(text)
	asDescribed, used := true, map[int]bool{}
	for i, c := range columns {
		if c == nil {
			continue
		}
		title := signerPlaces[i].title
		same := c.Version == "" || there.versions[title] == c.Version
		report := t.Errorf
		if !same {
			t.Logf("%s: docs/signer.md is about version %s, this is %s", title, there.versions[title], c.Version)
			report, asDescribed = t.Logf, false
		}
		for _, n := range c.Used {
			used[n] = true
		}
		for _, s := range c.Stale {
			report("%s: it works, and signerRefusals has a reason why not: %s", title, s)
		}
		for _, r := range signerRows() {
			was, is := there.cells[title][r.id()], c.Cells[r.id()]
			switch {
			case was == "works" && is != was:
				t.Errorf("%s: %s: got %q, docs/signer.md has %q", title, r.id(), is, was)
			case was != is:
				report("%s: %s: got %q, docs/signer.md has %q", title, r.id(), is, was)
			case strings.HasPrefix(is, "**"):
				report("%s: %s: refused, and signerRefusals has no reason why: %s", title, r.id(), is)
			}
		}
	}
	if !whole || !asDescribed {
		return
	}
	for n, refusal := range signerRefusals {
		if !used[n] {
			t.Errorf("signerRefusals has a reason that nobody gave: %s, %v, for %v", refusal.words, refusal.places, refusal.rows)
		}
	}
	if text != string(signerMatrix(columns)) {
		t.Error("docs/signer.md is out of date: go test ./internal/system -run TestSignerMatrix -update makes it anew")
	}
}

// signerKey returns the key of the row as one that can sign.
func (x *signerTrial) signerKey() (signer.Key, error) {
	k, err := x.get(x.ctx, x.row.key)
	if err != nil {
		return nil, err
	}
	key, ok := k.(signer.Key)
	if !ok {
		return nil, wrong("a key of type %T", k)
	}
	return key, nil
}
