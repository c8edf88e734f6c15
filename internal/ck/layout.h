// The structures of PKCS#11 2.40 to 3.2 that the core passes, and assertions about
// their layout. Nothing of the C library is needed, so that the layout of other
// platforms can be checked without having their headers.
//
// On Windows CK_ULONG has 4 bytes and structures are not padded. CK_LLP64 and
// CK_PACKED give the same layout elsewhere, for tests.

#include <stddef.h>
#include <stdint.h>

#include "zfunctions.h"

#if defined _WIN32
#define CK_PACKED
#endif

typedef unsigned char ck_byte; // CK_BYTE, CK_BBOOL, CK_UTF8CHAR
#if defined CK_LLP64
typedef unsigned int ck_ulong;
#else
typedef unsigned long ck_ulong; // CK_ULONG and every handle, type and flag
#endif

#if defined CK_PACKED
#pragma pack(push, 1)
#endif

typedef struct {
	ck_ulong type;
	void *value;
	ck_ulong length;
} ck_attribute; // CK_ATTRIBUTE

typedef struct {
	ck_ulong type;
	void *parameter;
	ck_ulong length;
} ck_mechanism; // CK_MECHANISM

typedef struct {
	ck_ulong slot, state, flags, error;
} ck_session_info; // CK_SESSION_INFO

typedef struct {
	ck_byte *name;
	void *list;
	ck_ulong flags;
} ck_interface; // CK_INTERFACE

typedef struct {
	ck_byte major, minor;
} ck_version; // CK_VERSION

typedef struct {
	ck_version version;
	void (*function[CK_FUNCTIONS_3_2])(void); // older lists are shorter
} ck_list; // CK_FUNCTION_LIST, CK_FUNCTION_LIST_3_0, CK_FUNCTION_LIST_3_2

// Parameters of mechanisms.

typedef struct {
	ck_ulong hash, mgf, salt;
} ck_pss; // CK_RSA_PKCS_PSS_PARAMS

typedef struct {
	ck_ulong hash, mgf, source;
	void *data;
	ck_ulong length;
} ck_oaep; // CK_RSA_PKCS_OAEP_PARAMS

typedef struct {
	ck_ulong bits;
	ck_oaep *oaep;
} ck_rsa_aes; // CK_RSA_AES_KEY_WRAP_PARAMS

typedef struct {
	ck_ulong kdf, sharedlen;
	ck_byte *shared;
	ck_ulong publiclen;
	ck_byte *public;
} ck_ecdh1; // CK_ECDH1_DERIVE_PARAMS

typedef struct {
	ck_byte *iv;
	ck_ulong ivlen, ivbits;
	ck_byte *aad;
	ck_ulong aadlen, tagbits;
} ck_gcm; // CK_GCM_PARAMS

typedef struct {
	ck_ulong datalen;
	ck_byte *nonce;
	ck_ulong noncelen;
	ck_byte *aad;
	ck_ulong aadlen, maclen;
} ck_ccm; // CK_CCM_PARAMS

typedef struct {
	ck_byte *nonce;
	ck_ulong noncelen;
	ck_byte *aad;
	ck_ulong aadlen;
} ck_chacha; // CK_SALSA20_CHACHA20_POLY1305_PARAMS

typedef struct {
	ck_ulong bits;
	ck_byte block[16];
} ck_ctr; // CK_AES_CTR_PARAMS

typedef struct {
	ck_byte extract, expand;
	ck_ulong prf, salttype;
	ck_byte *salt;
	ck_ulong saltlen, saltkey;
	ck_byte *info;
	ck_ulong infolen;
} ck_hkdf; // CK_HKDF_PARAMS

typedef struct {
	ck_ulong source;
	void *salt;
	ck_ulong saltlen, iterations, prf;
	void *prfdata;
	ck_ulong prfdatalen;
	ck_byte *password;
	ck_ulong passwordlen;
} ck_pbkdf2; // CK_PKCS5_PBKD2_PARAMS2

typedef struct {
	ck_ulong source;
	void *salt;
	ck_ulong saltlen, iterations, prf;
	void *prfdata;
	ck_ulong prfdatalen;
	ck_byte *password;
	ck_ulong *passwordlen;
} ck_pbkdf2_pointer; // CK_PKCS5_PBKD2_PARAMS

typedef struct {
	ck_byte prehash;
	ck_ulong contextlen;
	ck_byte *context;
} ck_eddsa; // CK_EDDSA_PARAMS

typedef struct {
	ck_ulong hedge;
	ck_byte *context;
	ck_ulong contextlen;
} ck_context; // CK_SIGN_ADDITIONAL_CONTEXT

typedef struct {
	ck_ulong hedge;
	ck_byte *context;
	ck_ulong contextlen, hash;
} ck_hash_context; // CK_HASH_SIGN_ADDITIONAL_CONTEXT

typedef struct {
	ck_byte *data;
	ck_ulong length;
} ck_string; // CK_KEY_DERIVATION_STRING_DATA

typedef struct {
	ck_byte iv[16];
	ck_byte *data;
	ck_ulong length;
} ck_cbc_data; // CK_AES_CBC_ENCRYPT_DATA_PARAMS

typedef struct {
	ck_byte *iv;
	ck_ulong ivlen, fixedbits, generator;
	ck_byte *tag;
	ck_ulong tagbits;
} ck_gcm_message; // CK_GCM_MESSAGE_PARAMS

typedef struct {
	ck_ulong datalen;
	ck_byte *nonce;
	ck_ulong noncelen, fixedbits, generator;
	ck_byte *mac;
	ck_ulong maclen;
} ck_ccm_message; // CK_CCM_MESSAGE_PARAMS

typedef struct {
	ck_byte *nonce;
	ck_ulong noncelen;
	ck_byte *tag;
} ck_chacha_message; // CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS

#if defined CK_PACKED
#pragma pack(pop)
#endif

// CK_LAYOUT says what a structure consists of: single bytes at its head, numbers and
// pointers. Where it is not packed, numbers are as long as pointers, and the bytes
// are filled up to the length of one.
#if defined CK_PACKED
#define CK_HEAD(bytes) (bytes)
#else
_Static_assert(sizeof(ck_ulong) == sizeof(void *), "CK_ULONG is as long as a pointer");
#define CK_HEAD(bytes) (((bytes) + sizeof(ck_ulong) - 1) / sizeof(ck_ulong) * sizeof(ck_ulong))
#endif
#define CK_LAYOUT(type, bytes, numbers, pointers) \
	_Static_assert(sizeof(type) == CK_HEAD(bytes) + (numbers) * sizeof(ck_ulong) + (pointers) * sizeof(void *), #type)

CK_LAYOUT(ck_attribute, 0, 2, 1);
CK_LAYOUT(ck_mechanism, 0, 2, 1);
CK_LAYOUT(ck_session_info, 0, 4, 0);
CK_LAYOUT(ck_interface, 0, 1, 2);
CK_LAYOUT(ck_list, 2, 0, CK_FUNCTIONS_3_2);
CK_LAYOUT(ck_pss, 0, 3, 0);
CK_LAYOUT(ck_oaep, 0, 4, 1);
CK_LAYOUT(ck_rsa_aes, 0, 1, 1);
CK_LAYOUT(ck_ecdh1, 0, 3, 2);
CK_LAYOUT(ck_gcm, 0, 4, 2);
CK_LAYOUT(ck_ccm, 0, 4, 2);
CK_LAYOUT(ck_chacha, 0, 2, 2);
CK_LAYOUT(ck_ctr, 16, 1, 0);
CK_LAYOUT(ck_hkdf, 2, 5, 2);
CK_LAYOUT(ck_pbkdf2, 0, 6, 3);
CK_LAYOUT(ck_pbkdf2_pointer, 0, 5, 4);
CK_LAYOUT(ck_eddsa, 1, 1, 1);
CK_LAYOUT(ck_context, 0, 2, 1);
CK_LAYOUT(ck_hash_context, 0, 3, 1);
CK_LAYOUT(ck_string, 0, 1, 1);
CK_LAYOUT(ck_cbc_data, 16, 1, 1);
CK_LAYOUT(ck_gcm_message, 0, 4, 2);
CK_LAYOUT(ck_ccm_message, 0, 5, 2);
CK_LAYOUT(ck_chacha_message, 0, 1, 2);
_Static_assert(sizeof(ck_version) == 2, "ck_version");
_Static_assert(offsetof(ck_list, function) == CK_HEAD(2), "ck_list");
_Static_assert(offsetof(ck_hkdf, prf) == CK_HEAD(2), "ck_hkdf");
_Static_assert(offsetof(ck_eddsa, contextlen) == CK_HEAD(1), "ck_eddsa");
_Static_assert(sizeof(ck_byte) == 1 && (ck_ulong)-1 > 0, "ck_byte, ck_ulong");
#if defined _WIN32 || defined CK_LLP64
_Static_assert(sizeof(ck_ulong) == 4, "CK_ULONG of Windows");
#endif
