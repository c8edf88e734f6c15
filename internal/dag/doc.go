// Package dag holds the import order of the module, as a test: imports point
// downwards only, leaf packages know the standard library alone, and only the
// packages that are made for it touch C, unsafe or another module. A new package
// fails the test until it has a row.
package dag
