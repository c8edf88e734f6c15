package system_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/internal/system"
)

// A movingBlock is a block of Go in docs/moving.md, with what is around it there: what
// was declared before, and what is done with the results.
type movingBlock struct {
	begins, imports, parameters, uses string
}

// movingBlocks are those of docs/moving.md, in order, by their first words. Those before
// are compiled with the library that they are of.
var movingBlocks = []movingBlock{
	{"cards, err := piv.Cards()", pivGo + `"crypto/tls"; "strings"`, "askPIN func() (string, error)", "cert, err"},
	{"client, err := piv.Find(", `"context"; "github.com/cardoki/cardoki/iso7816/piv"; "github.com/cardoki/cardoki/pcsc"`, "ctx context.Context, askPIN func(context.Context, piv.PINRequest) ([]byte, error)", "cert, err"},
	{"public, err := yk.GenerateKey(", pivGo + `"crypto"; "crypto/x509"`, "yk *piv.YubiKey, managementKey []byte, issue func(crypto.PublicKey) *x509.Certificate", "err"},
	{"err := client.AuthenticateManagementKey(", `"context"; "crypto"; "crypto/x509"; "github.com/cardoki/cardoki/iso7816/piv"`,
		"ctx context.Context, client *piv.Client, managementKey []byte, issue func(crypto.PublicKey) *x509.Certificate", "err"},

	{"c, err := crypto11.Configure(", thales + `"crypto/tls"`, "path, pin string", "cert, err"},
	{"module, err := cryptoki.Open(path, nil)", `"context"; "github.com/cardoki/cardoki/cryptoki"`, "ctx context.Context, path string, askPIN cryptoki.PINFunc", "cert, err"},
	{"key, err := c.GenerateECDSAKeyPairWithLabel(", thales + `"crypto"; "crypto/elliptic"; "crypto/x509"`, "c *crypto11.Context, id []byte, issue func(crypto.PublicKey) *x509.Certificate", "err"},
	{"err := pool.Do(ctx, func", `"context"; "crypto"; "crypto/elliptic"; "crypto/x509"; "github.com/cardoki/cardoki/cryptoki"`,
		"ctx context.Context, pool *cryptoki.Pool, id []byte, issue func(crypto.PublicKey) *x509.Certificate", "err"},

	{"p := pkcs11.New(path)", `"github.com/miekg/pkcs11"`, "path, pin string, digest []byte", "signature, err"},
	{"module, err := cryptoki.Open(path, nil)", `"context"; "github.com/cardoki/cardoki/cryptoki"`, "ctx context.Context, path string, digest []byte, askPIN cryptoki.PINFunc", "signature, err"},
	{"key, err := pool.Key(", `"context"; "crypto"; "github.com/cardoki/cardoki/cryptoki"`, "ctx context.Context, pool *cryptoki.Pool, digest []byte", "signature, err"},
	{"module, err := cryptoki.Adopt(", `"github.com/cardoki/cardoki/cryptoki"; "github.com/miekg/pkcs11"`, "p *pkcs11.Ctx", "err"},
}

const (
	pivGo  = `"github.com/go-piv/piv-go/v2/piv"; `
	thales = `"github.com/ThalesGroup/crypto11"; `
)

// source returns the block as a program of its own.
func (b *movingBlock) source(block string) string {
	blanks := strings.Repeat("_, ", strings.Count(b.uses, ",")) + "_"
	return fmt.Sprintf("package main\n\nimport (%s)\n\nfunc main() {}\n\nfunc block(%s) {\n%s\n%s = %s\n}\n\nvar _ = block\n", b.imports, b.parameters, block, blanks, b.uses)
}

// TestMoving compiles docs/moving.md, and checks that what its tables name is there.
func TestMoving(t *testing.T) {
	page := mustRead(t, filepath.Join(root, "docs", "moving.md"))
	blocks := regexp.MustCompile("(?s)```go\n(.*?)\n```").FindAllStringSubmatch(page, -1)
	if len(blocks) != len(movingBlocks) {
		t.Fatalf("docs/moving.md has %d blocks of Go, want %d", len(blocks), len(movingBlocks))
	}
	// What is ours, or needs what cardoki needs, is compiled as if it were here.
	overlay, dir := map[string]string{}, t.TempDir()
	var packages []string
	for i, b := range movingBlocks {
		block := blocks[i][1]
		if !strings.HasPrefix(block, b.begins) {
			t.Fatalf("block %d begins with %q, want %q", i, strings.SplitN(block, "\n", 2)[0], b.begins)
		}
		if strings.Contains(b.imports, pivGo) || strings.Contains(b.imports, thales) {
			continue
		}
		name := fmt.Sprintf("moving%d", i)
		file := filepath.Join(dir, name+".go")
		if err := os.WriteFile(file, []byte(b.source(block)), 0o600); err != nil {
			t.Fatal(err)
		}
		here, err := filepath.Abs(filepath.Join(name, "main.go"))
		if err != nil {
			t.Fatal(err)
		}
		overlay[here] = file
		packages = append(packages, "./internal/system/"+name)
	}
	b, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	goTool(t, nil, append([]string{"build", "-o", os.DevNull, "-overlay", file}, packages...)...)

	names := exportedNames(t, "cryptoki", "iso7816/piv", "signer", "pcsc")
	for _, m := range regexp.MustCompile("`([A-Z]\\w*)\\.([A-Z]\\w*)`").FindAllStringSubmatch(page, -1) {
		if members, ok := names[m[1]]; ok && !members[m[2]] {
			t.Errorf("docs/moving.md names %s.%s, which is not there", m[1], m[2])
		}
	}
	if !names["Client"]["FindKey"] || !names["PoolOptions"]["Size"] || !names["Session"]["AppendSign"] {
		t.Error("the names are not found")
	}
}

// exportedNames returns the exported types of packages, with their methods and fields.
func exportedNames(t *testing.T, folders ...string) map[string]map[string]bool {
	t.Helper()
	names := map[string]map[string]bool{}
	add := func(of, name string) {
		if names[of] == nil {
			names[of] = map[string]bool{}
		}
		names[of][name] = true
	}
	for _, folder := range folders {
		embedded := map[string][]string{}
		for _, f := range goFiles(t, folder) {
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl:
					if n.Recv != nil {
						of := n.Recv.List[0].Type
						if p, ok := of.(*ast.StarExpr); ok {
							of = p.X
						}
						add(fmt.Sprint(of), n.Name.Name)
					}
				case *ast.TypeSpec:
					s, ok := n.Type.(*ast.StructType)
					if !ok {
						return true
					}
					for _, field := range s.Fields.List {
						for _, name := range field.Names {
							add(n.Name.Name, name.Name)
						}
						if len(field.Names) == 0 {
							of := field.Type
							if p, ok := of.(*ast.StarExpr); ok {
								of = p.X
							}
							embedded[n.Name.Name] = append(embedded[n.Name.Name], fmt.Sprint(of))
						}
					}
				}
				return true
			})
		}
		for of, list := range embedded {
			for _, e := range list {
				for name := range names[e] {
					add(of, name)
				}
			}
		}
	}
	return names
}

// movingModule is what the blocks before are compiled with.
const movingModule = `module before

go 1.26.0

require (
	github.com/ThalesGroup/crypto11 v1.6.2
	github.com/go-piv/piv-go/v2 v2.6.0
)

require (
	github.com/miekg/pkcs11 v1.1.2 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	github.com/thales-e-security/pool v0.0.2 // indirect
)
`

const movingSums = `github.com/ThalesGroup/crypto11 v1.6.2 h1:X+JsrOlKanaIlHgwV/3MJ/cFivbEaQ8kpXRPoiC2T+c=
github.com/ThalesGroup/crypto11 v1.6.2/go.mod h1:fQ61t02lJdXD2HrG7upt/VRlDECsipwtqpPcZJEjBKg=
github.com/davecgh/go-spew v1.1.1/go.mod h1:J7Y8YcW2NihsgmVo/mv3lAwl/skON4iLHjSsI+c5H38=
github.com/go-piv/piv-go/v2 v2.6.0 h1:/Z+uqlv5luC8aqLh/uO05egk23UH4KT/ldvPHXpnKls=
github.com/go-piv/piv-go/v2 v2.6.0/go.mod h1:gcsS2WGbToZk5PwtsCIlCWzV/R+r/wN+Xi+6O6IlU3c=
github.com/miekg/pkcs11 v1.1.2 h1:/VxmeAX5qU6Q3EwafypogwWbYryHFmF2RpkJmw3m4MQ=
github.com/miekg/pkcs11 v1.1.2/go.mod h1:XsNlhZGX73bx86s2hdc/FuaLm2CPZJemRLMA+WTFxgs=
github.com/pkg/errors v0.9.1 h1:FEBLx1zS214owpjy7qsBeixbURkuhQAwrK5UwLGTwt4=
github.com/pkg/errors v0.9.1/go.mod h1:bwawxfHBFNV+L2hUp1rHADufV3IMtnDRdf1r5NINEl0=
github.com/pmezard/go-difflib v1.0.0/go.mod h1:iKH77koFhYxTK1pcRnkKkqfTogsbg7gZNVY4sRDYZ/4=
github.com/stretchr/testify v1.11.1/go.mod h1:wZwfW3scLgRK+23gO65QZefKpKQRnfz6sD981Nm4B6U=
github.com/thales-e-security/pool v0.0.2 h1:RAPs4q2EbWsTit6tpzuvTFlgFRJ3S8Evf5gtvVDbmPg=
github.com/thales-e-security/pool v0.0.2/go.mod h1:qtpMm2+thHtqhLzTwgDBj/OuNnMpupY8mv0Phz0gjhU=
golang.org/x/crypto v0.50.0/go.mod h1:3muZ7vA7PBCE6xgPX7nkzzjiUq87kRItoJQM1Yo8S+Q=
gopkg.in/yaml.v3 v3.0.1/go.mod h1:K4uyk7z7BCEPqu6E+C64Yfv1cQ7kz7rIZviUmN+EgEM=
`

// TestMoving_before compiles the programs that docs/moving.md begins with.
func TestMoving_before(t *testing.T) {
	t.Parallel()
	system.Need(t, "gcc", "gcc")
	system.Need(t, "pkg-config", "pkg-config")
	system.NeedFile(t, "/usr/include/PCSC/winscard.h", "libpcsclite-dev")
	dir := t.TempDir()
	write := func(name, content string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", movingModule)
	write("go.sum", movingSums)
	blocks := regexp.MustCompile("(?s)```go\n(.*?)\n```").FindAllStringSubmatch(mustRead(t, filepath.Join(root, "docs", "moving.md")), -1)
	for i, b := range movingBlocks {
		if i < len(blocks) && (strings.Contains(b.imports, pivGo) || strings.Contains(b.imports, thales)) {
			write(fmt.Sprintf("before%d/main.go", i), b.source(blocks[i][1]))
		}
	}
	run := func(args ...string) ([]byte, error) {
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=1", "GOFLAGS=-mod=mod")
		return cmd.CombinedOutput()
	}
	if out, err := run("mod", "download"); err != nil && os.Getenv("CI") == "" {
		t.Skipf("crypto11 and piv-go can't be downloaded: %v\n%s", err, out)
	} else if err != nil {
		t.Fatalf("go mod download: %v\n%s", err, out)
	}
	if out, err := run("build", "-o", os.DevNull, "./..."); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
