package leak

import (
	"bufio"
	"bytes"
	"crypto/subtle"
	"errors"
	"io"
	"os"
	"reflect"
	"strconv"
	"strings"
)

// mask is what a secret is hidden with wherever a search must not find it.
const mask = 0x5A

// Masked returns a copy of b that is hidden from [SearchMemory], and of a hidden one a copy
// that is not.
func Masked(b []byte) []byte {
	m := make([]byte, len(b))
	for i := range b {
		m[i] = b[i] ^ mask
	}
	return m
}

// maxMapping is more than any piece of memory has that holds values: the race detector's
// own tables are larger.
const maxMapping = 1 << 30

// SearchMemory counts a secret, of which it is given the masked form, in the writable memory
// of this process, but for that of the search itself.
func SearchMemory(hidden []byte) (int, error) {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return 0, err
	}
	defer maps.Close()
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		return 0, err
	}
	defer mem.Close()
	count := 0
	block, masks := make([]byte, 1<<20), bytes.Repeat([]byte{mask}, 1<<20)
	search := func(at, end uint64) {
		for at < end {
			n, err := mem.ReadAt(block[:min(uint64(len(block)), end-at)], int64(at))
			if n == 0 || err != nil && err != io.EOF {
				break // such as [vvar]
			}
			subtle.XORBytes(block[:n], block[:n], masks) // a loop takes 14 s under the race detector
			count += bytes.Count(block[:n], hidden)
			clear(block)
			if n <= len(hidden) || n < len(block) {
				break
			}
			at += uint64(n - len(hidden) + 1)
		}
	}
	own := uint64(reflect.ValueOf(block).Pointer()) // which holds what was read last
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || !strings.HasPrefix(fields[1], "rw") {
			continue
		}
		from, to, _ := strings.Cut(fields[0], "-")
		at, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err := errors.Join(err1, err2); err != nil {
			return 0, err
		}
		switch {
		case end-at > maxMapping:
		case at <= own && own < end:
			search(at, own)
			search(own+uint64(len(block)), end)
		default:
			search(at, end)
		}
	}
	return count, lines.Err()
}
