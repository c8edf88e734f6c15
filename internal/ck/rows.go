package ck

// Rows are the attributes of several objects, all asked for by one template. They can
// be used again, and then allocate only what more they need.
type Rows struct {
	n, stride int // attributes of a row, bytes of a row
	items     []item
	lengths   []uint // n to a row
	rvs       []uint // one to a row
	buf       []byte // stride to a row
}

// rower is a FunctionList that reads many objects in one call.
type rower interface {
	getRows(session uint, objects []uint, t *Template, r *Rows) RV
}

// ReadRows asks each object for what t asks for, and puts that into r. Nested attributes
// cannot be asked for. The values take len(objects) times the room that t has.
func ReadRows(fl FunctionList, session uint, objects []uint, t *Template, r *Rows) RV {
	r.n, r.stride = len(t.items), len(t.buf)
	if r.n == 0 || r.n > maxAttributes {
		return argumentsBad
	}
	for _, it := range t.items {
		if it.children > 0 {
			return argumentsBad
		}
	}
	r.items = append(r.items[:0], t.items...)
	r.lengths = grow(r.lengths, len(objects)*r.n)
	r.rvs = grow(r.rvs, len(objects))
	r.buf = grow(r.buf, len(objects)*r.stride)
	if in, is := fl.(*Instance); is {
		fl = in.FunctionList
	}
	if fl, is := fl.(rower); is {
		return fl.getRows(session, objects, t, r)
	}
	for i, object := range objects {
		row := Template{items: append([]item(nil), t.items...), buf: r.buf[i*r.stride : (i+1)*r.stride : (i+1)*r.stride]}
		r.rvs[i] = uint(fl.GetAttributeValue(session, object, &row))
		for j := range row.items {
			r.lengths[i*r.n+j] = row.items[j].length
		}
	}
	return ok
}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// Len returns the number of rows.
func (r *Rows) Len() int { return len(r.rvs) }

// RV returns what C_GetAttributeValue returned for row i.
func (r *Rows) RV(i int) RV { return RV(r.rvs[i]) }

// Size returns the length of attribute j in row i as [Template.Size] does.
func (r *Rows) Size(i, j int) (uint, bool) {
	n := r.lengths[i*r.n+j]
	return n, n != Unavailable
}

// Value returns the value of attribute j in row i, which is part of the rows, as
// [Template.Value] does.
func (r *Rows) Value(i, j int) ([]byte, bool) {
	it, n := r.items[j], r.lengths[i*r.n+j]
	if n > it.room {
		return nil, false
	}
	at := uint(i*r.stride) + it.offset
	return r.buf[at : at+n : at+n], true
}

// Wipe clears the values.
func (r *Rows) Wipe() { clear(r.buf) }
