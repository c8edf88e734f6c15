package cryptoki

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/cardoki/cardoki/internal/ck"
)

// An Entry is an object with those of its attributes that were asked for and that could be
// read.
type Entry struct {
	Object     Object
	Attributes Attributes
}

// batch is how many objects Objects reads in one call.
const batch = 256

// Objects iterates over the objects that have all attributes of the template, each with
// the given attributes, as [Session.Attributes] reads them: many objects in one call. An
// object that cannot be read comes with its error, and hides no other; an error that
// ends the search comes with the zero Entry. The session is free in the body of the loop.
func (s *Session) Objects(ctx context.Context, template Attributes, types ...AttributeType) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		objects, err := s.FindObjects(ctx, template)
		if err == nil && len(types) > 64 {
			err = fmt.Errorf("cryptoki: %d attributes asked for; at most 64 can be", len(types))
		}
		entries, errs := make([]Entry, min(batch, len(objects))), make([]error, min(batch, len(objects)))
		for len(objects) > 0 && err == nil {
			n := min(batch, len(objects))
			if err = s.entries(ctx, entries[:n], errs[:n], objects[:n], types); err != nil {
				break
			}
			for i, e := range entries[:n] {
				if !yield(e, errs[i]) {
					return
				}
			}
			objects = objects[n:]
		}
		if err != nil {
			yield(Entry{}, err)
		}
	}
}

// entries reads attributes of several objects. errs gets one error, mostly nil, for each.
func (s *Session) entries(ctx context.Context, entries []Entry, errs []error, objects []Object, types []AttributeType) error {
	clear(errs)
	for i, o := range objects {
		entries[i] = Entry{Object: o}
	}
	if len(types) == 0 {
		return nil
	}
	var again []int // objects that are to be read by themselves
	if s.m.oneByOne.Load() {
		for i := range objects {
			again = append(again, i)
		}
	} else {
		var err error
		if again, err = s.readRows(ctx, entries, types); err != nil {
			return err
		}
	}
	for _, i := range again {
		entries[i].Attributes, errs[i] = s.Attributes(ctx, objects[i], types...)
		if errs[i] == nil {
			continue
		}
		if s.closed() || ctx.Err() != nil || troubleOf(errs[i]) >= loggedOut {
			return errs[i] // it is not this object's
		}
	}
	return nil
}

// readRows reads what fits and is there, and returns which objects have more.
func (s *Session) readRows(ctx context.Context, entries []Entry, types []AttributeType) (again []int, err error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	s.ask(types)
	if cap(s.handles) < len(entries) {
		s.handles = make([]uint, batch)
	}
	s.handles = s.handles[:len(entries)]
	for i, e := range entries {
		s.handles[i] = e.Object.handle
	}
	if s.rows == nil {
		s.rows = new(ck.Rows)
	}
	if err := s.run(ctx, (*Session).callRows); err != nil {
		return nil, err
	}
	rows, rv := s.rows, s.res.RV
	if rv != ck.RV(CKR_OK) {
		s.end()
		return nil, s.err("C_GetAttributeValue", rv)
	}
	all := make(Attributes, 0, len(entries)*len(types))
	var piece []byte // values lie behind each other
	for i := range entries {
		rv := rows.RV(i)
		if !partial(rv) {
			again = append(again, i)
			continue
		}
		from := len(all)
		for j, t := range types {
			if v, ok := rows.Value(i, j); ok {
				if len(v) > cap(piece)-len(piece) {
					piece = make([]byte, 0, max(len(v), min(4096, 32*len(entries))))
				}
				n := len(piece)
				piece = append(piece, v...)
				all = append(all, Attribute{t, piece[n:len(piece):len(piece)]})
			}
		}
		if rv != ck.RV(CKR_OK) && len(all)-from < len(types) {
			all = all[:from]
			again = append(again, i) // too long, sensitive or not there: that takes a second look
			continue
		}
		entries[i].Attributes = all[from:len(all):len(all)]
	}
	if slices.ContainsFunc(types, maySecret) {
		rows.Wipe()
	}
	s.end()
	return again, nil
}

// maySecret reports whether an attribute of the type may be a secret.
func maySecret(t AttributeType) bool {
	switch t {
	case CKA_VALUE, CKA_PRIVATE_EXPONENT, CKA_PRIME_1, CKA_PRIME_2, CKA_EXPONENT_1, CKA_EXPONENT_2, CKA_COEFFICIENT, CKA_SEED:
		return true
	}
	return t >= CKA_VENDOR_DEFINED
}

func (s *Session) callRows() {
	s.step(ck.ReadRows(s.fl, s.handle, s.handles, &s.tmpl, s.rows), ck.GetAttributeValue)
}
