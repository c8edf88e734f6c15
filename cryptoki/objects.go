package cryptoki

import (
	"context"
	"fmt"
	"iter"

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
		for len(objects) > 0 && err == nil {
			n := min(batch, len(objects))
			var entries []Entry
			var errs []error
			if entries, errs, err = s.entries(ctx, objects[:n], types); err != nil {
				break
			}
			for i, e := range entries {
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

// entries reads attributes of several objects. errs has one error, mostly nil, for each.
func (s *Session) entries(ctx context.Context, objects []Object, types []AttributeType) (entries []Entry, errs []error, err error) {
	entries, errs = make([]Entry, len(objects)), make([]error, len(objects))
	for i, o := range objects {
		entries[i].Object = o
	}
	if len(types) == 0 {
		return entries, errs, nil
	}
	again := make([]int, 0, 8) // objects that are to be read by themselves
	if s.m.oneByOne.Load() {
		for i := range objects {
			again = append(again, i)
		}
	} else if again, err = s.readRows(ctx, entries, types, again); err != nil {
		return nil, nil, err
	}
	for _, i := range again {
		entries[i].Attributes, errs[i] = s.Attributes(ctx, objects[i], types...)
		if errs[i] == nil {
			continue
		}
		if s.closed() || ctx.Err() != nil || troubleOf(errs[i]) >= loggedOut {
			return nil, nil, errs[i] // it is not this object's
		}
	}
	return entries, errs, nil
}

// readRows reads what fits and is there, and appends to again which objects have more.
func (s *Session) readRows(ctx context.Context, entries []Entry, types []AttributeType, again []int) ([]int, error) {
	if err := s.begin(ctx); err != nil {
		return again, err
	}
	s.tmpl.Reset()
	for _, t := range types {
		s.tmpl.Ask(uint(t), room(t))
	}
	handles := make([]uint, len(entries))
	for i, e := range entries {
		handles[i] = e.Object.handle
	}
	s.handles, s.rows = handles, new(ck.Rows) // which the entries keep
	if err := s.run(ctx, (*Session).callRows); err != nil {
		return again, err
	}
	rows, rv := s.rows, s.res.RV
	s.handles, s.rows = nil, nil
	s.end()
	if err := s.err("C_GetAttributeValue", rv); err != nil {
		return again, err
	}
	all := make(Attributes, 0, len(entries)*len(types))
	for i := range entries {
		rv := rows.RV(i)
		if !partial(rv) {
			again = append(again, i)
			continue
		}
		from := len(all)
		for j, t := range types {
			if v, ok := rows.Value(i, j); ok {
				all = append(all, Attribute{t, v})
			}
		}
		if rv != ck.RV(CKR_OK) && len(all)-from < len(types) {
			all = all[:from]
			again = append(again, i) // too long, sensitive or not there: that takes a second look
			continue
		}
		entries[i].Attributes = all[from:len(all):len(all)]
	}
	return again, nil
}

func (s *Session) callRows() {
	s.step(ck.ReadRows(s.fl, s.handle, s.handles, &s.tmpl, s.rows), ck.GetAttributeValue)
}
