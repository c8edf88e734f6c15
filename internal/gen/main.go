// Command gen writes the tables of constants of cardoki from the lists of numbers
// in its testdata folder. Run it with go generate, or from the root of the module.
//
// Its output is committed; its test regenerates and compares.
package main

//go:generate go -C ../.. run ./internal/gen

import (
	"fmt"
	"os"
)

func main() {
	files, err := generate("internal/gen/testdata/pkcs11-numbers.json")
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
	for name, content := range files {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "gen:", err)
			os.Exit(1)
		}
	}
}
