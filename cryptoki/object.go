package cryptoki

import (
	"context"
	"fmt"

	"github.com/cardoki/cardoki/internal/ck"
)

// An Object is an object of a token, as a session found it. It is a value and good
// for as long as the session, or for all sessions of the Pool until the Pool had to
// start anew; after that it is refused with [ErrStale].
type Object struct {
	handle uint
	stamp  stamp
}

func (s *Session) check(o Object) error {
	if o.stamp != s.stamp {
		return ErrStale
	}
	return nil
}

// FindObjects returns the objects that have all attributes of the template; an
// empty template finds all. It fails when there are more than Options.MaxObjects.
func (s *Session) FindObjects(ctx context.Context, template Attributes) ([]Object, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	if err := fill(&s.tmpl, template); err != nil {
		s.end()
		return nil, err
	}
	// The whole search is one call. If there are more than there was room for, it
	// is made again with more room, which then stays for the next search.
	most := s.m.maxObjects + 1
	if len(s.objects) == 0 {
		s.objects = make([]uint, min(64, most))
	}
	for {
		if err := s.run(ctx, (*Session).callFind); err != nil {
			return nil, err
		}
		if s.res.RV != ck.RV(CKR_OK) || s.res.N < uint(len(s.objects)) || len(s.objects) == most {
			break
		}
		s.objects = make([]uint, min(8*len(s.objects), most))
	}
	res := s.res
	if res.RV != ck.RV(CKR_OK) {
		s.end()
		return nil, s.err(res.Step.String(), res.RV)
	}
	if res.N > uint(s.m.maxObjects) {
		s.end()
		return nil, fmt.Errorf("cryptoki: more than %d objects match; search for fewer or raise Options.MaxObjects", s.m.maxObjects)
	}
	found := make([]Object, res.N)
	for i := range found {
		found[i] = Object{s.objects[i], s.stamp}
	}
	s.end()
	return found, nil
}

func (s *Session) callFind() { s.res = s.fl.FindObjects(s.handle, &s.tmpl, s.objects) }

// CreateObject makes an object with the given attributes. An object with CKA_TOKEN
// outlives the session, which must be read-write then.
func (s *Session) CreateObject(ctx context.Context, template Attributes) (Object, error) {
	if err := s.begin(ctx); err != nil {
		return Object{}, err
	}
	if err := fill(&s.tmpl, template); err != nil {
		s.end()
		return Object{}, err
	}
	if err := s.run(ctx, (*Session).callCreate); err != nil {
		return Object{}, err
	}
	res := s.res
	s.end()
	if err := s.err("C_CreateObject", res.RV); err != nil {
		return Object{}, err
	}
	return Object{res.N, s.stamp}, nil
}

func (s *Session) callCreate() {
	s.res = s.fl.CreateObject(s.handle, &s.tmpl)
	s.tmpl.Reset()
}

// DestroyObject deletes an object.
func (s *Session) DestroyObject(ctx context.Context, o Object) error {
	if err := s.check(o); err != nil {
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	s.object = o.handle
	if err := s.run(ctx, (*Session).callDestroy); err != nil {
		return err
	}
	rv := s.res.RV
	s.end()
	return s.err("C_DestroyObject", rv)
}

func (s *Session) callDestroy() { s.step(s.fl.DestroyObject(s.handle, s.object), ck.DestroyObject) }
