// Package wipe clears secrets that the standard library keeps where no caller can
// reach them.
package wipe

import (
	"crypto/cipher"
	"reflect"
	"unsafe"
)

// Block clears the key schedule of a block cipher of crypto/aes or crypto/des, which
// holds its key. The cipher must not be used afterwards. What has another form than a
// pointer to numbers is left alone, and false returned.
//
// The standard library has no way to do so. All that is done here is to write zeros over
// the memory of a value that is the caller's own and holds nothing but numbers.
func Block(b cipher.Block) bool {
	v := reflect.ValueOf(b)
	if v.Kind() != reflect.Pointer || v.IsNil() || !numbers(v.Type().Elem()) {
		return false
	}
	clear(unsafe.Slice((*byte)(v.UnsafePointer()), v.Type().Elem().Size()))
	return true
}

// numbers reports whether values of type t hold no pointers, so that zeros are values of
// that type, and nothing else is reached from them.
func numbers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			if !numbers(t.Field(i).Type) {
				return false
			}
		}
		return true
	case reflect.Array:
		return numbers(t.Elem())
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return true
	}
	return false
}
