package ck_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/cardoki/cardoki/internal/system"
)

// The layout of the structures is asserted in layout.h. Here it is compiled for
// platforms other than this one; for Windows the loading of modules, too.
func TestLayout_ofOtherPlatforms(t *testing.T) {
	for _, tt := range []struct {
		name, compiler, debianPackage string
		flags                         string
		include                       string
	}{
		{"this one", "gcc", "gcc", "-ffreestanding", "core.h"},
		{"32 bits", "gcc", "gcc", "-ffreestanding -m32", "core.h"},
		{"CK_ULONG of 4 bytes, packed, pointers of 8", "gcc", "gcc", "-ffreestanding -DCK_LLP64 -DCK_PACKED", "core.h"},
		{"packed, 32 bits", "gcc", "gcc", "-ffreestanding -m32 -DCK_PACKED", "core.h"},
		{"Windows, 64 bits", "x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64-win32", "", "core.h load.h"},
		{"Windows, 32 bits", "i686-w64-mingw32-gcc", "gcc-mingw-w64-i686-win32", "", "core.h load.h"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := append(strings.Fields("-std=gnu11 -Wall -Wextra -Werror -Wno-unused-function -fsyntax-only -I . -x c"), strings.Fields(tt.flags)...)
			cmd := exec.Command(system.Need(t, tt.compiler, tt.debianPackage), append(args, "-")...)
			var text strings.Builder
			for _, h := range strings.Fields(tt.include) {
				text.WriteString("#include \"" + h + "\"\n")
			}
			cmd.Stdin = strings.NewReader(text.String())
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	// The assertions can fail.
	cmd := exec.Command(system.Need(t, "gcc", "gcc"), strings.Fields("-ffreestanding -fsyntax-only -I . -x c -DCK_LLP64 -")...)
	cmd.Stdin = strings.NewReader("#include \"layout.h\"\n")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "static assertion failed") {
		t.Errorf("CK_ULONG of 4 bytes without packing: got %v, %s", err, out)
	}
}
