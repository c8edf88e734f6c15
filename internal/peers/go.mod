// Module peers measures cardoki beside other libraries. It is a module of its own,
// so that none of them becomes a dependency of cardoki.
module github.com/cardoki/cardoki/internal/peers

go 1.26.0

replace github.com/cardoki/cardoki => ../..

require (
	github.com/cardoki/cardoki v0.0.0
	github.com/ebfe/scard v0.0.0-20241214075232-7af069cabc25 // needs cgo and libpcsclite-dev
)
