package system_test

import (
	"bytes"
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/card"
	"github.com/cardoki/cardoki/iso7816/piv"
)

// hostMethods are the methods of iso7816.Channel that send an instruction, each
// called in every way that leads to another one.
var hostMethods = []struct {
	name  string
	calls []func(ctx context.Context, ch *iso7816.Channel)
}{
	{"Select", sends(func(ctx context.Context, ch *iso7816.Channel) { ch.Select(ctx, iso7816.Selection{}) })},
	{"SelectApplication", sends(func(ctx context.Context, ch *iso7816.Channel) { ch.SelectApplication(ctx, piv.AID) })},
	{"ReadATRInfo", sends(func(ctx context.Context, ch *iso7816.Channel) { ch.ReadATRInfo(ctx) })},
	{"OpenChannel", sends(func(ctx context.Context, ch *iso7816.Channel) { ch.OpenChannel(ctx) })},
	{"ReadBinary", sends(
		func(ctx context.Context, ch *iso7816.Channel) { ch.ReadBinary(ctx, 0, 1) },
		func(ctx context.Context, ch *iso7816.Channel) { ch.ReadBinary(ctx, 0x8000, 1) })},
	{"ReadFile", sends(func(ctx context.Context, ch *iso7816.Channel) { ch.ReadFile(ctx, 1, nil) })},
	{"WriteBinary", sends(
		func(ctx context.Context, ch *iso7816.Channel) { ch.WriteBinary(ctx, 0, []byte{1}) },
		func(ctx context.Context, ch *iso7816.Channel) { ch.WriteBinary(ctx, 0x8000, []byte{1}) })},
	{"UpdateBinary", sends(
		func(ctx context.Context, ch *iso7816.Channel) { ch.UpdateBinary(ctx, 0, []byte{1}) },
		func(ctx context.Context, ch *iso7816.Channel) { ch.UpdateBinary(ctx, 0x8000, []byte{1}) })},
	{"EraseBinary", sends(
		func(ctx context.Context, ch *iso7816.Channel) { ch.EraseBinary(ctx, 0, -1) },
		func(ctx context.Context, ch *iso7816.Channel) { ch.EraseBinary(ctx, 0x8000, -1) })},
	{"ReadRecord", sends(func(ctx context.Context, ch *iso7816.Channel) { ch.ReadRecord(ctx, iso7816.Record{Number: 1}) })},
	{"WriteRecord", sends(func(ctx context.Context, ch *iso7816.Channel) {
		ch.WriteRecord(ctx, iso7816.Record{Number: 1}, []byte{1})
	})},
	{"UpdateRecord", sends(func(ctx context.Context, ch *iso7816.Channel) {
		ch.UpdateRecord(ctx, iso7816.Record{Number: 1}, []byte{1})
	})},
	{"AppendRecord", sends(func(ctx context.Context, ch *iso7816.Channel) { ch.AppendRecord(ctx, 1, []byte{1}) })},
	{"GetData", sends(func(ctx context.Context, ch *iso7816.Channel) { ch.GetData(ctx, iso7816.CurrentDF, 0x7E) })},
	{"GetDataPlain", sends(func(ctx context.Context, ch *iso7816.Channel) { ch.GetDataPlain(ctx, 0x7E) })},
	{"PutData", sends(func(ctx context.Context, ch *iso7816.Channel) { ch.PutData(ctx, iso7816.CurrentDF, []byte{1}) })},
	{"PutDataPlain", sends(func(ctx context.Context, ch *iso7816.Channel) { ch.PutDataPlain(ctx, 0x7E, []byte{1}) })},
	{"Verify", sends(func(ctx context.Context, ch *iso7816.Channel) { ch.Verify(ctx, 1, []byte{1}) })},
	{"VerifyStatus", sends(func(ctx context.Context, ch *iso7816.Channel) { ch.VerifyStatus(ctx, 1) })},
	{"ChangeReferenceData", sends(func(ctx context.Context, ch *iso7816.Channel) { ch.ChangeReferenceData(ctx, 1, []byte{1}, []byte{2}) })},
	{"ResetRetryCounter", sends(func(ctx context.Context, ch *iso7816.Channel) { ch.ResetRetryCounter(ctx, 1, []byte{1}, []byte{2}) })},
	{"EnableVerification", sends(func(ctx context.Context, ch *iso7816.Channel) { ch.EnableVerification(ctx, 1, []byte{1}) })},
	{"DisableVerification", sends(func(ctx context.Context, ch *iso7816.Channel) { ch.DisableVerification(ctx, 1, []byte{1}) })},
	{"GetChallenge", sends(func(ctx context.Context, ch *iso7816.Channel) { ch.GetChallenge(ctx, 8) })},
	{"InternalAuthenticate", sends(func(ctx context.Context, ch *iso7816.Channel) { ch.InternalAuthenticate(ctx, 0, 0, []byte{1}) })},
	{"ExternalAuthenticate", sends(func(ctx context.Context, ch *iso7816.Channel) { ch.ExternalAuthenticate(ctx, 0, 0, []byte{1}) })},
	{"MutualAuthenticate", sends(func(ctx context.Context, ch *iso7816.Channel) { ch.MutualAuthenticate(ctx, 0, 0, []byte{1}) })},
	{"GeneralAuthenticate", sends(func(ctx context.Context, ch *iso7816.Channel) { ch.GeneralAuthenticate(ctx, 0, 0, []byte{1}) })},
	{"SetSecurityEnvironment", sends(func(ctx context.Context, ch *iso7816.Channel) { ch.SetSecurityEnvironment(ctx, 0, 0, nil) })},
	{"RestoreSecurityEnvironment", sends(func(ctx context.Context, ch *iso7816.Channel) { ch.RestoreSecurityEnvironment(ctx, 1) })},
	{"PerformSecurityOperation", sends(func(ctx context.Context, ch *iso7816.Channel) {
		ch.PerformSecurityOperation(ctx, 0x9E, 0x9A, []byte{1})
	})},
	{"GenerateKeyPair", sends(func(ctx context.Context, ch *iso7816.Channel) { ch.GenerateKeyPair(ctx, 0, 0, nil) })},
	{"Exchange", sends(func(ctx context.Context, ch *iso7816.Channel) { // what fetches the rest
		ch.Exchange(ctx, apdu.Command{Instruction: apdu.InsGetChallenge, Ne: 256})
	})},
}

func sends(calls ...func(context.Context, *iso7816.Channel)) []func(context.Context, *iso7816.Channel) {
	return calls
}

// listening is a card that notes the instructions it is sent. To the first it
// answers that more is there.
type listening struct{ sent []apdu.Instruction }

func (l *listening) Transmit(_ context.Context, dst, command []byte) ([]byte, error) {
	c, err := apdu.ParseCommand(command)
	if err != nil {
		return dst, err
	}
	l.sent = append(l.sent, c.Instruction)
	if len(l.sent) == 1 {
		return append(dst, 0x61, 0x00), nil
	}
	return append(dst, 0x90, 0x00), nil
}

// hostSupport returns the methods that send each instruction.
func hostSupport(t *testing.T) map[apdu.Instruction][]string {
	support := map[apdu.Instruction][]string{}
	for _, m := range hostMethods {
		if _, ok := reflect.TypeFor[*iso7816.Channel]().MethodByName(m.name); !ok {
			t.Errorf("iso7816.Channel has no method %s", m.name)
		}
		for _, call := range m.calls {
			l := &listening{}
			call(t.Context(), iso7816.NewChannel(l, nil))
			if len(l.sent) < 2 || l.sent[1] != apdu.InsGetResponse {
				t.Fatalf("%s: got the instructions %v, want one of its own and GET RESPONSE", m.name, l.sent)
			}
			ins := l.sent[0]
			if m.name == "Exchange" {
				ins = apdu.InsGetResponse
			}
			if !slices.Contains(support[ins], m.name) {
				support[ins] = append(support[ins], m.name)
			}
		}
	}
	return support
}

// deaf is an application that knows no instruction at all.
type deaf struct{}

func (deaf) AID() iso7816.AID                       { return iso7816.MustParseAID("F000000001") }
func (d deaf) Open(*card.Env) (card.Session, error) { return d, nil }
func (deaf) Select(*card.ResponseWriter) apdu.Status {
	return apdu.StatusOK
}
func (deaf) ServeAPDU(context.Context, *card.ResponseWriter, *apdu.Command) apdu.Status {
	return apdu.StatusInstructionNotSupported
}
func (deaf) Close() {}

// cardSupport reports whether a card with app answers an instruction with anything
// else than that it does not know it.
func cardSupport(t *testing.T, app card.Application, ins apdu.Instruction) bool {
	t.Helper()
	for _, c := range []apdu.Command{
		{Instruction: ins},
		{Instruction: ins, P2: 0x80},
		{Instruction: ins, P1: 0x04, Data: app.AID().AppendTo(nil), Ne: 256},
		{Instruction: ins, P1: 0x3F, P2: 0xFF, Data: []byte{0x5C, 0x01, 0x7E}, Ne: 256},
	} {
		ch := iso7816.NewChannel(card.New(nil, app), nil)
		if _, err := ch.SelectApplication(t.Context(), app.AID()); err != nil {
			t.Fatal(err)
		}
		r, err := ch.Exchange(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if r.Status != apdu.StatusInstructionNotSupported && r.Status != apdu.StatusFunctionNotSupported {
			return true
		}
	}
	return false
}

// hostStatuses says what iso7816.Channel makes of statuses besides a CommandError.
var hostStatuses = map[apdu.Status]string{
	apdu.StatusOK:                          "success",
	apdu.StatusMoreAvailable:               "GET RESPONSE on the same channel",
	apdu.StatusEndOfFile:                   "the end, to ReadFile",
	apdu.StatusVerificationFailed:          "VerifyError with the tries left",
	apdu.StatusAuthenticationMethodBlocked: "VerifyError, blocked",
	apdu.StatusWrongLength:                 "a short form in place of an extended one, once",
	apdu.StatusInstructionNotSupported:     "a short form in place of an extended one, once",
	apdu.StatusClassNotSupported:           "a short form in place of an extended one, or that in place of a chain, once",
	apdu.StatusNoPreciseDiagnosis:          "a short form in place of an extended one, once, where the command only reads",
	apdu.StatusLastCommandExpected:         "the command again, once, when it is not in a chain",
	apdu.StatusChainingNotSupported:        "an extended form in place of a chain, once",
	apdu.StatusRecordNotFound:              "the end, to Records",
	apdu.StatusIncorrectP1P2:               "the end, to ReadFile",
	apdu.StatusWrongP1P2:                   "the end, to ReadFile",
	apdu.StatusWrongLe:                     "the command again, once, with that Le",
}

// A statusFamily is a range of statuses that carry a number.
type statusFamily struct {
	from, to    apdu.Status
	text, words string
}

var statusFamilies = []statusFamily{
	{0x6100, 0x61FF, "61XX", "XX more bytes available, 00 for 256 or more"},
	{0x6202, 0x6280, "6202 to 6280", "the card has a query of as many bytes as SW2 says"},
	{0x63C0, 0x63CF, "63CX", "verification failed, X tries left"},
	{0x6402, 0x6480, "6402 to 6480", "execution stopped, the card has a query of as many bytes as SW2 says"},
	{0x6C00, 0x6CFF, "6CXX", "wrong Le, exactly XX bytes available, 00 for 256"},
}

// identifiers returns the selectors of package apdu, such as "StatusOK", in the
// files of a folder other than tests.
func identifiers(t *testing.T, folder string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, f := range goFiles(t, folder) {
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				found[s.Sel.Name] = true
			}
			return true
		})
	}
	return found
}

func goFiles(t *testing.T, folder string) []*ast.File {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// statusConstants returns the constants of package apdu by their values.
func statusConstants(t *testing.T) map[apdu.Status]string {
	t.Helper()
	constants := map[apdu.Status]string{}
	for _, f := range goFiles(t, "apdu") {
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Status") {
				return true
			}
			if lit, ok := spec.Values[0].(*ast.BasicLit); ok {
				v, err := strconv.ParseUint(lit.Value, 0, 16)
				if err != nil {
					t.Fatal(err)
				}
				constants[apdu.Status(v)] = spec.Names[0].Name
			}
			return true
		})
	}
	return constants
}

// TestDocs_apdu makes docs/apdu.md and compares it with the one that is there.
func TestDocs_apdu(t *testing.T) {
	var b bytes.Buffer
	b.WriteString(`# Instructions and statuses

<!-- Made by go test ./internal/system -run TestDocs_apdu -update; the test compares it otherwise. -->

What package apdu has words for (ISO/IEC 7816-4:2013, with those of 7816-8 and 7816-9), what the host, package iso7816, sends, and what a card in software
answers. The columns are measured: each method of iso7816.Channel is called and the instruction that arrives noted, and each instruction is sent to a card. Any
other instruction goes through Channel.Send and Channel.Exchange; any other status comes back as a CommandError.

## Instructions

The card itself answers what stands under "card"; under "PIV" stands what its PIV application answers.

| INS | name | methods of iso7816.Channel | card | PIV |
|---|---|---|---|---|
`)
	host := hostSupport(t)
	pivCard := piv.NewApplication(&piv.ApplicationOptions{StandardOnly: true})
	for i := range 256 {
		ins := apdu.Instruction(i)
		if strings.HasPrefix(ins.String(), "INS ") {
			if len(host[ins]) > 0 {
				t.Errorf("%v of %v has no name", host[ins], ins)
			}
			continue
		}
		name := ins.String()
		if ins.Odd() {
			name += ", data in BER-TLV"
		}
		fmt.Fprintf(&b, "| %02X | %s | %s | %s | %s |\n", i, name, strings.Join(host[ins], ", "), yes(cardSupport(t, deaf{}, ins)), yes(cardSupport(t, pivCard, ins)))
	}
	b.WriteString(`
## Statuses

| SW1-SW2 | meaning | what iso7816.Channel makes of it | the card itself gives it |
|---|---|---|---|
`)
	hostUses, cardUses, constants := identifiers(t, "iso7816"), identifiers(t, "iso7816/card"), statusConstants(t)
	for s := range hostStatuses {
		// The families are told by methods of Status.
		used := hostUses[constants[s]]
		switch s {
		case apdu.StatusOK:
			used = hostUses["OK"]
		case apdu.StatusMoreAvailable:
			used = hostUses["More"]
		case apdu.StatusWrongLe:
			used = hostUses["ExactNe"]
		case apdu.StatusVerificationFailed:
			used = hostUses["Retries"]
		}
		if !used {
			t.Errorf("package iso7816 does nothing about %v", s)
		}
	}
	rows := map[apdu.Status]string{}
	for _, f := range statusFamilies {
		for s := f.from; s <= f.to; s++ {
			if strings.HasPrefix(f.text, "6C") && s.ExactNe() == 0 || strings.HasPrefix(f.text, "61") && s.More() == 0 || strings.HasPrefix(f.text, "63") && s.Retries() < 0 {
				t.Errorf("%v is not of family %s", s, f.text)
			}
		}
		rows[f.from] = fmt.Sprintf("| %s | %s | %s | %s |\n", f.text, f.words, hostStatuses[f.from], yes(cardUses[constants[f.from]]))
	}
	for i := range 0x10000 {
		s := apdu.Status(i)
		if slices.ContainsFunc(statusFamilies, func(f statusFamily) bool { return s >= f.from && s <= f.to }) {
			continue
		}
		general := apdu.Status(i&0xFF00 | 0xEF) // which means nothing but what its SW1 does
		named := constants[s] != ""
		if !named && (s.Class() == apdu.ClassInvalid || s.Class() == apdu.ClassProprietary || s.Meaning() == general.Meaning() && s.SW2() != 0) {
			continue
		}
		rows[s] = fmt.Sprintf("| %s | %s | %s | %s |\n", s.String(), s.Meaning(), hostStatuses[s], yes(cardUses[constants[s]]))
	}
	for _, s := range slices.Sorted(maps.Keys(rows)) {
		b.WriteString(rows[s])
	}
	name := filepath.Join(root, "docs", "apdu.md")
	if *update {
		if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("docs/apdu.md is out of date (-there +made):\n%s\ngo test ./internal/system -run TestDocs_apdu -update makes it anew", d)
	}
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}
