package piv

// newCHUID returns a Card Holder Unique Identifier with the given GUID. The FASC-N is
// the one for cards that no federal agency issued: agency code 9999 and so on
// (SP 800-73-5 part 1).
func newCHUID(guid [16]byte) *CHUID {
	fascn, err := NewFASCN(FASCNFields{
		Agency: "9999", System: "9999", Credential: "999999", CredentialSeries: "0", IndividualCredential: "1",
		Person: "0000000000", OrganizationCategory: "3", OrganizationID: "0000", PersonOrgAssociation: "1",
	})
	if err != nil {
		panic(err.Error()) // the digits are right
	}
	return &CHUID{FASCN: fascn, GUID: guid, ExpirationDate: "20991231"}
}

// newCCC returns a Card Capability Container that promises nothing beyond PIV.
func newCCC(id [16]byte) *CCC {
	return &CCC{
		CardIdentifier:      append([]byte{0xA0, 0x00, 0x00, 0x01, 0x16, 0xFF, 0x02}, id[:14]...),
		ContainerVersion:    []byte{0x21},
		GrammarVersion:      []byte{0x21},
		PKCS15:              []byte{0x00},
		RegisteredDataModel: []byte{0x10},
	}
}
