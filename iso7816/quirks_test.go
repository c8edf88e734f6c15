package iso7816

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	commandline "flag" // the package has a flag of its own
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardoki/cardoki/apdu"
	"github.com/cardoki/cardoki/apdu/apdutest"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

var update = commandline.Bool("update", false, "make docs/quirks.md anew")

// constructed is the source of a behaviour that no report was seen of.
const constructed = "constructed"

// A quirk is something that cards do and strict hosts break on.
type quirk struct {
	file string // in testdata/quirks, without .apdu
	what string // what the card does
	does string // what the engine does
	seen string // where it was reported: repository and number of an issue or pull request
	opts Options
	call func(context.Context, *Channel) ([]byte, error)
	data string // what comes out, in hexadecimal
	err  string // the error, empty for none
}

// send returns a call of Send.
func send(c apdu.Command) func(context.Context, *Channel) ([]byte, error) {
	return func(ctx context.Context, ch *Channel) ([]byte, error) { return ch.Send(ctx, c) }
}

// sendHex is send of a command as it is transmitted.
func sendHex(s string) func(context.Context, *Channel) ([]byte, error) {
	c, err := apdu.ParseCommand(unhex(s))
	if err != nil {
		panic(err)
	}
	return send(c)
}

func readFile(ctx context.Context, ch *Channel) ([]byte, error) { return ch.ReadFile(ctx, -1, nil) }

func getChuid(ctx context.Context, ch *Channel) ([]byte, error) {
	return ch.GetData(ctx, CurrentDF, tlv.Tag(0x5FC105))
}

var (
	getData = sendHex("00CA000000")
	// put is a command that needs extended length fields or a chain.
	put = send(apdu.Command{Instruction: apdu.InsPutDataOdd, P1: 0x3F, P2: 0xFF, Data: fill(300)})
)

var quirks = []quirk{
	// 61XX and GET RESPONSE
	{file: "61-announces-more", what: "61XX announces more bytes than come", does: "takes what comes",
		seen: constructed, call: getData, data: "00112233"},
	{file: "61-announces-less", what: "GET RESPONSE brings more bytes than 61XX announced", does: "takes all of them",
		seen: "OpenSC/OpenSC #1837 (CanoKey, in development)", call: getChuid, data: "00112233445566778899"},
	{file: "61-then-6c", what: "GET RESPONSE with the announced length is answered with 6CXX", does: "sends GET RESPONSE again with the length asked for, once",
		seen: "danm-de/pcsc-sharp #9", call: getData, data: "00112233"},
	{file: "61-with-data", what: "61XX comes with data, several times over", does: "puts the parts together in their order",
		seen: "OpenSC/OpenSC #632, GPContributors/PyGP #15", call: sendHex("00B0000000"), data: "00112233445566778899AABB"},
	{file: "61-endless", what: "6100 without end", does: "gives up after `Options.MaxGetResponse` GET RESPONSEs; 4 here, 1,024 by default",
		seen: constructed, opts: Options{MaxGetResponse: 4}, call: getData, err: "iso7816: the card exceeded Options.MaxGetResponse, which is 4"},
	{file: "61-for-le-00", what: "Le = 00 is taken for no data wanted: 61XX", does: "fetches the data",
		seen: "Yubico/libfido2 #820, OpenSC/OpenSC #1731 (OsEIDsim)", call: func(ctx context.Context, ch *Channel) ([]byte, error) {
			return ch.SelectApplication(ctx, MustParseAID("A0000006472F0001"))
		}, data: "5532465F56320000"},
	{file: "61-then-6f00", what: "61XX, but GET RESPONSE is answered with 6F00 though the command was done", does: "returns 6F00; whoever knows better ignores it",
		seen: "seek-for-android/pool #77 (a UICC in a Samsung Galaxy S4)", call: sendHex("80E60C002B09A00000006203010C010AA00000006203010C01010BA00000006203010C010100010006C9043132333400"),
		err: "iso7816: TERMINATE DF: 6F00 no precise diagnosis"},
	{file: "61-then-6985", what: "61XX announces more, then GET RESPONSE is answered with 6985", does: "returns the data that came, with 6985",
		seen: "canokeys/canokey-console #21", opts: Options{Profile: ProfileOATH()}, call: sendHex("00A1000000"), data: "71044F415448",
		err: "iso7816: SEARCH BINARY: 6985 conditions of use not satisfied"},
	{file: "61-data-then-6f00", what: "61XX with data, then an error in place of the rest", does: "returns the data that came, with the error",
		seen: "OpenSC/OpenSC #632", call: sendHex("00B0000000"), data: "0011223344556677", err: "iso7816: READ BINARY: 6F00 no precise diagnosis"},
	{file: "get-response-class-00-only", what: "GET RESPONSE in the proprietary class of the command is refused with 6D00, in class 00 it is known", does: "sends it again in class 00, once",
		seen: "martinpaljak/GlobalPlatformPro #15", call: sendHex("8050000008D31CC4DE5E586FBC"), data: "000102030405060708090A0B0C0D0E0F101112131415161718191A1B"},
	{file: "get-response-class-kept", what: "GET RESPONSE must have the class of the command, in class 00 it is refused with 6E00", does: "sends it in that class in the first place",
		seen: "danm-de/pcsc-sharp #97 (MultiFlex), Yubico/libfido2 #816", call: sendHex("C0A40000023F00"), data: "000102030405060708090A0B0C0D0E0F10111213"},

	// 6CXX
	{file: "6c-to-extended", what: "6CXX to an extended Le", does: "sends the command again with a short Le",
		seen: constructed, call: send(apdu.Command{Instruction: apdu.InsGetData, P1: 0x9F, P2: 0x7F, Ne: 1000}), data: "00112233"},
	{file: "6c-without-le", what: "6CXX to a command without Le", does: "sends the command again with Le",
		seen: "onomondo/onomondo-uicc #167 (a commercial UICC)", call: sendHex("80F20000"), data: "6229820278" + strings.Repeat("00", 38)},
	{file: "6c00", what: "6C00", does: "sends the command again with Le = 00, for 256 bytes",
		seen: constructed, call: sendHex("00CA000001"), data: "00112233"},
	{file: "6c-twice", what: "6CXX again after 6CXX", does: "returns the second one",
		seen: constructed, call: getData, err: "iso7816: GET DATA: 6C05 wrong Le, exactly 5 bytes available"},
	{file: "6c-with-data", what: "6CXX comes with data: the command was done", does: "returns both and does not send the command again",
		seen: constructed, call: getData, data: "00112233", err: "iso7816: GET DATA: 6C04 wrong Le, exactly 4 bytes available"},

	// 9000 without data
	{file: "9000-without-data", what: "9000 without data to a command that asks for data", does: "returns no data and no error",
		seen: "onomondo/onomondo-uicc #167 (STATUS with Le = 00)", call: sendHex("80F2000000")},
	{file: "9000-to-select", what: "9000 alone to SELECT that asks for the FCI", does: "returns an empty FCI: the application is selected",
		seen: "OpenSC/OpenSC #342 (OpenPGP application of the YubiKey NEO)", call: func(ctx context.Context, ch *Channel) ([]byte, error) {
			return ch.SelectApplication(ctx, MustParseAID("D27600012401"))
		}},

	// Length fields and chains
	{file: "6700-to-extended", what: "extended length fields are refused with 6700, against the ATR", does: "sends a chain of short commands, now and from then on",
		seen: "framefilter/keyroost #101 (Token2 PIN+, contact interface)", call: put},
	{file: "6d00-to-extended", what: "extended length fields are refused with 6D00, against the ATR", does: "sends the short form, now and from then on: 6D00 says that nothing was done",
		seen: constructed, call: getChuid, data: "53021122"},
	{file: "6e00-to-extended", what: "extended length fields are refused with 6E00, against the ATR", does: "sends the short form, now and from then on: 6E00 says that nothing was done",
		seen: constructed, call: getChuid, data: "53021122"},
	{file: "6f00-to-extended-read", what: "6F00 to extended length fields of a command that only reads", does: "sends the short form, now and from then on",
		seen: constructed, call: getChuid, data: "53021122"},
	{file: "6f00-to-extended-other", what: "6F00 to extended length fields of any other command", does: "returns it: the command may have been done",
		seen: constructed, call: put, err: "iso7816: PUT DATA: 6F00 no precise diagnosis"},
	{file: "6884-to-chain", what: "a chain is refused with 6884, and the ATR announces nothing else", does: "sends extended length fields, now and from then on; not with T=0",
		seen: constructed, call: put},
	{file: "6e00-to-chain", what: "the class with the chaining bit is refused with 6E00", does: "sends extended length fields, now and from then on; not with T=0",
		seen: constructed, call: put},
	{file: "6883-to-command", what: "6883 to a command because another program left a chain or a response behind", does: "sends the command again, once",
		seen: "makinako/OpenFIPS201 #4", call: sendHex("00CA9F7F00"), data: "00112233"},
	{file: "6883-to-chain", what: "6883 to the first command of a chain, for the same reason", does: "sends it again, once",
		seen: constructed, call: put},
	{file: "link-with-data", what: "a command of a chain other than the last is answered with 9000 and data", does: "stops with an error: the card may have taken it for the whole command",
		seen: constructed, call: put, err: "iso7816: PUT DATA: the card answered a link of its chain with 4 bytes of data and may have taken it for the whole command: command chaining: unsupported operation"},
	{file: "link-refused-with-data", what: "a command of a chain other than the last is answered with a warning and data", does: "ends the chain and returns both",
		seen: constructed, call: put, data: "00112233", err: "iso7816: PUT DATA: 6282 end of file or record reached before all the bytes asked for"},
	{file: "chain-left-open", what: "after a chain that was cut, the next command is refused or joined to it", does: "ends the chain by GET RESPONSE before it sends the next command",
		seen: "OpenSC/OpenSC #1866 (GIDS)", call: func(ctx context.Context, ch *Channel) ([]byte, error) {
			if _, err := put(ctx, ch); !errors.Is(err, apdu.ErrRemoved) {
				return nil, fmt.Errorf("got %w, want the failure of the transport", err)
			}
			return sendHex("002241B606800157840181")(ctx, ch)
		}},
	{file: "6700-to-le", what: "6700 to a command with data whose Le the card does not want", does: "sends Le only where Ne is not 0, and returns 6700 else: set Ne to 0",
		seen: "tomkp/smartcard #19", call: sendHex("00A4040006D2760001240100"), err: "iso7816: SELECT: 6700 wrong length"},

	// More and less than Ne
	{file: "longer-than-ne", what: "data comes though none was asked for, or more than was", does: "returns it whole",
		seen: "frankmorgner/vsmartcard #177", call: sendHex("00A40000"), data: "6F0A83023F008A0105820138"},
	{file: "read-binary-goes-on", what: "READ BINARY with T=0 gives the 256 bytes asked for and announces the rest of the file by 6100", does: "`ReadFile` takes all and reads on behind it",
		seen: "OpenSC/OpenSC #1190 (Estonian eID)", call: readFile, data: strings.Repeat(hexOf(fill(256)), 2)},
	{file: "read-binary-6282-without-data", what: "READ BINARY for 256 bytes is answered with 6282 and no data, for fewer with data", does: "`ReadFile` asks for 192, then 128 bytes at a time",
		seen: "AndyQ/NFCPassportReader #91 (Spanish identity card)", call: readFile, data: "61035F0100"},
	{file: "read-binary-6700", what: "READ BINARY for 256 bytes is refused, for 192 it works", does: "`ReadFile` asks for 192, then 128 bytes at a time",
		seen: "gmrtd/gmrtd #410 (Ukrainian passport)", call: readFile, data: hexOf(fill(192))},
	{file: "read-binary-6b00", what: "the end of a file comes as fewer bytes with 9000, and 6B00 to the next READ BINARY", does: "`ReadFile` takes that for the end",
		seen: "OpenSC/OpenSC #1640 (Estonian eID of 2018)", call: readFile, data: "00112233"},
	{file: "read-binary-6282", what: "a warning comes with data", does: "returns both",
		seen: constructed, call: sendHex("00B0000000"), data: "00112233", err: "iso7816: READ BINARY: 6282 end of file or record reached before all the bytes asked for"},
	{file: "select-6283", what: "SELECT of a card that is locked is answered with 6283 and the FCI", does: "returns both: the application is selected",
		seen: "kaoh/globalplatform #18", call: func(ctx context.Context, ch *Channel) ([]byte, error) {
			return ch.SelectApplication(ctx, MustParseAID("A000000003000000"))
		}, data: "6F108408A000000003000000A5049F6501FF", err: "iso7816: SELECT: 6283 selected file is deactivated"},

	// Statuses of applications
	{file: "9f-select", what: "a SIM announces data by 9FXX and has GET RESPONSE in class A0", does: "does so with `ProfileSIM`",
		seen: "tomasz-lisowski/swsim #4", opts: Options{Profile: ProfileSIM()}, call: sendHex("A0A40000022FE2"), data: "0000000A2FE2040000000001020000"},
	{file: "9f-read", what: "9FXX to READ BINARY, which should give the data at once", does: "fetches the data with `ProfileSIM`",
		seen: "tomasz-lisowski/swsim #4", opts: Options{Profile: ProfileSIM()}, call: sendHex("A0B000000A"), data: "988812010000500180F4"},
	{file: "6310-with-data", what: "6310: more entries are there, for the next GET STATUS", does: "is success with `ProfileGlobalPlatform`; the caller asks for the next ones",
		seen: "martinpaljak/GlobalPlatformPro #402", opts: Options{Profile: ProfileGlobalPlatform()}, call: func(ctx context.Context, ch *Channel) ([]byte, error) {
			first, err := sendHex("80F22002024F0000")(ctx, ch)
			if err != nil {
				return first, err
			}
			next, err := sendHex("80F22003024F0000")(ctx, ch)
			return append(first, next...), err
		}, data: "E30D4F07A00000006200019F700101" + "E30E4F08A0000000620205019F700101"},
	{file: "6310-without-data", what: "6310 without any entry", does: "is success without data with `ProfileGlobalPlatform`",
		seen: "martinpaljak/GlobalPlatformPro #124", opts: Options{Profile: ProfileGlobalPlatform()}, call: sendHex("80F22002024F0000")},

	// No response
	{file: "one-byte", what: "one byte comes, of a card that is torn out", does: "is an error of the transport, not a status",
		seen: "measured: pcscd 1.9.9 with vsmartcard-vpcd 3.3", call: getData, err: "iso7816: GET DATA: apdu: malformed response at offset 1: shorter than the two status bytes"},
	{file: "no-byte", what: "no byte comes, of a card that is torn out", does: "is an error of the transport, not a status",
		seen: "measured: pcscd 1.9.9 with vsmartcard-vpcd 3.3", call: getData, err: "iso7816: GET DATA: apdu: malformed response at offset 0: shorter than the two status bytes"},
}

// TestQuirks plays each transcript against a Channel and checks what comes out. It
// makes docs/quirks.md of them and compares it with the one that is there.
func TestQuirks(t *testing.T) {
	var table, transcripts bytes.Buffer
	files := map[string]bool{}
	for _, q := range quirks {
		files[q.file] = true
		t.Run(q.what, func(t *testing.T) {
			transcript, err := os.ReadFile(filepath.Join("testdata", "quirks", q.file+".apdu"))
			if err != nil {
				t.Fatal(err)
			}
			card, err := apdutest.Replay(bytes.NewReader(transcript))
			if err != nil {
				t.Fatal(err)
			}
			data, err := q.call(t.Context(), NewChannel(card, &q.opts))
			if got := hexOf(data); got != q.data {
				t.Errorf("data\n got %s\nwant %s", got, q.data)
			}
			if got := errorText(err); got != q.err {
				t.Errorf("error\n got %s\nwant %s", got, q.err)
			}
			if err := card.Done(); err != nil {
				t.Error(err)
			}
			fmt.Fprintf(&table, "| [%s](#%s) | %s | %s | %s |\n", q.what, q.file, q.does, q.outcome(), q.seen)
			fmt.Fprintf(&transcripts, "\n### %s\n\n```\n%s```\n", q.file, shorten(string(transcript)))
		})
	}
	names, err := filepath.Glob(filepath.Join("testdata", "quirks", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !files[strings.TrimSuffix(filepath.Base(name), ".apdu")] {
			t.Errorf("%s belongs to no quirk", name)
		}
	}
	if t.Failed() {
		return
	}
	doc := quirksIntroduction + table.String() + "\n## The bytes\n" + transcripts.String()
	name := filepath.Join("..", "docs", "quirks.md")
	if *update {
		if err := os.WriteFile(name, []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), doc); d != "" {
		t.Errorf("docs/quirks.md is out of date (-there +made):\n%s\ngo test ./iso7816 -run TestQuirks -update makes it anew", d)
	}
}

const quirksIntroduction = `# What cards do, and what the engine makes of it

<!-- Made by go test ./iso7816 -run TestQuirks -update; the test compares it otherwise. -->

Behaviour of cards that breaks strict hosts, each with a transcript in iso7816/testdata/quirks that a test plays against an iso7816.Channel. "Seen" names the
repository and the number of the issue or pull request that reports it; the bytes are those of the report as far as it shows them. "Constructed" means that no report
was seen: the standard leaves it open, or a card might.

Three rules are behind the table. Nothing that a card sent is dropped without an error. A command is sent again only after a status by which the card says that it did not
do it (6CXX, 6700, 6883, 6884, 6D00, 6E00), or when it only reads. Whatever a card can make the engine repeat is bounded.

| what the card does | what the engine does | what comes out | seen |
|---|---|---|---|
`

// outcome says what comes out.
func (q *quirk) outcome() string {
	s := "no data"
	switch n := len(q.data) / 2; {
	case n == 1:
		s = "1 byte"
	case n > 1:
		s = fmt.Sprintf("%d bytes", n)
	}
	if q.err != "" {
		s += "; `" + q.err + "`"
	}
	return s
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// shorten leaves out the middle of long runs of hexadecimal digits.
func shorten(transcript string) string {
	var b strings.Builder
	for line := range strings.Lines(transcript) {
		for i, word := range strings.Split(line, " ") {
			if i > 0 {
				b.WriteByte(' ')
			}
			raw, err := hex.DecodeString(strings.TrimSpace(word))
			if err == nil && len(raw) > 64 {
				word = fmt.Sprintf("%X…%X(%d bytes)", raw[:12], raw[len(raw)-4:], len(raw)) + word[len(strings.TrimSpace(word)):]
			}
			b.WriteString(word)
		}
	}
	return b.String()
}
