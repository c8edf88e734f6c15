// The least of PKCS#11 that the floor needs. Its structures are not packed, as on all
// systems but Windows.

typedef unsigned long ck_ulong;
typedef unsigned char ck_byte;

typedef struct {
	ck_ulong type;
	void *value;
	ck_ulong length;
} ck_attribute;

typedef struct {
	ck_ulong type;
	void *parameter;
	ck_ulong length;
} ck_mechanism;

typedef struct {
	ck_byte *iv;
	ck_ulong ivlen, fixedbits, generator;
	ck_byte *tag;
	ck_ulong tagbits;
} ck_gcm_message;

// ck_list is the beginning of CK_FUNCTION_LIST_3_0, with what is called here.
typedef struct {
	ck_byte major, minor;
	void *before_get[24];
	ck_ulong (*GetAttributeValue)(ck_ulong, ck_ulong, ck_attribute *, ck_ulong);
	void *SetAttributeValue;
	ck_ulong (*FindObjectsInit)(ck_ulong, ck_attribute *, ck_ulong);
	ck_ulong (*FindObjects)(ck_ulong, ck_ulong *, ck_ulong, ck_ulong *);
	ck_ulong (*FindObjectsFinal)(ck_ulong);
	ck_ulong (*EncryptInit)(ck_ulong, ck_mechanism *, ck_ulong);
	void *Encrypt;
	ck_ulong (*EncryptUpdate)(ck_ulong, ck_byte *, ck_ulong, ck_byte *, ck_ulong *);
	ck_ulong (*EncryptFinal)(ck_ulong, ck_byte *, ck_ulong *);
	void *before_sign[9];
	ck_ulong (*SignInit)(ck_ulong, ck_mechanism *, ck_ulong);
	ck_ulong (*Sign)(ck_ulong, ck_byte *, ck_ulong, ck_byte *, ck_ulong *);
	void *before_message[28];
	ck_ulong (*MessageEncryptInit)(ck_ulong, ck_mechanism *, ck_ulong); // 3.0
	ck_ulong (*EncryptMessage)(ck_ulong, void *, ck_ulong, ck_byte *, ck_ulong, ck_byte *, ck_ulong, ck_byte *, ck_ulong *);
	void *EncryptMessageBegin, *EncryptMessageNext;
	ck_ulong (*MessageEncryptFinal)(ck_ulong);
} ck_list;

// floor_load returns the function list of C_GetFunctionList, and in newer that of PKCS#11
// 3.0 where there is one.
ck_list *floor_load(const char *path, ck_list **newer);

// Each does its work n times. It returns CKR_OK or what failed.
ck_ulong floor_sign(ck_list *l, ck_ulong session, ck_ulong mechanism, ck_ulong key, ck_byte *in, ck_ulong inlen, ck_byte *out, ck_ulong outlen, int n);
ck_ulong floor_attributes(ck_list *l, ck_ulong session, ck_ulong object, ck_ulong *types, ck_ulong *rooms, ck_ulong count, ck_byte *buf, int n);
ck_ulong floor_objects(ck_list *l, ck_ulong session, ck_ulong class, ck_ulong *types, ck_ulong *rooms, ck_ulong count, ck_ulong *objects, ck_ulong max, ck_byte *buf, ck_ulong *found, int n);
ck_ulong floor_encrypt(ck_list *l, ck_ulong session, ck_ulong mechanism, ck_byte *iv, ck_ulong ivlen, ck_ulong key, ck_byte *in, ck_ulong inlen, ck_ulong piece, ck_byte *out, ck_ulong outlen, int n);
ck_ulong floor_messages(ck_list *l, ck_ulong session, ck_ulong key, ck_byte *iv, ck_byte *tag, ck_byte *aad, ck_ulong aadlen, ck_byte *in, ck_ulong inlen, ck_byte *out, int n);

// floor_threads signs n times in each of several threads with a session each, and returns
// the nanoseconds from when all were ready until the last had ended, or 0 when something
// failed.
ck_ulong floor_threads(ck_list *l, ck_ulong *sessions, ck_ulong threads, ck_ulong mechanism, ck_ulong key, ck_byte *in, ck_ulong inlen, int n);
