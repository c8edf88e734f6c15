package card

import (
	"bytes"
	"fmt"

	"github.com/cardoki/cardoki/iso7816"
	"github.com/cardoki/cardoki/iso7816/tlv"
)

// makeATR returns an ATR for T=1 with the card's capabilities in the historical
// bytes (ISO/IEC 7816-4:2013, 12.1.1).
func makeATR(o *Options) []byte {
	if o.ATR != nil {
		if len(o.ATR) < 2 || len(o.ATR) > iso7816.MaxATR {
			panic(fmt.Sprintf("card: an ATR of %d bytes is not in 2..%d", len(o.ATR), iso7816.MaxATR))
		}
		return bytes.Clone(o.ATR)
	}
	issuer := o.HistoricalBytes
	if issuer == nil {
		issuer = []byte("cardoki")
	}
	if len(issuer) > 8 {
		panic(fmt.Sprintf("card: %d historical bytes do not fit an ATR beside the card capabilities, at most 8 do", len(issuer)))
	}
	const (
		categoryIndicator = 0x80 // COMPACT-TLV objects and nothing else
		capabilities      = 7    // their tags
		issuerData        = 5
	)
	can := iso7816.CardCapabilities{
		Tables:     3,
		Selection:  iso7816.DFByFullName | iso7816.DFByPartialName,
		DataCoding: 0x01, // data units of one byte
		Functions:  iso7816.CommandChaining,
	}
	if o.Implicit != (iso7816.AID{}) {
		can.Selection |= iso7816.ImplicitDF
	}
	if !o.ShortOnly {
		can.Functions |= iso7816.ExtendedLengths
	}
	if o.Channels > 1 {
		can.Functions |= iso7816.ChannelsAssignedByCard | iso7816.ChannelsAssignedByReader | iso7816.SoftwareFunctions(min(o.Channels, 8)-1)
	}
	h := tlv.AppendCompact([]byte{categoryIndicator}, capabilities, can.AppendTo(nil))
	if len(issuer) > 0 {
		h = tlv.AppendCompact(h, issuerData, issuer)
	}
	interfaces := []iso7816.InterfaceBytes{{}, {Protocol: 1}}
	if o.Contactless { // TD1 80, TD2 01: what readers make up (PC/SC part 3)
		interfaces = []iso7816.InterfaceBytes{{}, {Protocol: 0}, {Protocol: 1}}
	}
	atr, err := iso7816.NewATR(iso7816.DirectConvention, interfaces, h)
	if err != nil {
		panic(err.Error()) // 8 issuer bytes fit
	}
	b, _ := atr.AppendBinary(nil) // never an error
	return b
}
