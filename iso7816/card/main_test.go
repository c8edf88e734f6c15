package card

import (
	"os"
	"testing"

	"github.com/cardoki/cardoki/internal/leak"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(crashPath); path != "" {
		commitForever(path)
	}
	leak.Main(m)
}
