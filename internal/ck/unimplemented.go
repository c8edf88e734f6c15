package ck

// Unimplemented has all methods of [FunctionList] and says to each but ListVersion that it is
// not supported. Types that have but some of them embed it.
type Unimplemented struct{}

var _ FunctionList = Unimplemented{}

// ListVersion returns 2.40.
func (Unimplemented) ListVersion() Version { return Version{2, 40} }

// The methods of a FunctionList return CKR_FUNCTION_NOT_SUPPORTED.
func (Unimplemented) Initialize() RV                     { return notSupported }
func (Unimplemented) Finalize() RV                       { return notSupported }
func (Unimplemented) GetInfo() (Info, RV)                { return Info{}, notSupported }
func (Unimplemented) GetSlotList(bool) ([]uint, RV)      { return nil, notSupported }
func (Unimplemented) GetSlotInfo(uint) (SlotInfo, RV)    { return SlotInfo{}, notSupported }
func (Unimplemented) GetTokenInfo(uint) (TokenInfo, RV)  { return TokenInfo{}, notSupported }
func (Unimplemented) WaitForSlotEvent() (uint, RV)       { return 0, notSupported }
func (Unimplemented) GetMechanismList(uint) ([]uint, RV) { return nil, notSupported }
func (Unimplemented) GetMechanismInfo(uint, uint) (MechanismInfo, RV) {
	return MechanismInfo{}, notSupported
}
func (Unimplemented) InitToken(uint, []byte, string) RV       { return notSupported }
func (Unimplemented) InitPIN(uint, []byte) RV                 { return notSupported }
func (Unimplemented) SetPIN(uint, []byte, []byte) RV          { return notSupported }
func (Unimplemented) OpenSession(uint, uint) (uint, RV)       { return 0, notSupported }
func (Unimplemented) CloseSession(uint) RV                    { return notSupported }
func (Unimplemented) GetSessionInfo(uint) (SessionInfo, RV)   { return SessionInfo{}, notSupported }
func (Unimplemented) SessionCancel(uint, uint) RV             { return notSupported }
func (Unimplemented) Login(uint, uint, []byte) RV             { return notSupported }
func (Unimplemented) LoginUser(uint, uint, []byte, []byte) RV { return notSupported }
func (Unimplemented) Logout(uint) RV                          { return notSupported }
func (Unimplemented) CreateObject(uint, *Template) Result {
	return Result{RV: notSupported, Step: CreateObject}
}
func (Unimplemented) CopyObject(uint, uint, *Template) Result {
	return Result{RV: notSupported, Step: CopyObject}
}
func (Unimplemented) DestroyObject(uint, uint) RV { return notSupported }
func (Unimplemented) GetObjectSize(uint, uint) Result {
	return Result{RV: notSupported, Step: GetObjectSize}
}
func (Unimplemented) GetAttributeValue(uint, uint, *Template) RV { return notSupported }
func (Unimplemented) SetAttributeValue(uint, uint, *Template) RV { return notSupported }
func (Unimplemented) FindObjects(uint, *Template, []uint) Result {
	return Result{RV: notSupported, Step: FindObjects}
}
func (Unimplemented) Encrypt(uint, *Mechanism, uint, []byte, []byte) Result {
	return Result{RV: notSupported, Step: Encrypt}
}
func (Unimplemented) EncryptInit(uint, *Mechanism, uint) RV { return notSupported }
func (Unimplemented) EncryptUpdate(uint, []byte, []byte) Result {
	return Result{RV: notSupported, Step: EncryptUpdate}
}
func (Unimplemented) EncryptFinal(uint, []byte) Result {
	return Result{RV: notSupported, Step: EncryptFinal}
}
func (Unimplemented) Decrypt(uint, *Mechanism, uint, []byte, []byte) Result {
	return Result{RV: notSupported, Step: Decrypt}
}
func (Unimplemented) DecryptInit(uint, *Mechanism, uint) RV { return notSupported }
func (Unimplemented) DecryptUpdate(uint, []byte, []byte) Result {
	return Result{RV: notSupported, Step: DecryptUpdate}
}
func (Unimplemented) DecryptFinal(uint, []byte) Result {
	return Result{RV: notSupported, Step: DecryptFinal}
}
func (Unimplemented) Digest(uint, *Mechanism, []byte, []byte) Result {
	return Result{RV: notSupported, Step: Digest}
}
func (Unimplemented) DigestInit(uint, *Mechanism) RV { return notSupported }
func (Unimplemented) DigestUpdate(uint, []byte) RV   { return notSupported }
func (Unimplemented) DigestKey(uint, uint) RV        { return notSupported }
func (Unimplemented) DigestFinal(uint, []byte) Result {
	return Result{RV: notSupported, Step: DigestFinal}
}
func (Unimplemented) Sign(uint, *Mechanism, uint, []byte, []byte) Result {
	return Result{RV: notSupported, Step: Sign}
}
func (Unimplemented) SignInit(uint, *Mechanism, uint) RV { return notSupported }
func (Unimplemented) SignUpdate(uint, []byte) RV         { return notSupported }
func (Unimplemented) SignFinal(uint, []byte) Result      { return Result{RV: notSupported, Step: SignFinal} }
func (Unimplemented) Verify(uint, *Mechanism, uint, []byte, []byte) Result {
	return Result{RV: notSupported, Step: Verify}
}
func (Unimplemented) VerifyInit(uint, *Mechanism, uint) RV { return notSupported }
func (Unimplemented) VerifyUpdate(uint, []byte) RV         { return notSupported }
func (Unimplemented) VerifyFinal(uint, []byte) RV          { return notSupported }
func (Unimplemented) VerifySignature(uint, *Mechanism, uint, []byte, []byte) Result {
	return Result{RV: notSupported, Step: VerifySignature}
}
func (Unimplemented) GenerateKey(uint, *Mechanism, *Template) Result {
	return Result{RV: notSupported, Step: GenerateKey}
}
func (Unimplemented) GenerateKeyPair(uint, *Mechanism, *Template, *Template) (uint, uint, RV) {
	return 0, 0, notSupported
}
func (Unimplemented) WrapKey(uint, *Mechanism, uint, uint, []byte) Result {
	return Result{RV: notSupported, Step: WrapKey}
}
func (Unimplemented) UnwrapKey(uint, *Mechanism, uint, []byte, *Template) Result {
	return Result{RV: notSupported, Step: UnwrapKey}
}
func (Unimplemented) DeriveKey(uint, *Mechanism, uint, *Template) Result {
	return Result{RV: notSupported, Step: DeriveKey}
}
func (Unimplemented) EncapsulateKey(uint, *Mechanism, uint, *Template, []byte) (uint, Result) {
	return 0, Result{RV: notSupported, Step: EncapsulateKey}
}
func (Unimplemented) DecapsulateKey(uint, *Mechanism, uint, []byte, *Template) Result {
	return Result{RV: notSupported, Step: DecapsulateKey}
}
func (Unimplemented) SeedRandom(uint, []byte) RV                   { return notSupported }
func (Unimplemented) GenerateRandom(uint, []byte) RV               { return notSupported }
func (Unimplemented) MessageEncryptInit(uint, *Mechanism, uint) RV { return notSupported }
func (Unimplemented) EncryptMessage(uint, *Mechanism, []byte, []byte, []byte) Result {
	return Result{RV: notSupported, Step: EncryptMessage}
}
func (Unimplemented) MessageEncryptFinal(uint) RV                  { return notSupported }
func (Unimplemented) MessageDecryptInit(uint, *Mechanism, uint) RV { return notSupported }
func (Unimplemented) DecryptMessage(uint, *Mechanism, []byte, []byte, []byte) Result {
	return Result{RV: notSupported, Step: DecryptMessage}
}
func (Unimplemented) MessageDecryptFinal(uint) RV               { return notSupported }
func (Unimplemented) MessageSignInit(uint, *Mechanism, uint) RV { return notSupported }
func (Unimplemented) SignMessage(uint, *Mechanism, []byte, []byte) Result {
	return Result{RV: notSupported, Step: SignMessage}
}
func (Unimplemented) MessageSignFinal(uint) RV                          { return notSupported }
func (Unimplemented) MessageVerifyInit(uint, *Mechanism, uint) RV       { return notSupported }
func (Unimplemented) VerifyMessage(uint, *Mechanism, []byte, []byte) RV { return notSupported }
func (Unimplemented) MessageVerifyFinal(uint) RV                        { return notSupported }
