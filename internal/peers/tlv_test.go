package peers

import (
	"encoding/hex"
	"errors"
	"testing"

	gotlv "cunicu.li/go-iso7816/encoding/tlv"
	moov "github.com/moov-io/bertlv"
	skythen "github.com/skythen/bertlv"

	"github.com/cardoki/cardoki/iso7816/tlv"
)

var errNotFound = errors.New("not found")

// BenchmarkTLVWalk reads 64 KiB of 4,643 data objects one after the other. The floor
// is a bare loop that knows the form of its input and checks that values end within
// it. The peers decode everything into a tree first.
func BenchmarkTLVWalk(b *testing.B) {
	var objects []byte
	for i := range 4643 {
		tag := tlv.Tag(0x53)
		if i%4 == 0 {
			tag = 0x5F24
		}
		objects = tlv.Append(objects, tag, make([]byte, 8+i%9))
	}
	compare(b, len(objects),
		work{"floor", func() error {
			n := 0
			for i := 0; i < len(objects); {
				tag := int(objects[i])
				i++
				if tag&0x1F == 0x1F {
					tag = tag<<8 | int(objects[i])
					i++
				}
				length := int(objects[i])
				i++
				if length > len(objects)-i {
					return errFloor
				}
				n += len(objects[i:i+length]) + tag
				i += length
			}
			sinkInt = n
			return nil
		}},
		work{"cardoki", func() error {
			n := 0
			for o, err := range tlv.All(objects) {
				if err != nil {
					return err
				}
				n += len(o.Value) + int(o.Tag)
			}
			sinkInt = n
			return nil
		}},
		work{"go-iso7816", func() error {
			all, err := gotlv.DecodeBER(objects)
			n := 0
			for i := range all {
				n += len(all[i].Value) + int(all[i].Tag)
			}
			sinkInt = n
			return err
		}},
		work{"moov", func() error {
			all, err := moov.Decode(objects)
			n := 0
			for i := range all {
				n += len(all[i].Value) + len(all[i].Tag)
			}
			sinkInt = n
			return err
		}},
		work{"skythen", func() error {
			all, err := skythen.Parse(objects)
			n := 0
			for i := range all {
				n += len(all[i].Value) + len(all[i].Tag)
			}
			sinkInt = n
			return err
		}},
	)
}

// BenchmarkTLVFind finds the language preference in an FCI of 49 bytes, two templates
// down. The FCI has none of the tags that peers refuse, such as 9F11.
func BenchmarkTLVFind(b *testing.B) {
	fci, err := hex.DecodeString("6F2F8408A000000003000000A523500F416D65726963616E457870726573739F38039F35018701015F2D02656E9F4D0101")
	if err != nil {
		b.Fatal(err)
	}
	found := func(v []byte, ok bool) error {
		if !ok || string(v) != "en" {
			return errNotFound
		}
		sinkBytes = v
		return nil
	}
	compare(b, len(fci),
		work{"floor", func() error {
			from, to := 0, len(fci)
			for _, want := range [...]int{0x6F, 0xA5, 0x5F2D} {
				for i := from; i < to; {
					tag := int(fci[i])
					i++
					if tag&0x1F == 0x1F {
						tag = tag<<8 | int(fci[i])
						i++
					}
					length := int(fci[i])
					i++
					if length > to-i {
						return errFloor
					}
					if tag == want {
						from, to = i, i+length
						break
					}
					i += length
				}
			}
			return found(fci[from:to], true)
		}},
		work{"cardoki", func() error { v, err := tlv.Find(fci, 0x6F, 0xA5, 0x5F2D); return found(v, err == nil) }},
		work{"go-iso7816", func() error {
			all, err := gotlv.DecodeBER(fci)
			if err != nil {
				return err
			}
			v, _, ok := all.GetChild(0x6F, 0xA5, 0x5F2D)
			return found(v, ok)
		}},
		work{"moov", func() error {
			all, err := moov.Decode(fci)
			if err != nil {
				return err
			}
			v, ok := moov.FindTagByPath(all, "6F.A5.5F2D")
			return found(v.Value, ok)
		}},
		work{"skythen", func() error {
			all, err := skythen.Parse(fci)
			if err != nil {
				return err
			}
			template := all.FindFirstWithTag(skythen.BerTag{0x6F})
			if template == nil {
				return errNotFound
			}
			proprietary := template.FirstChild(skythen.BerTag{0xA5})
			if proprietary == nil {
				return errNotFound
			}
			o := proprietary.FirstChild(skythen.BerTag{0x5F, 0x2D})
			if o == nil {
				return errNotFound
			}
			return found(o.Value, true)
		}},
	)
}
