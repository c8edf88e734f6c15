// Package tlv walks and builds the BER-TLV data objects of cards (ISO/IEC
// 7816-4:2013, 5.2.2, which takes them from ISO/IEC 8825-1).
//
// Reading copies nothing and looks only where it is told to. [All] walks the
// objects of one level, [Find] follows a path of tags to one value:
//
//	aid, err := tlv.Find(fci, 0x6F, 0x84)
//
//	for o, err := range tlv.All(value) {
//		if err != nil {
//			return err
//		}
//		fmt.Println(o.Tag, len(o.Value))
//	}
//
// Writing appends, with the shortest length field that does. [Append] takes a
// value that is there already, [AppendFunc] one that is being written:
//
//	b = tlv.AppendFunc(b, 0x7C, func(b []byte) []byte {
//		b = tlv.Append(b, 0x82, nil)
//		return tlv.Append(b, 0x81, challenge)
//	})
//
// # What is accepted
//
// Tags of one to three bytes and definite lengths with up to four length bytes.
// Lengths that could have been shorter are accepted, as BER allows them. So are
// two-byte tags with numbers below 31, which ISO/IEC 7816-4 reserves and EMV
// uses, such as 9F10. Every other thing is refused with a [*SyntaxError].
//
// The constructed bit of a tag is not a promise: a PIV certificate object holds
// compressed bytes under tag 70, which looks constructed. So nothing here
// descends into a value, except along the path given to [Find].
//
// Bytes 00 and FF before, between and after the objects are padding in files of
// some cards, EMV's among them: [AllPadded] and [FindPadded] skip them.
//
// [AllDER] is [All] for objects whose length fields must be the shortest possible.
//
// # Other codings
//
// Historical bytes have COMPACT-TLV objects ([AllCompact], [AppendCompact]), some
// files SIMPLE-TLV ([AllSimple], [AppendSimple]). CAC cards write the latter with
// the length bytes the other way round, which is not read: see [SimpleObject].
//
// A data object list says which data elements its author wants, and how long:
// [AllDOL] walks it, [AppendDOLValues] makes what it asks for.
//
// # Concurrency
//
// All functions may be called from any goroutine, as long as nobody writes to
// the bytes that are read.
package tlv
