package apdu

// Harmless reports whether the data field of c is known to hold no secret, so that it
// may be shown: see [Explain], and the fields Show and Hide. An empty one is.
func (v *Vocabulary) Harmless(c *Command) bool {
	if len(c.Data) == 0 {
		return true
	}
	if c.Class.SecureMessaging() != SMNone || c.Class.Chained() || holdsReferenceData(c.Instruction) {
		return false
	}
	if v != nil && v.Hide != nil && v.Hide(c) {
		return false
	}
	if v != nil && v.Show != nil && v.Show(c) {
		return true
	}
	_, whose := v.name(c)
	return whose == standard && harmless(c)
}

// holdsReferenceData reports whether the data field of an instruction holds PINs,
// passwords or keys by the standard, in any class.
func holdsReferenceData(i Instruction) bool {
	switch i {
	case InsVerify, InsVerifyOdd, InsChangeReferenceData, InsChangeReferenceDataOdd, InsDisableVerification,
		InsEnableVerification, InsResetRetryCounter, InsResetRetryCounterOdd:
		return true
	}
	return false
}

// harmless reports whether the standard knows that the data field of c holds no
// secret.
func harmless(c *Command) bool {
	switch c.Instruction {
	case InsSelect:
		// By name, by file identifier, by path. Applications that use the code
		// for something else, as OATH does, fall out.
		n := len(c.Data)
		if c.P1 == 0x04 && n <= 16 || c.P1 <= 0x03 && n == 2 || (c.P1 == 0x08 || c.P1 == 0x09) && n <= 16 && n%2 == 0 {
			return true
		}
	case InsGetDataOdd:
		// A tag list, 5C, and nothing after it.
		if n := len(c.Data); n >= 2 && n <= 32 && c.Data[0] == 0x5C && int(c.Data[1]) == n-2 {
			return true
		}
	}
	return false
}
