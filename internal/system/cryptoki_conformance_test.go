//go:build cgo

package system_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cardoki/cardoki/cryptoki"
)

// tokenMode, in the environment, makes TestCryptoki the child that tries one module, by its key;
// tokenSkip lists rows that are not to be tried, and tokenReport names the file for what came
// of the others. Each module has a process of its own: NSS must be there from its
// begin, and some calls end it.
const (
	tokenMode   = "CARDOKI_TEST_TOKEN"
	tokenSkip   = "CARDOKI_TEST_TOKEN_SKIP"
	tokenReport = "CARDOKI_TEST_TOKEN_REPORT"
)

// A tokenModule is a column of docs/pkcs11.md.
type tokenModule struct {
	key   string // of the column
	title string
	// library finds the module, or skips the test where it is missing.
	library func(t *testing.T) string
	// beside: its own libraries are beside it, which the loader must know from the begin of the process.
	beside bool
	// start makes a token, in the child.
	start func(t *testing.T, library string) *tokenSetup
}

// A tokenSetup is a token that is ready for the rows.
type tokenSetup struct {
	library    string
	options    cryptoki.Options
	find       func(m *cryptoki.Module) (*cryptoki.Slot, error)
	pin, soPIN []byte
	readOnly   bool              // its sessions are
	keys       []tokenKey        // that are on it already
	always     cryptoki.KeyQuery // one that wants the PIN for each use
	stop       func()            // takes away what is behind the module, if that is not in this process
	sections   []string          // that are tried; nil for all
	overruns   string            // if not empty: it writes values into buffers that are too short for them
}

// What the child writes, one line each.
type tokenLine struct {
	Module, Version string   // first
	Begin           string   `json:",omitempty"` // a row is tried
	Row             string   `json:",omitempty"` // a row was tried
	Cell            string   `json:",omitempty"`
	Differences     []string `json:",omitempty"` // of Wycheproof's vectors
}

// A tokenColumn is what the children have found out about a module.
type tokenColumn struct {
	name, version string
	cells         map[string]string
	differences   map[string][]string
}

// TestCryptoki tries every row on every module, each result against Go's standard library, and
// compares what came of it with docs/pkcs11.md.
func TestCryptoki(t *testing.T) {
	if key := os.Getenv(tokenMode); key != "" {
		tryToken(t, key)
		return
	}
	columns := make([]*tokenColumn, len(tokenModules))
	t.Run("modules", func(t *testing.T) {
		for i, m := range tokenModules {
			t.Run(m.key, func(t *testing.T) {
				t.Parallel()
				columns[i] = tryModule(t, &m)
			})
		}
	})
	if t.Failed() {
		return
	}
	checkExceptions(t, columns)
	compareMatrix(t, columns)
}

// tryModule runs the rows in child processes: a new one goes on where one has died.
func tryModule(t *testing.T, m *tokenModule) *tokenColumn {
	library := m.library(t)
	column := &tokenColumn{cells: map[string]string{}, differences: map[string][]string{}}
	for deaths := 0; ; deaths++ {
		died, row := tryRows(t, m, library, column)
		if died == "" {
			break
		}
		if row == "" || deaths == 30 {
			t.Fatal(died)
		}
		column.cells[row] = "**ends the process**"
		t.Logf("%s: %s: %s", m.key, row, died[:min(len(died), 300)])
	}
	for _, r := range tokenRows() {
		if column.cells[r.id()] == "" {
			t.Errorf("%s: nothing came of row %q", m.key, r.id())
		}
	}
	return column
}

// tryRows runs one child. If it died, it returns how, and in which row.
func tryRows(t *testing.T, m *tokenModule, library string, column *tokenColumn) (died, row string) {
	t.Helper()
	report := filepath.Join(t.TempDir(), "report")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run", "^TestCryptoki$", "-test.v")
	done := slices.Collect(func(yield func(string) bool) {
		for name := range column.cells {
			if !yield(name) {
				return
			}
		}
	})
	skip, err := json.Marshal(done)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), tokenMode+"="+m.key, tokenReport+"="+report, tokenSkip+"="+string(skip), "GOTRACEBACK=single")
	if m.beside {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+filepath.Dir(library))
	}
	cmd.WaitDelay = 5 * time.Second
	out, failed := cmd.CombinedOutput()
	f, err := os.Open(report)
	if err != nil {
		t.Fatalf("%v\n%s", failed, out)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var l tokenLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			break // the child died in the middle of it
		}
		switch {
		case l.Module != "":
			column.name, column.version = l.Module, l.Version
		case l.Begin != "":
			row = l.Begin
		default:
			row = ""
			column.cells[l.Row] = l.Cell
			if len(l.Differences) > 0 {
				column.differences[l.Row] = l.Differences
			}
		}
	}
	if failed == nil && bytes.Contains(out, []byte("--- PASS: TestCryptoki")) {
		return "", ""
	}
	if exit, ok := errors.AsType[*exec.ExitError](failed); ok && ctx.Err() == nil && row != "" && (exit.Sys().(syscall.WaitStatus).Signaled() || bytes.Contains(out, []byte("SIG"))) {
		return fmt.Sprintf("%v\n%s", failed, out), row
	}
	t.Fatalf("%v, in row %q\n%s", failed, row, out)
	return "", ""
}

// A tokenRow is an ability: try returns nil if the token has it. What try gives to
// tokenTrial.note is added to "works".
type tokenRow struct {
	section, name string
	mechanism     cryptoki.MechanismType // that is to be in the token's list; unlisted for none
	try           func(x *tokenTrial) error
}

const unlisted = ^cryptoki.MechanismType(0)

func (r *tokenRow) id() string { return r.section + ": " + r.name }

// A tokenTrial is one row on one token.
type tokenTrial struct {
	t           *testing.T
	ctx         context.Context
	setup       *tokenSetup
	m           *cryptoki.Module
	slot        *cryptoki.Slot
	s           *cryptoki.Session // logged in, of this trial alone
	made        []cryptoki.Object // to be destroyed: OpenSC keeps them longer than the session
	note        string
	differences []string
}

// wrongResult is an error that the module did not return: its result is not the right one.
type wrongResult string

func (e wrongResult) Error() string { return "**" + string(e) + "**" }

func wrong(format string, args ...any) error { return wrongResult(fmt.Sprintf(format, args...)) }

// tryToken is the child.
func tryToken(t *testing.T, key string) {
	runtime.LockOSThread() // NSS takes the reason of some failures from what happened before in the thread
	i := slices.IndexFunc(tokenModules, func(m tokenModule) bool { return m.key == key })
	if i < 0 {
		t.Fatalf("there is no module %q", key)
	}
	var done []string
	if err := json.Unmarshal([]byte(os.Getenv(tokenSkip)), &done); err != nil {
		t.Fatal(err)
	}
	report, err := os.Create(os.Getenv(tokenReport))
	if err != nil {
		t.Fatal(err)
	}
	defer report.Close()
	write := func(l tokenLine) {
		if err := json.NewEncoder(report).Encode(l); err != nil {
			t.Fatal(err)
		}
	}
	module := tokenModules[i]
	setup := module.start(t, module.library(t))
	m, err := cryptoki.Open(setup.library, &setup.options)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	slot, err := setup.find(m)
	if err != nil {
		t.Fatal(err)
	}
	listed, err := slot.Mechanisms()
	if err != nil {
		t.Fatal(err)
	}
	info, err := m.Info()
	if err != nil {
		t.Fatal(err)
	}
	write(tokenLine{Module: info.Description, Version: info.Library.String()})
	ctx := context.Background()
	anchor, err := slot.OpenSession(ctx, !setup.readOnly) // keeps the login
	if err != nil {
		t.Fatal(err)
	}
	defer anchor.Close()
	for _, r := range tokenRows() {
		if slices.Contains(done, r.id()) {
			continue
		}
		if r.name == tokenReset {
			anchor.Close()
		}
		if setup.sections != nil && !slices.Contains(setup.sections, r.section) {
			write(tokenLine{Row: r.id(), Cell: "–"})
			continue
		}
		write(tokenLine{Begin: r.id()})
		x := &tokenTrial{t: t, ctx: ctx, setup: setup, m: m, slot: slot}
		err := x.run(r)
		write(tokenLine{Row: r.id(), Cell: x.cell(err, r.mechanism, slices.Contains(listed, r.mechanism)), Differences: x.differences})
	}
}

// run tries a row in a session of its own.
func (x *tokenTrial) run(r tokenRow) error {
	if r.name == tokenReset {
		return r.try(x)
	}
	var err error
	if x.s, err = x.slot.OpenSession(x.ctx, !x.setup.readOnly); err != nil {
		return err
	}
	defer func() {
		for _, o := range x.made {
			_ = x.s.DestroyObject(x.ctx, o) // if it is still there
		}
		x.s.Close()
	}()
	if err := x.login(); err != nil {
		x.t.Fatalf("row %q: %v", r.id(), err)
	}
	return r.try(x)
}

// login logs the user in, if that is to be.
func (x *tokenTrial) login() error {
	info, err := x.slot.Token()
	if err != nil || !info.LoginRequired() {
		return err
	}
	return x.s.Login(x.ctx, cryptoki.CKU_USER, cryptoki.FixedPIN(x.setup.pin))
}

// cell is what a row says of the module.
func (x *tokenTrial) cell(err error, mechanism cryptoki.MechanismType, listed bool) string {
	var text string
	e, returned := errors.AsType[*cryptoki.Error](err)
	rv, refused := errors.AsType[cryptoki.RV](err)
	switch {
	case err == nil:
		text = "works"
		if x.note != "" {
			text += ", " + x.note
		}
	case returned:
		text = fmt.Sprintf("%s (%s)", e.RV.String(), strings.TrimPrefix(e.Function, "C_"))
	case refused:
		text = rv.String() + " (of package cryptoki)"
	default:
		text = err.Error()
	}
	if mechanism != unlisted {
		switch {
		case err == nil && !listed:
			text += ", unlisted"
		case err != nil && listed:
			text += ", listed"
		}
	}
	return strings.ReplaceAll(text, "|", "\\|")
}

var tokenRows = sync.OnceValue(func() []tokenRow {
	return slices.Concat(moduleRows(), objectRows(), keyRows(), signRows(), useRows(), encryptRows(), digestRows(), deriveRows(), wrapRows(), randomRows(), failureRows(), oddRows(), wycheproofRows(), lastRows())
})

// tokenReset is the row that needs a token without sessions, and leaves another token.
const tokenReset = "C_InitToken"
