// Command figures makes docs/figures.md and docs/figures.svg of what go test -bench printed
// in internal/peers: what each work costs in cardoki, beside its floor and beside other
// libraries, in one run. make figures runs it.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}

func run() error {
	results, err := parse(os.Stdin)
	if err != nil {
		return err
	}
	rows, err := choose(results)
	if err != nil {
		return err
	}
	if err := os.WriteFile("docs/figures.md", page(results.machine, rows), 0o644); err != nil {
		return err
	}
	return os.WriteFile("docs/figures.svg", plot(rows), 0o644)
}
