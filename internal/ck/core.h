// The small C core of package ck: it calls a PKCS#11 function list with what Go
// gives it in flat buffers, one crossing an operation. Nothing is allocated on
// the C heap, and only pointers to the caller's buffers lie on the C stack.
//
// Declarations are the facts of PKCS#11 2.40 that the calls below need, for
// platforms where its structures are not packed (all but Windows).

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "zfunctions.h"

typedef unsigned char ck_byte; // CK_BYTE, CK_BBOOL, CK_UTF8CHAR
typedef unsigned long ck_ulong; // CK_ULONG and every handle, type and flag

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
	ck_ulong hash, mgf, salt;
} ck_pss; // CK_RSA_PKCS_PSS_PARAMS

typedef struct {
	ck_ulong hash, mgf, source;
	void *data;
	ck_ulong length;
} ck_oaep; // CK_RSA_PKCS_OAEP_PARAMS

typedef struct {
	ck_ulong kdf, sharedlen;
	ck_byte *shared;
	ck_ulong publiclen;
	ck_byte *public;
} ck_ecdh1; // CK_ECDH1_DERIVE_PARAMS

typedef struct {
	ck_byte major, minor;
	void (*function[CK_FUNCTIONS])(void);
} ck_list; // CK_FUNCTION_LIST

#define CK_CALL(list, name, ...) \
	((ck_ulong(*)(__VA_ARGS__))(list)->function[CK_##name])

enum {
	ck_ok = 0,
	ck_arguments_bad = 0x7,
	ck_function_failed = 0x6,
	ck_max_attributes = 64,
};

// Mirrors of Go's types: no pointers in them.
typedef struct {
	ck_ulong type, offset, length, room;
} ck_item; // item: one attribute of a Template

typedef struct {
	ck_ulong type, kind, a, b, c, length;
} ck_mech; // mechanism: a Mechanism without its data

typedef struct {
	ck_ulong rv, n, step;
} ck_result; // Result

enum { ck_mech_plain, ck_mech_pss, ck_mech_oaep, ck_mech_ecdh1 };

// ck_template points the attributes a at the values in buf.
static void ck_template(ck_attribute *a, const ck_item *items, ck_ulong n, ck_byte *buf) {
	for (ck_ulong i = 0; i < n; i++) {
		a[i].type = items[i].type;
		a[i].value = items[i].room ? buf + items[i].offset : NULL;
		a[i].length = items[i].length;
	}
}

typedef union {
	ck_pss pss;
	ck_oaep oaep;
	ck_ecdh1 ecdh1;
} ck_parameter;

static void ck_prepare(ck_mechanism *m, ck_parameter *p, const ck_mech *in, ck_byte *data) {
	m->type = in->type;
	m->parameter = p;
	switch (in->kind) {
	case ck_mech_pss:
		p->pss.hash = in->a;
		p->pss.mgf = in->b;
		p->pss.salt = in->c;
		m->length = sizeof p->pss;
		return;
	case ck_mech_oaep:
		p->oaep.hash = in->a;
		p->oaep.mgf = in->b;
		p->oaep.source = in->c;
		p->oaep.data = in->length ? data : NULL;
		p->oaep.length = in->length;
		m->length = sizeof p->oaep;
		return;
	case ck_mech_ecdh1:
		p->ecdh1.kdf = in->a;
		p->ecdh1.sharedlen = 0;
		p->ecdh1.shared = NULL;
		p->ecdh1.publiclen = in->length;
		p->ecdh1.public = data;
		m->length = sizeof p->ecdh1;
		return;
	}
	m->parameter = in->length ? data : NULL;
	m->length = in->length;
}

enum { ck_loaded, ck_not_loaded, ck_no_symbol, ck_no_list };

// ck_load loads the module and asks it for its function list. err gets dlerror's
// text, which belongs to this thread, so that it is fetched in the same call.
static int ck_load(const char *path, ck_list **list, ck_ulong *rv, char *err, size_t errlen) {
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		const char *text = dlerror();
		snprintf(err, errlen, "%s", text ? text : "no reason given");
		return ck_not_loaded;
	}
	ck_ulong (*get)(ck_list **);
	*(void **)&get = dlsym(handle, "C_GetFunctionList");
	if (!get) {
		dlclose(handle);
		return ck_no_symbol;
	}
	*list = NULL;
	*rv = get(list);
	if (*rv != ck_ok || !*list) {
		dlclose(handle);
		return ck_no_list;
	}
	return ck_loaded;
}

static ck_ulong ck_login(ck_list *l, ck_ulong session, ck_ulong user, ck_byte *pin, ck_ulong n) {
	return CK_CALL(l, C_Login, ck_ulong, ck_ulong, ck_byte *, ck_ulong)(session, user, pin, n);
}

static ck_ulong ck_logout(ck_list *l, ck_ulong session) {
	return CK_CALL(l, C_Logout, ck_ulong)(session);
}

// ck_find does a whole search: it leaves no search active on the session.
static ck_result ck_find(ck_list *l, ck_ulong session, ck_item *items, ck_ulong n, ck_byte *buf, ck_ulong *objects, ck_ulong max) {
	ck_attribute a[ck_max_attributes];
	ck_result r = {ck_arguments_bad, 0, CK_C_FindObjectsInit};
	if (n > ck_max_attributes)
		return r;
	ck_template(a, items, n, buf);
	r.rv = CK_CALL(l, C_FindObjectsInit, ck_ulong, ck_attribute *, ck_ulong)(session, n ? a : NULL, n);
	if (r.rv != ck_ok)
		return r;
	r.step = CK_C_FindObjects;
	while (r.n < max) {
		ck_ulong got = 0;
		r.rv = CK_CALL(l, C_FindObjects, ck_ulong, ck_ulong *, ck_ulong, ck_ulong *)(session, objects + r.n, max - r.n, &got);
		if (r.rv != ck_ok || got == 0)
			break;
		if (got > max - r.n) {
			r.rv = ck_function_failed;
			break;
		}
		r.n += got;
	}
	ck_ulong final = CK_CALL(l, C_FindObjectsFinal, ck_ulong)(session);
	if (r.rv == ck_ok && final != ck_ok) {
		r.rv = final;
		r.step = CK_C_FindObjectsFinal;
	}
	return r;
}

// ck_get_attributes sets length of each item to what the module said.
static ck_ulong ck_get_attributes(ck_list *l, ck_ulong session, ck_ulong object, ck_item *items, ck_ulong n, ck_byte *buf) {
	ck_attribute a[ck_max_attributes];
	if (n == 0 || n > ck_max_attributes)
		return ck_arguments_bad;
	ck_template(a, items, n, buf);
	ck_ulong rv = CK_CALL(l, C_GetAttributeValue, ck_ulong, ck_ulong, ck_attribute *, ck_ulong)(session, object, a, n);
	for (ck_ulong i = 0; i < n; i++)
		items[i].length = a[i].length;
	return rv;
}

static ck_result ck_create(ck_list *l, ck_ulong session, ck_item *items, ck_ulong n, ck_byte *buf) {
	ck_attribute a[ck_max_attributes];
	ck_result r = {ck_arguments_bad, 0, CK_C_CreateObject};
	if (n > ck_max_attributes)
		return r;
	ck_template(a, items, n, buf);
	r.rv = CK_CALL(l, C_CreateObject, ck_ulong, ck_attribute *, ck_ulong, ck_ulong *)(session, a, n, &r.n);
	return r;
}

static ck_ulong ck_destroy(ck_list *l, ck_ulong session, ck_ulong object) {
	return CK_CALL(l, C_DestroyObject, ck_ulong, ck_ulong)(session, object);
}

typedef struct {
	ck_ulong rv, public, private;
} ck_pair;

static ck_pair ck_generate_pair(ck_list *l, ck_ulong session, ck_mech *mech, ck_byte *data,
		ck_item *pub, ck_ulong npub, ck_byte *pubbuf, ck_item *priv, ck_ulong npriv, ck_byte *privbuf) {
	ck_attribute a[ck_max_attributes], b[ck_max_attributes];
	ck_mechanism m;
	ck_parameter p;
	ck_pair r = {ck_arguments_bad, 0, 0};
	if (npub > ck_max_attributes || npriv > ck_max_attributes)
		return r;
	ck_prepare(&m, &p, mech, data);
	ck_template(a, pub, npub, pubbuf);
	ck_template(b, priv, npriv, privbuf);
	r.rv = CK_CALL(l, C_GenerateKeyPair, ck_ulong, ck_mechanism *, ck_attribute *, ck_ulong, ck_attribute *, ck_ulong, ck_ulong *, ck_ulong *)(
		session, &m, a, npub, b, npriv, &r.public, &r.private);
	return r;
}

static ck_result ck_derive(ck_list *l, ck_ulong session, ck_mech *mech, ck_byte *data, ck_ulong key, ck_item *items, ck_ulong n, ck_byte *buf) {
	ck_attribute a[ck_max_attributes];
	ck_mechanism m;
	ck_parameter p;
	ck_result r = {ck_arguments_bad, 0, CK_C_DeriveKey};
	if (n > ck_max_attributes)
		return r;
	ck_prepare(&m, &p, mech, data);
	ck_template(a, items, n, buf);
	r.rv = CK_CALL(l, C_DeriveKey, ck_ulong, ck_mechanism *, ck_ulong, ck_attribute *, ck_ulong, ck_ulong *)(session, &m, key, a, n, &r.n);
	return r;
}

// ck_sign and ck_decrypt are C_SignInit with C_Sign, and C_DecryptInit with
// C_Decrypt. The output is as long as the caller knows that it can be, so there is
// no question for its size.
static ck_result ck_sign(ck_list *l, ck_ulong session, ck_mech *mech, ck_byte *data, ck_ulong key,
		ck_byte *in, ck_ulong inlen, ck_byte *out, ck_ulong outlen) {
	ck_mechanism m;
	ck_parameter p;
	ck_result r = {ck_ok, outlen, CK_C_SignInit};
	ck_prepare(&m, &p, mech, data);
	r.rv = CK_CALL(l, C_SignInit, ck_ulong, ck_mechanism *, ck_ulong)(session, &m, key);
	if (r.rv != ck_ok)
		return r;
	r.step = CK_C_Sign;
	r.rv = CK_CALL(l, C_Sign, ck_ulong, ck_byte *, ck_ulong, ck_byte *, ck_ulong *)(session, in, inlen, out, &r.n);
	return r;
}

static ck_result ck_decrypt(ck_list *l, ck_ulong session, ck_mech *mech, ck_byte *data, ck_ulong key,
		ck_byte *in, ck_ulong inlen, ck_byte *out, ck_ulong outlen) {
	ck_mechanism m;
	ck_parameter p;
	ck_result r = {ck_ok, outlen, CK_C_DecryptInit};
	ck_prepare(&m, &p, mech, data);
	r.rv = CK_CALL(l, C_DecryptInit, ck_ulong, ck_mechanism *, ck_ulong)(session, &m, key);
	if (r.rv != ck_ok)
		return r;
	r.step = CK_C_Decrypt;
	r.rv = CK_CALL(l, C_Decrypt, ck_ulong, ck_byte *, ck_ulong, ck_byte *, ck_ulong *)(session, in, inlen, out, &r.n);
	return r;
}

static ck_ulong ck_random(ck_list *l, ck_ulong session, ck_byte *out, ck_ulong n) {
	return CK_CALL(l, C_GenerateRandom, ck_ulong, ck_byte *, ck_ulong)(session, out, n);
}
