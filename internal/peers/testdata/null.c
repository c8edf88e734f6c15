// A PKCS#11 module that does nothing, as far as its users let it: they want to find a
// token with a key pair on P-256, and a signature that can be verified. Its one signature
// and its public key are in key.h, which the benchmark writes.

#include <stddef.h>
#include <string.h>

#include "key.h" // static const unsigned char point[67], signature[64]

typedef unsigned long ulong;
typedef unsigned char byte;

typedef struct {
	ulong type;
	void *value;
	ulong length;
} attribute;

enum { privateKey = 1, publicKey = 2 }; // handles

static ulong nothing(void) { return 0; }

static ulong put(void *out, ulong *room, const void *value, ulong n) {
	if (out && *room < n) {
		*room = ~0UL;
		return 0x150; // CKR_BUFFER_TOO_SMALL
	}
	if (out)
		memcpy(out, value, n);
	*room = n;
	return 0;
}

static ulong GetInfo(byte *info) {
	memset(info, ' ', 80);
	info[0] = 2;
	info[1] = 40;
	return 0;
}

static ulong GetSlotList(byte present, ulong *slots, ulong *n) {
	(void)present;
	if (slots)
		slots[0] = 1;
	*n = 1;
	return 0;
}

static ulong GetTokenInfo(ulong slot, byte *info) {
	static const ulong flags = 0x400, numbers[10]; // CKF_TOKEN_INITIALIZED, and no limits
	(void)slot;
	memset(info, ' ', 96);
	memcpy(info, "null", 4);
	memcpy(info + 96, &flags, sizeof flags);
	memcpy(info + 104, numbers, sizeof numbers);
	memset(info + 184, ' ', 24);
	return 0;
}

static ulong GetMechanismList(ulong slot, ulong *types, ulong *n) {
	(void)slot;
	if (types)
		types[0] = 0x1041; // CKM_ECDSA
	*n = 1;
	return 0;
}

static ulong OpenSession(ulong slot, ulong flags, void *application, void *notify, ulong *session) {
	static ulong last;
	(void)slot;
	(void)flags;
	(void)application;
	(void)notify;
	*session = __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
	return 0;
}

// There is one session in which somebody looks for something.
static ulong found;

static ulong FindObjectsInit(ulong session, attribute *a, ulong n) {
	(void)session;
	found = 0;
	for (ulong i = 0; i < n; i++)
		if (a[i].type == 0) { // CKA_CLASS
			ulong class = *(ulong *)a[i].value;
			found = class == 3 ? privateKey : class == 2 ? publicKey : 0;
		}
	return 0;
}

static ulong FindObjects(ulong session, ulong *objects, ulong max, ulong *n) {
	(void)session;
	*n = found && max;
	if (*n)
		objects[0] = found;
	found = 0;
	return 0;
}

static ulong GetAttributeValue(ulong session, ulong object, attribute *a, ulong n) {
	static const byte oid[] = {0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07};
	static const ulong ec = 3;
	ulong rv = 0, class = object == privateKey ? 3 : 2;
	(void)session;
	for (ulong i = 0; i < n; i++) {
		ulong one;
		switch (a[i].type) {
		case 0x000: // CKA_CLASS
			one = put(a[i].value, &a[i].length, &class, sizeof class);
			break;
		case 0x003: // CKA_LABEL
			one = put(a[i].value, &a[i].length, "key", 3);
			break;
		case 0x100: // CKA_KEY_TYPE
			one = put(a[i].value, &a[i].length, &ec, sizeof ec);
			break;
		case 0x102: // CKA_ID
			one = put(a[i].value, &a[i].length, "\x01", 1);
			break;
		case 0x180: // CKA_EC_PARAMS
			one = put(a[i].value, &a[i].length, oid, sizeof oid);
			break;
		case 0x181: // CKA_EC_POINT
			one = put(a[i].value, &a[i].length, point, sizeof point);
			break;
		default:
			a[i].length = ~0UL;
			one = 0x12; // CKR_ATTRIBUTE_TYPE_INVALID
		}
		if (one)
			rv = one;
	}
	return rv;
}

static ulong Sign(ulong session, const byte *in, ulong inlen, byte *out, ulong *n) {
	(void)session;
	(void)in;
	(void)inlen;
	return put(out, n, signature, sizeof signature);
}

static struct {
	byte major, minor;
	void *function[68];
} list = {2, 40, {NULL}};

ulong C_GetFunctionList(void **out) {
	for (int i = 0; i < 68; i++)
		list.function[i] = (void *)nothing;
	list.function[2] = (void *)GetInfo;
	list.function[3] = (void *)C_GetFunctionList;
	list.function[4] = (void *)GetSlotList;
	list.function[6] = (void *)GetTokenInfo;
	list.function[7] = (void *)GetMechanismList;
	list.function[12] = (void *)OpenSession;
	list.function[24] = (void *)GetAttributeValue;
	list.function[26] = (void *)FindObjectsInit;
	list.function[27] = (void *)FindObjects;
	list.function[43] = (void *)Sign;
	*out = &list;
	return 0;
}
