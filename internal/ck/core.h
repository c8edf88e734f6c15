// The small C core of package ck: it calls a PKCS#11 function list with what Go
// gives it in flat buffers, one crossing an operation. Nothing is allocated on
// the C heap, and only pointers to the caller's buffers lie on the C stack.
//
// Functions of one form share one function here, with the place of what to call as an
// argument. An empty place in the list is CKR_FUNCTION_NOT_SUPPORTED.

#include "layout.h"

enum {
	ck_ok = 0,
	ck_arguments_bad = 0x7,
	ck_function_failed = 0x6,
	ck_function_not_supported = 0x54,
	ck_buffer_too_small = 0x150,
	ck_max_attributes = 64,
	ck_context_specific = 2, // CKU_CONTEXT_SPECIFIC
	ck_dont_block = 1,       // CKF_DONT_BLOCK
};

// A ck_module is a ck_list. cgo takes it for a byte, and so does not look for Go's
// pointers among its pointers to functions, or behind a type that it does not know: at
// each call that takes 2 ns.
typedef unsigned char ck_module;

#define CK_CALL(module, place, types, args) \
	(((ck_list *)(module))->function[place] \
			? ((ck_ulong(*) types)((ck_list *)(module))->function[place]) args \
			: (ck_ulong)ck_function_not_supported)

// Mirrors of Go's types: no pointers in them, and Go's uint, which is longer than
// CK_ULONG on 64-bit Windows.
typedef uintptr_t ck_uint;

typedef struct {
	ck_uint type, offset, length, room, children;
} ck_item; // item: one attribute of a Template

typedef struct {
	ck_uint type, kind, a, b, c, d, length, length2, login, pinlen;
} ck_mech; // a Mechanism without its data

typedef struct {
	ck_uint rv, n, step;
} ck_result; // Result

typedef struct {
	ck_uint rv, one, two, step;
} ck_pair; // two handles, or a handle and a length

// ck_wide keeps CK_UNAVAILABLE_INFORMATION what it is: all ones.
static inline ck_uint ck_wide(ck_ulong x) { return x == (ck_ulong)-1 ? (ck_uint)-1 : x; }

// CK_SOME gives empty data an address: some modules refuse NULL, and others end an
// operation when the place for its output is NULL.
#define CK_SOME(p) ((p) ? (p) : &(ck_byte){0})

// ck_template points the attributes a at the values in buf. The items after one with
// children are the attributes in its value: they are put at the end of a. top is the
// number of the others.
static int ck_template(ck_attribute *a, ck_ulong *top, const ck_item *items, ck_uint n, ck_byte *buf) {
	ck_uint outer = 0, inner = ck_max_attributes;
	if (n > ck_max_attributes)
		return 0;
	for (ck_uint i = 0; i < n; i++) {
		ck_uint children = items[i].children;
		a[outer].type = (ck_ulong)items[i].type;
		a[outer].value = items[i].room ? buf + items[i].offset : NULL;
		a[outer].length = (ck_ulong)items[i].length;
		if (children) {
			if (children > n - 1 - i)
				return 0;
			inner -= children; // no more than n in all, so that the two never meet
			a[outer].value = &a[inner];
			a[outer].length = (ck_ulong)(children * sizeof *a);
			for (ck_uint j = 0; j < children; j++) {
				const ck_item *c = &items[++i];
				if (c->children)
					return 0;
				a[inner + j].type = (ck_ulong)c->type;
				a[inner + j].value = c->room ? buf + c->offset : NULL;
				a[inner + j].length = (ck_ulong)c->length;
			}
		}
		outer++;
	}
	*top = (ck_ulong)outer;
	return 1;
}

// ck_answers brings back what the module said about the attributes that it was asked.
static void ck_answers(const ck_attribute *a, ck_item *items, ck_uint n) {
	ck_uint outer = 0, inner = ck_max_attributes;
	for (ck_uint i = 0; i < n; i++) {
		ck_uint children = items[i].children;
		items[i].length = ck_wide(a[outer++].length);
		inner -= children;
		for (ck_uint j = 0; j < children; j++) {
			items[++i].type = ck_wide(a[inner + j].type);
			items[i].length = ck_wide(a[inner + j].length);
		}
	}
}

enum {
	ck_mech_plain,
	ck_mech_ulong,
	ck_mech_pss,
	ck_mech_oaep,
	ck_mech_rsa_aes,
	ck_mech_ecdh1,
	ck_mech_gcm,
	ck_mech_ccm,
	ck_mech_chacha,
	ck_mech_ctr,
	ck_mech_hkdf,
	ck_mech_pbkdf2,
	ck_mech_pbkdf2_pointer,
	ck_mech_eddsa,
	ck_mech_context,
	ck_mech_hash_context,
	ck_mech_string,
	ck_mech_cbc_data,
	ck_mech_gcm_message,
	ck_mech_ccm_message,
	ck_mech_chacha_message,
	ck_mech_kinds,
};

typedef union {
	ck_ulong number;
	ck_pss pss;
	ck_oaep oaep;
	struct {
		ck_rsa_aes outer;
		ck_oaep oaep;
	} rsa;
	ck_ecdh1 ecdh1;
	ck_gcm gcm;
	ck_ccm ccm;
	ck_chacha chacha;
	ck_ctr ctr;
	ck_hkdf hkdf;
	ck_pbkdf2 pbkdf2;
	struct {
		ck_pbkdf2_pointer outer;
		ck_ulong passwordlen;
	} pbkdf2_pointer;
	ck_eddsa eddsa;
	ck_context context;
	ck_hash_context hash_context;
	ck_string string;
	ck_cbc_data cbc_data;
	ck_gcm_message gcm_message;
	ck_ccm_message ccm_message;
	ck_chacha_message chacha_message;
} ck_parameter;

// ck_prepare builds a mechanism. data and data2 are the caller's, who gets what a
// module writes there: nonces and tags that it makes.
static void ck_prepare(ck_mechanism *m, ck_parameter *p, const ck_mech *in, ck_byte *data, ck_byte *data2) {
	ck_ulong a = (ck_ulong)in->a, b = (ck_ulong)in->b, c = (ck_ulong)in->c, d = (ck_ulong)in->d;
	ck_ulong n = (ck_ulong)in->length, n2 = (ck_ulong)in->length2;
	if (!n)
		data = NULL;
	if (!n2)
		data2 = NULL;
	m->type = (ck_ulong)in->type;
	m->parameter = p;
	switch (in->kind) {
	default:
		m->parameter = data;
		m->length = n;
		return;
#define CK_SET(kind, member, ...) \
	case ck_mech_##kind: \
		p->member = (__typeof__(p->member))__VA_ARGS__; \
		m->length = sizeof p->member; \
		return
		CK_SET(ulong, number, (a));
		CK_SET(pss, pss, {.hash = a, .mgf = b, .salt = c});
		CK_SET(oaep, oaep, {.hash = a, .mgf = b, .source = c, .data = data, .length = n});
		CK_SET(ecdh1, ecdh1, {.kdf = a, .public = data, .publiclen = n, .shared = data2, .sharedlen = n2});
		CK_SET(gcm, gcm, {.iv = data, .ivlen = n, .ivbits = a, .tagbits = b, .aad = data2, .aadlen = n2});
		CK_SET(ccm, ccm, {.datalen = a, .maclen = b, .nonce = data, .noncelen = n, .aad = data2, .aadlen = n2});
		CK_SET(chacha, chacha, {.nonce = data, .noncelen = n, .aad = data2, .aadlen = n2});
		CK_SET(hkdf, hkdf, {.extract = a & 1, .expand = a >> 1 & 1, .prf = b, .salttype = c, .saltkey = d, .salt = data, .saltlen = n, .info = data2, .infolen = n2});
		CK_SET(pbkdf2, pbkdf2, {.source = c, .iterations = a, .prf = b, .salt = data, .saltlen = n, .password = data2, .passwordlen = n2});
		CK_SET(eddsa, eddsa, {.prehash = a != 0, .context = data, .contextlen = n});
		CK_SET(context, context, {.hedge = a, .context = data, .contextlen = n});
		CK_SET(hash_context, hash_context, {.hedge = a, .hash = b, .context = data, .contextlen = n});
		CK_SET(string, string, {.data = data, .length = n});
		CK_SET(gcm_message, gcm_message, {.iv = data, .ivlen = n, .fixedbits = a, .generator = b, .tag = data2, .tagbits = 8 * n2});
		CK_SET(ccm_message, ccm_message, {.datalen = c, .nonce = data, .noncelen = n, .fixedbits = a, .generator = b, .mac = data2, .maclen = n2});
		CK_SET(chacha_message, chacha_message, {.nonce = data, .noncelen = n, .tag = data2});
#undef CK_SET
	case ck_mech_rsa_aes:
		p->rsa.oaep = (ck_oaep){.hash = a, .mgf = b, .source = c, .data = data, .length = n};
		p->rsa.outer = (ck_rsa_aes){.bits = d, .oaep = &p->rsa.oaep};
		m->length = sizeof p->rsa.outer;
		return;
	case ck_mech_pbkdf2_pointer:
		p->pbkdf2_pointer.passwordlen = n2;
		p->pbkdf2_pointer.outer = (ck_pbkdf2_pointer){.source = c, .iterations = a, .prf = b, .salt = data, .saltlen = n, .password = data2,
			.passwordlen = &p->pbkdf2_pointer.passwordlen};
		m->length = sizeof p->pbkdf2_pointer.outer;
		return;
	case ck_mech_ctr:
		p->ctr = (ck_ctr){.bits = a};
		for (ck_ulong i = 0; i < n && i < sizeof p->ctr.block; i++)
			p->ctr.block[i] = data[i];
		m->length = sizeof p->ctr;
		return;
	case ck_mech_cbc_data:
		p->cbc_data = (ck_cbc_data){.data = data2, .length = n2};
		for (ck_ulong i = 0; i < n && i < sizeof p->cbc_data.iv; i++)
			p->cbc_data.iv[i] = data[i];
		m->length = sizeof p->cbc_data;
		return;
	}
}

static ck_uint ck_login(ck_module *l, ck_uint session, ck_uint user, ck_byte *pin, ck_uint n) {
	return CK_CALL(l, CK_C_Login, (ck_ulong, ck_ulong, ck_byte *, ck_ulong), (session, user, pin, n));
}

static ck_uint ck_login_user(ck_module *l, ck_uint session, ck_uint user, ck_byte *pin, ck_uint n, ck_byte *name, ck_uint namelen) {
	return CK_CALL(l, CK_C_LoginUser, (ck_ulong, ck_ulong, ck_byte *, ck_ulong, ck_byte *, ck_ulong), (session, user, pin, n, name, namelen));
}

static ck_uint ck_init_token(ck_module *l, ck_uint slot, ck_byte *pin, ck_uint n, ck_byte *label) {
	return CK_CALL(l, CK_C_InitToken, (ck_ulong, ck_byte *, ck_ulong, ck_byte *), (slot, pin, n, label));
}

static ck_uint ck_set_pin(ck_module *l, ck_uint session, ck_byte *old, ck_uint oldlen, ck_byte *new, ck_uint newlen) {
	return CK_CALL(l, CK_C_SetPIN, (ck_ulong, ck_byte *, ck_ulong, ck_byte *, ck_ulong), (session, old, oldlen, new, newlen));
}

// ck_session calls what takes a session alone, ck_session_number what takes a number
// besides, and ck_session_data what takes data.
static ck_uint ck_session(ck_module *l, ck_uint place, ck_uint session) {
	return CK_CALL(l, place, (ck_ulong), (session));
}

static ck_uint ck_session_number(ck_module *l, ck_uint place, ck_uint session, ck_uint number) {
	return CK_CALL(l, place, (ck_ulong, ck_ulong), (session, number));
}

static ck_uint ck_session_data(ck_module *l, ck_uint place, ck_uint session, ck_byte *data, ck_uint n) {
	return CK_CALL(l, place, (ck_ulong, ck_byte *, ck_ulong), (session, data, n));
}

typedef struct {
	ck_uint rv, slot, state, flags, error;
} ck_about; // a SessionInfo

static ck_about ck_get_session_info(ck_module *l, ck_uint session) {
	ck_session_info i = {0, 0, 0, 0};
	ck_ulong rv = CK_CALL(l, CK_C_GetSessionInfo, (ck_ulong, ck_session_info *), (session, &i));
	return (ck_about){rv, i.slot, i.state, i.flags, i.error};
}

// ck_list_of does C_GetSlotList and C_GetMechanismList into out, which has room for max. With
// CKR_BUFFER_TOO_SMALL n is how many there are. which is tokenPresent or the slot. The number
// is asked for first: that is when a module looks at its slots, and NSS writes all its
// mechanisms, however few there is room for.
static ck_result ck_list_of(ck_module *l, ck_uint place, ck_uint which, ck_uint *out, ck_uint max) {
	ck_ulong some[256], count = max < 256 ? (ck_ulong)max : 256;
	ck_ulong *to = some;
	ck_result r = {0, 0, place};
#if !defined _WIN64
	to = (ck_ulong *)out;
	count = max;
#endif
	for (int pass = 0; pass < 2; pass++) {
		ck_ulong n = pass ? count : 0, *list = pass ? to : NULL;
		if (place == CK_C_GetSlotList)
			r.rv = CK_CALL(l, place, (ck_byte, ck_ulong *, ck_ulong *), (which != 0, list, &n));
		else
			r.rv = CK_CALL(l, place, (ck_ulong, ck_ulong *, ck_ulong *), ((ck_ulong)which, list, &n));
		r.n = n;
		if (r.rv == ck_ok && !pass && n > count)
			r.rv = ck_buffer_too_small;
		if (r.rv != ck_ok)
			return r;
	}
	if (r.n > count)
		r.rv = ck_function_failed;
#if defined _WIN64
	for (ck_uint i = 0; r.rv == ck_ok && i < r.n; i++)
		out[i] = ck_wide(some[i]);
#endif
	return r;
}

static ck_pair ck_wait_for_slot_event(ck_module *l) {
	ck_ulong slot = 0;
	ck_ulong rv = CK_CALL(l, CK_C_WaitForSlotEvent, (ck_ulong, ck_ulong *, void *), (ck_dont_block, &slot, NULL));
	return (ck_pair){rv, slot, 0, CK_C_WaitForSlotEvent};
}

// ck_find does a whole search: it leaves no search active in the session.
static ck_result ck_find(ck_module *l, ck_uint session, ck_item *items, ck_uint n, ck_byte *buf, ck_uint *objects, ck_uint max) {
	ck_attribute a[ck_max_attributes];
	ck_ulong top;
	ck_result r = {ck_arguments_bad, 0, CK_C_FindObjectsInit};
	if (!ck_template(a, &top, items, n, buf))
		return r;
	r.rv = CK_CALL(l, CK_C_FindObjectsInit, (ck_ulong, ck_attribute *, ck_ulong), (session, top ? a : NULL, top));
	if (r.rv != ck_ok)
		return r;
	r.step = CK_C_FindObjects;
	while (r.n < max) {
		ck_ulong got = 0;
#if defined _WIN64
		ck_ulong room = max - r.n < 64 ? (ck_ulong)(max - r.n) : 64, some[64], *to = some;
#else
		ck_ulong room = (ck_ulong)(max - r.n), *to = (ck_ulong *)(objects + r.n);
#endif
		r.rv = CK_CALL(l, CK_C_FindObjects, (ck_ulong, ck_ulong *, ck_ulong, ck_ulong *), (session, to, room, &got));
		if (r.rv != ck_ok || got == 0)
			break;
		if (got > room) {
			r.rv = ck_function_failed;
			break;
		}
#if defined _WIN64
		for (ck_ulong i = 0; i < got; i++)
			objects[r.n + i] = some[i];
#endif
		r.n += got;
	}
	ck_ulong final = CK_CALL(l, CK_C_FindObjectsFinal, (ck_ulong), (session));
	if (r.rv == ck_ok && final != ck_ok) {
		r.rv = final;
		r.step = CK_C_FindObjectsFinal;
	}
	return r;
}

// ck_get_attributes sets length of each item to what the module said.
static ck_uint ck_get_attributes(ck_module *l, ck_uint session, ck_uint object, ck_item *items, ck_uint n, ck_byte *buf) {
	ck_attribute a[ck_max_attributes];
	ck_ulong top;
	if (n == 0 || !ck_template(a, &top, items, n, buf))
		return ck_arguments_bad;
	ck_ulong rv = CK_CALL(l, CK_C_GetAttributeValue, (ck_ulong, ck_ulong, ck_attribute *, ck_ulong), (session, object, a, top));
	ck_answers(a, items, n);
	return rv;
}

// ck_get_rows asks each of count objects the same. The values of object i are stride
// bytes further on in buf than those of the one before; lengths has n of them, rvs one.
static ck_uint ck_get_rows(ck_module *l, ck_uint session, const ck_uint *objects, ck_uint count,
		const ck_item *items, ck_uint n, ck_byte *buf, ck_uint stride, ck_uint *lengths, ck_uint *rvs) {
	ck_attribute a[ck_max_attributes];
	ck_ulong top;
	for (ck_uint i = 0; i < count; i++, buf += stride) {
		if (n == 0 || !ck_template(a, &top, items, n, buf) || top != n)
			return ck_arguments_bad;
		rvs[i] = CK_CALL(l, CK_C_GetAttributeValue, (ck_ulong, ck_ulong, ck_attribute *, ck_ulong), (session, objects[i], a, top));
		for (ck_uint j = 0; j < n; j++)
			*lengths++ = ck_wide(a[j].length);
	}
	return ck_ok;
}

static ck_uint ck_set_attributes(ck_module *l, ck_uint session, ck_uint object, ck_item *items, ck_uint n, ck_byte *buf) {
	ck_attribute a[ck_max_attributes];
	ck_ulong top;
	if (n == 0 || !ck_template(a, &top, items, n, buf))
		return ck_arguments_bad;
	return CK_CALL(l, CK_C_SetAttributeValue, (ck_ulong, ck_ulong, ck_attribute *, ck_ulong), (session, object, a, top));
}

static ck_result ck_create(ck_module *l, ck_uint session, ck_item *items, ck_uint n, ck_byte *buf) {
	ck_attribute a[ck_max_attributes];
	ck_ulong top, object = 0;
	if (!ck_template(a, &top, items, n, buf))
		return (ck_result){ck_arguments_bad, 0, CK_C_CreateObject};
	ck_ulong rv = CK_CALL(l, CK_C_CreateObject, (ck_ulong, ck_attribute *, ck_ulong, ck_ulong *), (session, a, top, &object));
	return (ck_result){rv, object, CK_C_CreateObject};
}

static ck_result ck_copy(ck_module *l, ck_uint session, ck_uint from, ck_item *items, ck_uint n, ck_byte *buf) {
	ck_attribute a[ck_max_attributes];
	ck_ulong top, object = 0;
	if (!ck_template(a, &top, items, n, buf))
		return (ck_result){ck_arguments_bad, 0, CK_C_CopyObject};
	ck_ulong rv = CK_CALL(l, CK_C_CopyObject, (ck_ulong, ck_ulong, ck_attribute *, ck_ulong, ck_ulong *), (session, from, a, top, &object));
	return (ck_result){rv, object, CK_C_CopyObject};
}

static ck_result ck_object_size(ck_module *l, ck_uint session, ck_uint object) {
	ck_ulong n = 0;
	ck_ulong rv = CK_CALL(l, CK_C_GetObjectSize, (ck_ulong, ck_ulong, ck_ulong *), (session, object, &n));
	return (ck_result){rv, ck_wide(n), CK_C_GetObjectSize};
}

static ck_result ck_generate(ck_module *l, ck_uint session, const ck_mech *mech, ck_byte *data, ck_byte *data2, ck_item *items, ck_uint n, ck_byte *buf) {
	ck_attribute a[ck_max_attributes];
	ck_ulong top, key = 0;
	ck_mechanism m;
	ck_parameter p;
	if (!ck_template(a, &top, items, n, buf))
		return (ck_result){ck_arguments_bad, 0, CK_C_GenerateKey};
	ck_prepare(&m, &p, mech, data, data2);
	ck_ulong rv = CK_CALL(l, CK_C_GenerateKey, (ck_ulong, ck_mechanism *, ck_attribute *, ck_ulong, ck_ulong *), (session, &m, a, top, &key));
	return (ck_result){rv, key, CK_C_GenerateKey};
}

static ck_pair ck_generate_pair(ck_module *l, ck_uint session, const ck_mech *mech, ck_byte *data, ck_byte *data2,
		ck_item *pub, ck_uint npub, ck_byte *pubbuf, ck_item *priv, ck_uint npriv, ck_byte *privbuf) {
	ck_attribute a[ck_max_attributes], b[ck_max_attributes];
	ck_ulong atop, btop, public = 0, private = 0;
	ck_mechanism m;
	ck_parameter p;
	if (!ck_template(a, &atop, pub, npub, pubbuf) || !ck_template(b, &btop, priv, npriv, privbuf))
		return (ck_pair){ck_arguments_bad, 0, 0, CK_C_GenerateKeyPair};
	ck_prepare(&m, &p, mech, data, data2);
	ck_ulong rv = CK_CALL(l, CK_C_GenerateKeyPair, (ck_ulong, ck_mechanism *, ck_attribute *, ck_ulong, ck_attribute *, ck_ulong, ck_ulong *, ck_ulong *),
		(session, &m, a, atop, b, btop, &public, &private));
	return (ck_pair){rv, public, private, CK_C_GenerateKeyPair};
}

static ck_result ck_derive(ck_module *l, ck_uint session, const ck_mech *mech, ck_byte *data, ck_byte *data2, ck_uint base, ck_item *items, ck_uint n, ck_byte *buf) {
	ck_attribute a[ck_max_attributes];
	ck_ulong top, key = 0;
	ck_mechanism m;
	ck_parameter p;
	if (!ck_template(a, &top, items, n, buf))
		return (ck_result){ck_arguments_bad, 0, CK_C_DeriveKey};
	ck_prepare(&m, &p, mech, data, data2);
	ck_ulong rv = CK_CALL(l, CK_C_DeriveKey, (ck_ulong, ck_mechanism *, ck_ulong, ck_attribute *, ck_ulong, ck_ulong *), (session, &m, base, a, top, &key));
	return (ck_result){rv, key, CK_C_DeriveKey};
}

static ck_result ck_wrap(ck_module *l, ck_uint session, const ck_mech *mech, ck_byte *data, ck_byte *data2, ck_uint by, ck_uint key, ck_byte *out, ck_uint outlen) {
	ck_mechanism m;
	ck_parameter p;
	ck_ulong n = (ck_ulong)outlen;
	ck_prepare(&m, &p, mech, data, data2);
	ck_ulong rv = CK_CALL(l, CK_C_WrapKey, (ck_ulong, ck_mechanism *, ck_ulong, ck_ulong, ck_byte *, ck_ulong *), (session, &m, by, key, CK_SOME(out), &n));
	return (ck_result){rv, ck_wide(n), CK_C_WrapKey};
}

// ck_unwrap is C_UnwrapKey and C_DecapsulateKey: both make a key of the bytes in.
static ck_result ck_unwrap(ck_module *l, ck_uint place, ck_uint session, const ck_mech *mech, ck_byte *data, ck_byte *data2, ck_uint by,
		ck_byte *in, ck_uint inlen, ck_item *items, ck_uint n, ck_byte *buf) {
	ck_attribute a[ck_max_attributes];
	ck_ulong top, key = 0, rv;
	ck_mechanism m;
	ck_parameter p;
	if (!ck_template(a, &top, items, n, buf))
		return (ck_result){ck_arguments_bad, 0, place};
	ck_prepare(&m, &p, mech, data, data2);
	if (place == CK_C_UnwrapKey)
		rv = CK_CALL(l, place, (ck_ulong, ck_mechanism *, ck_ulong, ck_byte *, ck_ulong, ck_attribute *, ck_ulong, ck_ulong *),
			(session, &m, by, CK_SOME(in), inlen, a, top, &key));
	else
		rv = CK_CALL(l, place, (ck_ulong, ck_mechanism *, ck_ulong, ck_attribute *, ck_ulong, ck_byte *, ck_ulong, ck_ulong *),
			(session, &m, by, a, top, CK_SOME(in), inlen, &key));
	return (ck_result){rv, key, place};
}

static ck_pair ck_encapsulate(ck_module *l, ck_uint session, const ck_mech *mech, ck_byte *data, ck_byte *data2, ck_uint by,
		ck_item *items, ck_uint n, ck_byte *buf, ck_byte *out, ck_uint outlen) {
	ck_attribute a[ck_max_attributes];
	ck_ulong top, key = 0, len = (ck_ulong)outlen;
	ck_mechanism m;
	ck_parameter p;
	if (!ck_template(a, &top, items, n, buf))
		return (ck_pair){ck_arguments_bad, 0, 0, CK_C_EncapsulateKey};
	ck_prepare(&m, &p, mech, data, data2);
	ck_ulong rv = CK_CALL(l, CK_C_EncapsulateKey, (ck_ulong, ck_mechanism *, ck_ulong, ck_attribute *, ck_ulong, ck_byte *, ck_ulong *, ck_ulong *),
		(session, &m, by, a, top, CK_SOME(out), &len, &key));
	return (ck_pair){rv, key, ck_wide(len), CK_C_EncapsulateKey};
}

// ck_init begins an operation with a key.
static ck_uint ck_init(ck_module *l, ck_uint place, ck_uint session, const ck_mech *mech, ck_byte *data, ck_byte *data2, ck_uint key) {
	ck_mechanism m;
	ck_parameter p;
	ck_prepare(&m, &p, mech, data, data2);
	return CK_CALL(l, place, (ck_ulong, ck_mechanism *, ck_ulong), (session, &m, key));
}

static ck_uint ck_digest_init(ck_module *l, ck_uint session, const ck_mech *mech, ck_byte *data, ck_byte *data2) {
	ck_mechanism m;
	ck_parameter p;
	ck_prepare(&m, &p, mech, data, data2);
	return CK_CALL(l, CK_C_DigestInit, (ck_ulong, ck_mechanism *), (session, &m));
}

// ck_update gives an operation data and takes what comes out; ck_final takes the rest.
static ck_result ck_update(ck_module *l, ck_uint place, ck_uint session, ck_byte *in, ck_uint inlen, ck_byte *out, ck_uint outlen) {
	ck_ulong n = (ck_ulong)outlen;
	ck_ulong rv = CK_CALL(l, place, (ck_ulong, ck_byte *, ck_ulong, ck_byte *, ck_ulong *), (session, CK_SOME(in), inlen, CK_SOME(out), &n));
	return (ck_result){rv, ck_wide(n), place};
}

static ck_result ck_final(ck_module *l, ck_uint place, ck_uint session, ck_byte *out, ck_uint outlen) {
	ck_ulong n = (ck_ulong)outlen;
	ck_ulong rv = CK_CALL(l, place, (ck_ulong, ck_byte *, ck_ulong *), (session, CK_SOME(out), &n));
	return (ck_result){rv, ck_wide(n), place};
}

// ck_operate is a whole operation with a key: such as C_SignInit with C_Sign, and
// between them C_Login for a key that wants it each time. The output is as long as the
// caller knows that it can be, so there is no question for its size. init and place
// are constants where it is called, so that it is made for each of them.
static inline ck_result ck_operate(ck_module *l, ck_uint init, ck_uint place, ck_uint session, const ck_mech *mech,
		ck_byte *data, ck_byte *data2, ck_byte *pin, ck_uint key, ck_byte *in, ck_uint inlen, ck_byte *out, ck_uint outlen) {
	ck_mechanism m;
	ck_parameter p;
	ck_ulong n = (ck_ulong)outlen, rv;
	// What the parameter points to must be there for the whole operation: modules
	// that make the nonce themselves may write it at the end.
	ck_prepare(&m, &p, mech, data, data2);
	rv = CK_CALL(l, init, (ck_ulong, ck_mechanism *, ck_ulong), (session, &m, key));
	if (rv != ck_ok)
		return (ck_result){rv, 0, init};
	if (mech->login) {
		rv = CK_CALL(l, CK_C_Login, (ck_ulong, ck_ulong, ck_byte *, ck_ulong), (session, ck_context_specific, pin, mech->pinlen));
		if (rv != ck_ok)
			return (ck_result){rv, 0, CK_C_Login};
	}
	rv = CK_CALL(l, place, (ck_ulong, ck_byte *, ck_ulong, ck_byte *, ck_ulong *), (session, CK_SOME(in), inlen, CK_SOME(out), &n));
	return (ck_result){rv, ck_wide(n), place};
}

#define CK_OPERATION(name, init, place) \
	static ck_result name(ck_module *l, ck_uint session, const ck_mech *mech, ck_byte *data, ck_byte *data2, ck_byte *pin, \
			ck_uint key, ck_byte *in, ck_uint inlen, ck_byte *out, ck_uint outlen) { \
		return ck_operate(l, init, place, session, mech, data, data2, pin, key, in, inlen, out, outlen); \
	}
CK_OPERATION(ck_sign, CK_C_SignInit, CK_C_Sign)
CK_OPERATION(ck_encrypt, CK_C_EncryptInit, CK_C_Encrypt)
CK_OPERATION(ck_decrypt, CK_C_DecryptInit, CK_C_Decrypt)
#undef CK_OPERATION

static ck_result ck_verify(ck_module *l, ck_uint session, const ck_mech *mech, ck_byte *data, ck_byte *data2, ck_uint key,
		ck_byte *in, ck_uint inlen, ck_byte *sig, ck_uint siglen) {
	ck_mechanism m;
	ck_parameter p;
	ck_prepare(&m, &p, mech, data, data2);
	ck_ulong rv = CK_CALL(l, CK_C_VerifyInit, (ck_ulong, ck_mechanism *, ck_ulong), (session, &m, key));
	if (rv != ck_ok)
		return (ck_result){rv, 0, CK_C_VerifyInit};
	rv = CK_CALL(l, CK_C_Verify, (ck_ulong, ck_byte *, ck_ulong, ck_byte *, ck_ulong), (session, CK_SOME(in), inlen, CK_SOME(sig), siglen));
	return (ck_result){rv, 0, CK_C_Verify};
}

static ck_result ck_verify_signature(ck_module *l, ck_uint session, const ck_mech *mech, ck_byte *data, ck_byte *data2, ck_uint key,
		ck_byte *in, ck_uint inlen, ck_byte *sig, ck_uint siglen) {
	ck_mechanism m;
	ck_parameter p;
	ck_prepare(&m, &p, mech, data, data2);
	ck_ulong rv = CK_CALL(l, CK_C_VerifySignatureInit, (ck_ulong, ck_mechanism *, ck_ulong, ck_byte *, ck_ulong), (session, &m, key, CK_SOME(sig), siglen));
	if (rv != ck_ok)
		return (ck_result){rv, 0, CK_C_VerifySignatureInit};
	rv = CK_CALL(l, CK_C_VerifySignature, (ck_ulong, ck_byte *, ck_ulong), (session, CK_SOME(in), inlen));
	return (ck_result){rv, 0, CK_C_VerifySignature};
}

static ck_result ck_digest(ck_module *l, ck_uint session, const ck_mech *mech, ck_byte *data, ck_byte *data2, ck_byte *in, ck_uint inlen, ck_byte *out, ck_uint outlen) {
	ck_uint rv = ck_digest_init(l, session, mech, data, data2);
	if (rv != ck_ok)
		return (ck_result){rv, 0, CK_C_DigestInit};
	return ck_update(l, CK_C_Digest, session, in, inlen, out, outlen);
}

// ck_message encrypts or decrypts one message of an operation that goes on.
static ck_result ck_message(ck_module *l, ck_uint place, ck_uint session, const ck_mech *mech, ck_byte *data, ck_byte *data2,
		ck_byte *aad, ck_uint aadlen, ck_byte *in, ck_uint inlen, ck_byte *out, ck_uint outlen) {
	ck_mechanism m;
	ck_parameter p;
	ck_ulong n = (ck_ulong)outlen;
	ck_prepare(&m, &p, mech, data, data2);
	ck_ulong rv = CK_CALL(l, place, (ck_ulong, void *, ck_ulong, ck_byte *, ck_ulong, ck_byte *, ck_ulong, ck_byte *, ck_ulong *),
		(session, m.parameter, m.length, CK_SOME(aad), aadlen, CK_SOME(in), inlen, CK_SOME(out), &n));
	return (ck_result){rv, ck_wide(n), place};
}

static ck_result ck_sign_message(ck_module *l, ck_uint session, const ck_mech *mech, ck_byte *data, ck_byte *data2,
		ck_byte *in, ck_uint inlen, ck_byte *out, ck_uint outlen) {
	ck_mechanism m;
	ck_parameter p;
	ck_ulong n = (ck_ulong)outlen;
	ck_prepare(&m, &p, mech, data, data2);
	ck_ulong rv = CK_CALL(l, CK_C_SignMessage, (ck_ulong, void *, ck_ulong, ck_byte *, ck_ulong, ck_byte *, ck_ulong *),
		(session, m.parameter, m.length, CK_SOME(in), inlen, CK_SOME(out), &n));
	return (ck_result){rv, ck_wide(n), CK_C_SignMessage};
}

static ck_uint ck_verify_message(ck_module *l, ck_uint session, const ck_mech *mech, ck_byte *data, ck_byte *data2,
		ck_byte *in, ck_uint inlen, ck_byte *sig, ck_uint siglen) {
	ck_mechanism m;
	ck_parameter p;
	ck_prepare(&m, &p, mech, data, data2);
	return CK_CALL(l, CK_C_VerifyMessage, (ck_ulong, void *, ck_ulong, ck_byte *, ck_ulong, ck_byte *, ck_ulong),
		(session, m.parameter, m.length, CK_SOME(in), inlen, CK_SOME(sig), siglen));
}
