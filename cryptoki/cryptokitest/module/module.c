// The module of package cryptokitest. What it does is said there; how it is told what
// to do is in control below, a file that both sides share. Its twin in Go is
// control.go.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#if defined __GLIBC__
#include <malloc.h>
#endif

typedef unsigned char byte;
typedef unsigned long ulong; // CK_ULONG

typedef struct {
	ulong type;
	void *value;
	ulong length;
} attribute;

typedef struct {
	ulong type;
	void *parameter;
	ulong length;
} mechanism;

typedef struct {
	byte major, minor;
} version;

#define UNAVAILABLE (~0UL)
#define FUNCTIONS 104
#define RULES 64

// Places in the function list.
enum {
	fInitialize, fFinalize, fGetInfo, fGetFunctionList, fGetSlotList, fGetSlotInfo, fGetTokenInfo, fGetMechanismList,
	fGetMechanismInfo, fInitToken, fInitPIN, fSetPIN, fOpenSession, fCloseSession, fCloseAllSessions, fGetSessionInfo,
	fGetOperationState, fSetOperationState, fLogin, fLogout, fCreateObject, fCopyObject, fDestroyObject, fGetObjectSize,
	fGetAttributeValue, fSetAttributeValue, fFindObjectsInit, fFindObjects, fFindObjectsFinal, fEncryptInit, fEncrypt,
	fEncryptUpdate, fEncryptFinal, fDecryptInit, fDecrypt, fDecryptUpdate, fDecryptFinal, fDigestInit, fDigest, fDigestUpdate,
	fDigestKey, fDigestFinal, fSignInit, fSign, fSignUpdate, fSignFinal, fVerifyInit = 48, fVerify, fVerifyUpdate,
	fVerifyFinal, fGenerateKey = 58, fGenerateKeyPair, fWrapKey, fUnwrapKey, fDeriveKey, fSeedRandom, fGenerateRandom,
	fGetFunctionStatus, fCancelFunction, fWaitForSlotEvent, fGetInterfaceList, fGetInterface, fLoginUser, fSessionCancel,
	fMessageEncryptInit, fEncryptMessage, fMessageEncryptFinal = 76, fMessageDecryptInit, fDecryptMessage,
	fMessageDecryptFinal = 81, fEncapsulateKey = 92, fDecapsulateKey,
};

enum {
	CKR_OK = 0, CKR_SLOT_ID_INVALID = 3, CKR_ARGUMENTS_BAD = 7, CKR_NO_EVENT = 8, CKR_ATTRIBUTE_SENSITIVE = 0x11,
	CKR_ATTRIBUTE_TYPE_INVALID = 0x12, CKR_DATA_LEN_RANGE = 0x21, CKR_ENCRYPTED_DATA_INVALID = 0x40, CKR_ENCRYPTED_DATA_LEN_RANGE = 0x41,
	CKR_FUNCTION_NOT_SUPPORTED = 0x54, CKR_KEY_HANDLE_INVALID = 0x60, CKR_KEY_FUNCTION_NOT_PERMITTED = 0x68, CKR_KEY_UNEXTRACTABLE = 0x6A,
	CKR_MECHANISM_INVALID = 0x70, CKR_MECHANISM_PARAM_INVALID = 0x71, CKR_OBJECT_HANDLE_INVALID = 0x82, CKR_OPERATION_ACTIVE = 0x90,
	CKR_OPERATION_NOT_INITIALIZED = 0x91, CKR_PIN_INCORRECT = 0xA0, CKR_PIN_LEN_RANGE = 0xA2, CKR_PIN_LOCKED = 0xA4, CKR_SESSION_COUNT = 0xB1,
	CKR_SESSION_HANDLE_INVALID = 0xB3, CKR_SESSION_PARALLEL_NOT_SUPPORTED = 0xB4, CKR_SESSION_READ_ONLY = 0xB5, CKR_SESSION_EXISTS = 0xB6,
	CKR_SIGNATURE_INVALID = 0xC0, CKR_SIGNATURE_LEN_RANGE = 0xC1, CKR_TEMPLATE_INCOMPLETE = 0xD0, CKR_TOKEN_NOT_PRESENT = 0xE0,
	CKR_USER_ALREADY_LOGGED_IN = 0x100, CKR_USER_NOT_LOGGED_IN = 0x101, CKR_USER_PIN_NOT_INITIALIZED = 0x102, CKR_USER_TYPE_INVALID = 0x103,
	CKR_USER_ANOTHER_ALREADY_LOGGED_IN = 0x104, CKR_WRAPPED_KEY_INVALID = 0x110, CKR_BUFFER_TOO_SMALL = 0x150, CKR_CRYPTOKI_NOT_INITIALIZED = 0x190,
	CKR_CRYPTOKI_ALREADY_INITIALIZED = 0x191,
};

enum {
	CKA_CLASS = 0, CKA_TOKEN = 1, CKA_PRIVATE = 2, CKA_VALUE = 0x11, CKA_KEY_TYPE = 0x100, CKA_ID = 0x102, CKA_SENSITIVE = 0x103,
	CKA_PRIVATE_EXPONENT = 0x123, CKA_COEFFICIENT = 0x128, CKA_VALUE_LEN = 0x161, CKA_EXTRACTABLE = 0x162, CKA_ALWAYS_AUTHENTICATE = 0x202,
	CKO_PRIVATE_KEY = 3, CKO_SECRET_KEY = 4,
	CKM_AES_GCM = 0x1087, CKM_ECDSA = 0x1041,
};
// Of EC keys: order of the curve, r, 1/k and r*d modulo the order. See keys.go.
#define OWN_ORDER 0x80C0FFE0UL
#define OWN_R 0x80C0FFE1UL
#define OWN_KINV 0x80C0FFE2UL
#define OWN_RD 0x80C0FFE3UL

// Numbers of the control file, by place.
enum {
	sMagic, sNull, sList, sTokenFlags, sSlot, sAbsent, sTries, sLeft, sSOLeft, sMaxSessions, sOwnNonce, sWhole, sExact,
	sLose, sSwap, sLogout, sEvents, sHanging, sRules, sHeap, sSessions, sMost, sLogins, sInitialized, sOverlaps, sOutside,
	sObjects, sReservedSet, sLoggedIn, sSettings = 48,
};
#define MAGIC 0x6B636F7470797263UL

typedef struct {
	uint64_t active, function, skip, times, seen, rv, what, sleep, length, released;
	uint64_t unused[6];
} rule;

// What a rule does.
enum { wReturn = 1, wLate = 2, wSleep = 4, wHang = 8, wLength = 16, wCorrupt = 32, wLose = 64, wSwap = 128, wLogout = 256, wRemove = 512 };

typedef struct {
	uint64_t n;
	char text[248];
} text;

enum { tLabel, tSerial, tManufacturer, tModel, tPIN, tSOPIN, tReserved, tTexts };

typedef struct {
	volatile uint64_t set[sSettings];
	uint64_t calls[128];
	rule rules[RULES];
	text texts[tTexts];
	byte objects[]; // count, then for each the number of attributes, then for each type, length, value
} control;

static control fallback, *ctl = &fallback;
static int initialized;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

// Objects.

typedef struct object {
	struct object *next;
	ulong handle, session; // session: of a session object
	ulong n;
	attribute *a;
} object;

static object *objects;
static ulong nextObject, nextSession;

static attribute *find(const object *o, ulong type) {
	for (ulong i = 0; i < o->n; i++)
		if (o->a[i].type == type)
			return &o->a[i];
	return NULL;
}

static int truth(const object *o, ulong type, int otherwise) {
	attribute *a = find(o, type);
	return a && a->length == 1 ? *(byte *)a->value != 0 : otherwise;
}

static ulong number(const object *o, ulong type, ulong otherwise) {
	attribute *a = find(o, type);
	ulong x = otherwise;
	if (a && a->length == sizeof x)
		memcpy(&x, a->value, sizeof x);
	return x;
}

static void set(object *o, ulong type, const void *value, ulong length) {
	attribute *a = find(o, type);
	if (!a) {
		o->a = realloc(o->a, (o->n + 1) * sizeof *a);
		a = &o->a[o->n++];
		a->type = type;
		a->value = NULL;
	}
	if (a->value)
		memset(a->value, 0, a->length);
	free(a->value);
	a->value = malloc(length ? length : 1);
	a->length = length;
	if (length)
		memcpy(a->value, value, length);
}

static void setNumber(object *o, ulong type, ulong x) { set(o, type, &x, sizeof x); }

static object *add(void) {
	object *o = calloc(1, sizeof *o), **end = &objects;
	while (*end)
		end = &(*end)->next;
	o->handle = ++nextObject;
	return *end = o;
}

static void drop(object *o) {
	object **at = &objects;
	while (*at != o)
		at = &(*at)->next;
	*at = o->next;
	for (ulong i = 0; i < o->n; i++) {
		memset(o->a[i].value, 0, o->a[i].length);
		free(o->a[i].value);
	}
	free(o->a);
	free(o);
}

static uint64_t take(const byte **p) {
	uint64_t x;
	memcpy(&x, *p, sizeof x);
	*p += sizeof x;
	return x;
}

// seed makes the objects that the test wants to be there.
static void seed(void) {
	static int done;
	if (done || ctl == &fallback)
		return;
	done = 1;
	const byte *p = ctl->objects;
	object **end = &objects;
	for (uint64_t count = take(&p); count; count--) {
		object *o = calloc(1, sizeof *o);
		o->handle = ++nextObject;
		for (uint64_t n = take(&p); n; n--) {
			ulong type = take(&p), length = take(&p);
			set(o, type, p, length);
			p += (length + 7) / 8 * 8;
		}
		*end = o;
		end = &o->next;
	}
}

// Sessions.

enum { opEncrypt, opDecrypt, opSign, opVerify, opDigest, opMessageEncrypt, opMessageDecrypt, ops };

typedef struct {
	int active, authenticated, parts;
	ulong mechanism, key;
	byte *iv, nonce[64]; // iv: the caller's
	ulong noncelen, taglen, done;
	uint64_t state, sum;
	byte *data; // of an operation in parts
	ulong n;
} operation;

typedef struct session {
	struct session *next;
	ulong handle, flags;
	operation op[ops];
	int finding;
	ulong *found, nfound, at;
} session;

static session *sessions;
static int loggedIn; // 0 nobody, 1 user, 2 security officer

static session *of(ulong h) {
	session *s = sessions;
	while (s && s->handle != h)
		s = s->next;
	return s;
}

static void end(operation *op) {
	if (op->data)
		memset(op->data, 0, op->n);
	free(op->data);
	memset(op, 0, sizeof *op);
}

// logout makes the handles of private objects invalid: they have others afterwards.
static void logout(void) {
	loggedIn = 0;
	ctl->set[sLoggedIn] = 0;
	for (object *o = objects; o; o = o->next)
		if (truth(o, CKA_PRIVATE, 0))
			o->handle = ++nextObject;
}

static void closeSession(session *s) {
	session **at = &sessions;
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	for (object *o = objects, *next; o; o = next) {
		next = o->next;
		if (o->session == s->handle)
			drop(o);
	}
	for (int i = 0; i < ops; i++)
		end(&s->op[i]);
	free(s->found);
	free(s);
	ctl->set[sSessions]--;
	if (!sessions && loggedIn)
		logout();
}

static void lose(void) {
	while (sessions)
		closeSession(sessions);
}

// swap gives each private and secret key the handle of another.
static void swap(void) {
	for (ulong class = CKO_PRIVATE_KEY; class <= CKO_SECRET_KEY; class++) {
		object *first = NULL, *last = NULL;
		ulong h = 0;
		for (object *o = objects; o; o = o->next) {
			if (number(o, CKA_CLASS, ~0UL) != class)
				continue;
			ulong mine = o->handle;
			if (last)
				o->handle = h;
			else
				first = o;
			h = mine;
			last = o;
		}
		if (first)
			first->handle = h;
	}
}

// Rules.

typedef struct {
	int place;
	ulong rv;
	session *s;
	ulong handle;
	rule *late[4];
	int nlate;
} call;

static void nap(uint64_t ns) {
	struct timespec t = {ns / 1000000000, ns % 1000000000};
	while (nanosleep(&t, &t))
		;
}

// commands carries out what the test has asked for since the last call.
static void commands(void) {
	static uint64_t lost, swapped, out;
	if (ctl->set[sLose] != lost) {
		lost = ctl->set[sLose];
		lose();
	}
	if (ctl->set[sSwap] != swapped) {
		swapped = ctl->set[sSwap];
		swap();
	}
	if (ctl->set[sLogout] != out) {
		out = ctl->set[sLogout];
		if (loggedIn)
			logout();
	}
}

static int apply(call *c, rule *r) {
	if (r->function != (uint64_t)c->place + 1 && r->function != 0)
		return 1;
	uint64_t seen = __atomic_fetch_add(&r->seen, 1, __ATOMIC_RELAXED);
	if (seen < r->skip || (r->times && seen >= r->skip + r->times))
		return 1;
	uint64_t what = r->what;
	if (what & wSleep)
		nap(r->sleep);
	if (what & wHang) {
		volatile uint64_t *active = &r->active, *released = &r->released;
		__atomic_fetch_add(&ctl->set[sHanging], 1, __ATOMIC_SEQ_CST);
		while (*active && !*released)
			nap(100000);
		__atomic_fetch_sub(&ctl->set[sHanging], 1, __ATOMIC_SEQ_CST);
	}
	if (what & (wLose | wSwap | wLogout | wRemove)) {
		pthread_mutex_lock(&lock);
		if (what & wLose)
			lose();
		if (what & wSwap)
			swap();
		if ((what & wLogout) && loggedIn)
			logout();
		if (what & wRemove) {
			ctl->set[sAbsent] = 1;
			lose();
		}
		pthread_mutex_unlock(&lock);
	}
	if (what & wReturn && !(what & wLate)) {
		c->rv = r->rv;
		return 0;
	}
	if (what & (wLate | wLength | wCorrupt) && c->nlate < 4)
		c->late[c->nlate++] = r;
	return 1;
}

// running counts the calls in each session, to notice two at a time.
static unsigned running[65536];

static void enter(ulong handle) {
	if (handle != ~0UL && __atomic_fetch_add(&running[handle % 65536], 1, __ATOMIC_SEQ_CST))
		__atomic_fetch_add(&ctl->set[sOverlaps], 1, __ATOMIC_SEQ_CST);
}

static void leave(ulong handle) {
	if (handle != ~0UL)
		__atomic_fetch_sub(&running[handle % 65536], 1, __ATOMIC_SEQ_CST);
}

// begin is the head of each function: false if it is to return c->rv. It holds the
// lock when it is true. session is ~0 for functions without one.
static int begin(call *c, int place, ulong handle) {
	c->place = place;
	c->handle = handle;
	c->nlate = 0;
	c->s = NULL;
	__atomic_fetch_add(&ctl->calls[place], 1, __ATOMIC_RELAXED);
	enter(handle);
	if (ctl->set[sRules])
		for (int i = 0; i < RULES; i++)
			if (ctl->rules[i].active && !apply(c, &ctl->rules[i])) {
				leave(handle);
				return 0;
			}
	pthread_mutex_lock(&lock);
	if (!initialized && place != fInitialize) {
		ctl->set[sOutside]++;
		c->rv = CKR_CRYPTOKI_NOT_INITIALIZED;
		goto refuse;
	}
	commands();
	if (handle == ~0UL)
		return 1;
	c->s = of(handle);
	if (!c->s) {
		c->rv = CKR_SESSION_HANDLE_INVALID;
		goto refuse;
	}
	if (ctl->set[sAbsent]) {
		c->rv = CKR_TOKEN_NOT_PRESENT;
		goto refuse;
	}
	return 1;
refuse:
	pthread_mutex_unlock(&lock);
	leave(handle);
	return 0;
}

// finish is the end of each function. out and n are what it gave, if it does so.
static ulong finish(call *c, ulong rv, void *out, ulong *n) {
	for (int i = 0; i < c->nlate; i++) {
		rule *r = c->late[i];
		if (r->what & wCorrupt && rv == CKR_OK && out && n && *n)
			((byte *)out)[*n / 2] ^= 1;
		if (r->what & wLength && rv == CKR_OK && n)
			*n += (ulong)r->length;
		if (r->what & wLate)
			rv = r->rv;
	}
	pthread_mutex_unlock(&lock);
	leave(c->handle);
	return rv;
}

// Cryptography that is none: it tells keys and nonces apart, and what was changed.

static uint64_t mix(uint64_t x) {
	x += 0x9E3779B97F4A7C15;
	x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9;
	x = (x ^ x >> 27) * 0x94D049BB133111EB;
	return x ^ x >> 31;
}

static uint64_t sum(uint64_t h, const byte *p, ulong n) {
	while (n--)
		h = (h ^ *p++) * 0x100000001B3;
	return h;
}

static void stream(uint64_t state, ulong at, const byte *in, ulong n, byte *out) {
	for (ulong i = 0; i < n; i++)
		out[i] = in[i] ^ (byte)(mix(state + (at + i) / 8) >> (at + i) % 8 * 8);
}

static void fill(byte *out, ulong n) {
	static uint64_t counter;
	memset(out, 0, n);
	stream(mix(++counter), 0, out, n, out);
}

static uint64_t keyState(const object *o) {
	attribute *a = find(o, CKA_VALUE), *id = find(o, CKA_ID);
	uint64_t h = 0xCBF29CE484222325;
	if (a)
		return sum(h, a->value, a->length);
	return id ? sum(h, id->value, id->length) : h;
}

// Arithmetic modulo the order of a curve, big endian, at most 72 bytes.

static int less(const byte *a, const byte *b, ulong n) { return memcmp(a, b, n) < 0; }

static int addTo(byte *a, const byte *b, ulong n) {
	unsigned carry = 0;
	for (ulong i = n; i--;) {
		carry += a[i] + b[i];
		a[i] = (byte)carry;
		carry >>= 8;
	}
	return (int)carry;
}

static void subFrom(byte *a, const byte *b, ulong n) {
	int borrow = 0;
	for (ulong i = n; i--;) {
		int d = a[i] - b[i] - borrow;
		borrow = d < 0;
		a[i] = (byte)d;
	}
}

static void addMod(byte *a, const byte *b, const byte *order, ulong n) {
	if (addTo(a, b, n) || !less(a, order, n))
		subFrom(a, order, n);
}

static void mulMod(byte *out, const byte *a, const byte *b, const byte *order, ulong n) {
	byte r[72] = {0}, t[72];
	for (ulong i = 0; i < 8 * n; i++) {
		memcpy(t, r, n);
		addMod(r, t, order, n);
		if (a[i / 8] >> (7 - i % 8) & 1)
			addMod(r, b, order, n);
	}
	memcpy(out, r, n);
}

// ecdsa makes a signature that is right, with a k that is always the same: this keeps
// the module small and the key of a test is no secret.
static ulong ecdsa(const object *key, const byte *in, ulong inlen, byte *out, ulong *outlen) {
	attribute *order = find(key, OWN_ORDER), *r = find(key, OWN_R), *kinv = find(key, OWN_KINV), *rd = find(key, OWN_RD);
	ulong n = order ? order->length : 0;
	if (!n || n > 72 || !r || !kinv || !rd)
		return CKR_KEY_FUNCTION_NOT_PERMITTED;
	if (*outlen < 2 * n) {
		*outlen = 2 * n;
		return CKR_BUFFER_TOO_SMALL;
	}
	const byte *o = order->value;
	ulong bits = 8 * n;
	while (!(o[(8 * n - bits) / 8] >> (bits - 1) % 8 & 1))
		bits--;
	byte z[72] = {0};
	ulong shift = 0;
	if (8 * inlen > bits) {
		inlen = (bits + 7) / 8;
		shift = 8 * inlen - bits;
	}
	memcpy(z + n - inlen, in, inlen);
	for (; shift; shift--)
		for (ulong i = n; i--;)
			z[i] = (byte)(z[i] >> 1 | (i ? z[i - 1] << 7 : 0));
	if (!less(z, o, n))
		subFrom(z, o, n);
	addMod(z, rd->value, o, n);
	memcpy(out, r->value, n);
	mulMod(out + n, kinv->value, z, o, n);
	*outlen = 2 * n;
	return CKR_OK;
}

// sign is ECDSA where the key can do that. All others sign with the beginning of the
// input, at most 32 bytes, and their CKA_ID.
static ulong sign(const object *key, ulong m, const byte *in, ulong inlen, byte *out, ulong *outlen) {
	if (m == CKM_ECDSA && find(key, OWN_ORDER))
		return ecdsa(key, in, inlen, out, outlen);
	attribute *id = find(key, CKA_ID);
	ulong head = inlen < 32 ? inlen : 32, n = head + (id ? id->length : 0);
	if (*outlen < n) {
		*outlen = n;
		return CKR_BUFFER_TOO_SMALL;
	}
	memcpy(out, in, head);
	if (id)
		memcpy(out + head, id->value, id->length);
	*outlen = n;
	return CKR_OK;
}

// The functions. Each is begun and ended by the two above.

#define BEGIN(name, handle) \
	call c; \
	if (!begin(&c, f##name, handle)) \
	return c.rv
#define END(rv) return finish(&c, rv, NULL, NULL)
#define OUT(rv, out, n) return finish(&c, rv, out, n)

static void pad(byte *to, ulong n, int which) {
	text *t = &ctl->texts[which];
	ulong k = t->n < n ? t->n : n;
	memset(to, ' ', n);
	memcpy(to, t->text, k);
}

// load finds the control file, which lies beside the module under its name and .control.
static void load(void) {
	static int done;
	Dl_info me;
	char path[4096];
	pthread_mutex_lock(&lock);
	if (!done) {
		done = 1;
		if (dladdr((void *)load, &me) && strlen(me.dli_fname) + 9 < sizeof path) {
			strcat(strcpy(path, me.dli_fname), ".control");
			int fd = open(path, O_RDWR | O_CLOEXEC);
			struct stat st;
			if (fd >= 0 && !fstat(fd, &st) && (size_t)st.st_size >= sizeof *ctl) {
				void *p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
				if (p != MAP_FAILED && ((control *)p)->set[sMagic] == MAGIC)
					ctl = p;
			}
			if (fd >= 0)
				close(fd);
		}
		if (ctl == &fallback) {
			strcpy(fallback.texts[tLabel].text, "cryptokitest");
			fallback.texts[tLabel].n = 12;
			strcpy(fallback.texts[tPIN].text, "1234");
			fallback.texts[tPIN].n = 4;
			fallback.set[sTries] = fallback.set[sLeft] = fallback.set[sSOLeft] = 3;
			fallback.set[sSlot] = 1;
			fallback.set[sTokenFlags] = 0x40D;
		}
	}
	pthread_mutex_unlock(&lock);
}

typedef struct {
	void *create, *destroy, *lock, *unlock;
	ulong flags;
	const char *reserved;
} initializeArgs;

static ulong C_Initialize(const initializeArgs *args) {
	BEGIN(Initialize, ~0UL);
	if (initialized)
		END(CKR_CRYPTOKI_ALREADY_INITIALIZED);
	initialized = 1;
	ctl->set[sInitialized]++;
	text *t = &ctl->texts[tReserved];
	t->n = 0;
	if (args && args->reserved) {
		t->n = strnlen(args->reserved, sizeof t->text);
		memcpy(t->text, args->reserved, t->n);
	}
	seed();
	nextSession = 0; // the numbers of another life
	END(CKR_OK);
}

static ulong C_Finalize(void *reserved) {
	(void)reserved;
	BEGIN(Finalize, ~0UL);
	lose();
	initialized = 0;
	END(CKR_OK);
}

typedef struct {
	version cryptoki;
	byte manufacturer[32];
	ulong flags;
	byte description[32];
	version library;
} info;

static ulong C_GetInfo(info *i) {
	BEGIN(GetInfo, ~0UL);
	memset(i, 0, sizeof *i);
	i->cryptoki = ctl->set[sList] == 0 ? (version){3, 2} : ctl->set[sList] == 1 ? (version){3, 0} : (version){2, 40};
	pad(i->manufacturer, 32, tManufacturer);
	memset(i->description, ' ', 32);
	memcpy(i->description, "cryptokitest", 12);
	i->library = (version){1, 0};
#if defined __GLIBC__ && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
	ctl->set[sHeap] = mallinfo2().uordblks;
#endif
	END(CKR_OK);
}

static ulong C_GetSlotList(byte present, ulong *slots, ulong *n) {
	BEGIN(GetSlotList, ~0UL);
	ulong have = present && ctl->set[sAbsent] ? 0 : 1, room = *n;
	*n = have;
	if (slots && room < have)
		OUT(CKR_BUFFER_TOO_SMALL, NULL, NULL);
	if (slots && have)
		*slots = ctl->set[sSlot];
	OUT(CKR_OK, NULL, n);
}

typedef struct {
	byte description[64], manufacturer[32];
	ulong flags;
	version hardware, firmware;
} slotInfo;

static ulong C_GetSlotInfo(ulong slot, slotInfo *i) {
	BEGIN(GetSlotInfo, ~0UL);
	if (slot != ctl->set[sSlot])
		END(CKR_SLOT_ID_INVALID);
	memset(i, 0, sizeof *i);
	memset(i->description, ' ', 64);
	memcpy(i->description, "cryptokitest slot", 17);
	pad(i->manufacturer, 32, tManufacturer);
	i->flags = 2 | (ctl->set[sAbsent] ? 0 : 1);
	END(CKR_OK);
}

typedef struct {
	byte label[32], manufacturer[32], model[16], serial[16];
	ulong flags, maxSessions, count, maxRW, rw, maxPIN, minPIN, memory[4];
	version hardware, firmware;
	byte time[16];
} tokenInfo;

static ulong pinFlags(uint64_t left, ulong low) {
	return left == 0 ? low << 2 | low : left == 1 ? low << 1 | low : left < ctl->set[sTries] ? low : 0;
}

static ulong C_GetTokenInfo(ulong slot, tokenInfo *i) {
	BEGIN(GetTokenInfo, ~0UL);
	if (slot != ctl->set[sSlot])
		END(CKR_SLOT_ID_INVALID);
	if (ctl->set[sAbsent])
		END(CKR_TOKEN_NOT_PRESENT);
	memset(i, 0, sizeof *i);
	pad(i->label, 32, tLabel);
	pad(i->manufacturer, 32, tManufacturer);
	pad(i->model, 16, tModel);
	pad(i->serial, 16, tSerial);
	i->flags = ctl->set[sTokenFlags] | pinFlags(ctl->set[sLeft], 0x10000) | pinFlags(ctl->set[sSOLeft], 0x100000);
	i->maxSessions = i->maxRW = ctl->set[sMaxSessions];
	i->count = ctl->set[sSessions];
	i->maxPIN = 64;
	i->minPIN = 4;
	memset(i->memory, 0xFF, sizeof i->memory);
	END(CKR_OK);
}

static const struct {
	ulong type, min, max, flags;
} mechanisms[] = {
	{0x1041, 224, 521, 0x2800}, // CKM_ECDSA: sign, verify
	{0x1080, 16, 32, 0x8000}, // CKM_AES_KEY_GEN
	{0x350, 1, 64, 0x8000}, // CKM_GENERIC_SECRET_KEY_GEN
	{0x1081, 16, 32, 0x300}, // CKM_AES_ECB
	{0x1086, 16, 32, 0x300}, // CKM_AES_CTR
	{0x1087, 16, 32, 0x306}, // CKM_AES_GCM, with messages
	{0x2109, 16, 32, 0x60000}, // CKM_AES_KEY_WRAP
	{0x402B, 1, 64, 0x80000}, // CKM_HKDF_DATA
	{0x80C0FFE0, 0, 0, 0x2800}, // sign
	{0x17, 0, 0, 0x30000000}, // CKM_ML_KEM
};

static ulong C_GetMechanismList(ulong slot, ulong *list, ulong *n) {
	BEGIN(GetMechanismList, ~0UL);
	ulong have = sizeof mechanisms / sizeof *mechanisms, room = *n;
	if (slot != ctl->set[sSlot])
		END(CKR_SLOT_ID_INVALID);
	*n = have;
	if (list && room < have)
		END(CKR_BUFFER_TOO_SMALL);
	for (ulong i = 0; list && i < have; i++)
		list[i] = mechanisms[i].type;
	OUT(CKR_OK, NULL, n);
}

static ulong C_GetMechanismInfo(ulong slot, ulong type, ulong *i) {
	BEGIN(GetMechanismInfo, ~0UL);
	if (slot != ctl->set[sSlot])
		END(CKR_SLOT_ID_INVALID);
	for (ulong k = 0; k < sizeof mechanisms / sizeof *mechanisms; k++)
		if (mechanisms[k].type == type) {
			i[0] = mechanisms[k].min;
			i[1] = mechanisms[k].max;
			i[2] = mechanisms[k].flags;
			END(CKR_OK);
		}
	END(CKR_MECHANISM_INVALID);
}

// PINs.

static ulong checkPIN(int which, volatile uint64_t *left, const byte *pin, ulong n) {
	text *t = &ctl->texts[which];
	ctl->set[sLogins]++;
	if (*left == 0)
		return CKR_PIN_LOCKED;
	// Without a PIN it is entered at the token, where the right one is known.
	if (!pin && ctl->set[sTokenFlags] & 0x100) {
		*left = ctl->set[sTries];
		return CKR_OK;
	}
	if (!pin || n != t->n || memcmp(pin, t->text, n)) {
		--*left;
		return CKR_PIN_INCORRECT;
	}
	*left = ctl->set[sTries];
	return CKR_OK;
}

static ulong changePIN(int which, const byte *pin, ulong n) {
	if (!pin)
		return CKR_OK;
	if (n < 4 || n > 64)
		return CKR_PIN_LEN_RANGE;
	memcpy(ctl->texts[which].text, pin, n);
	ctl->texts[which].n = n;
	return CKR_OK;
}

static ulong C_InitToken(ulong slot, const byte *pin, ulong n, const byte *label) {
	BEGIN(InitToken, ~0UL);
	if (slot != ctl->set[sSlot])
		END(CKR_SLOT_ID_INVALID);
	if (sessions)
		END(CKR_SESSION_EXISTS);
	ulong rv = checkPIN(tSOPIN, &ctl->set[sSOLeft], pin, n);
	if (rv != CKR_OK)
		END(rv);
	while (objects)
		drop(objects);
	memcpy(ctl->texts[tLabel].text, label, 32);
	for (ctl->texts[tLabel].n = 32; ctl->texts[tLabel].n && label[ctl->texts[tLabel].n - 1] == ' ';)
		ctl->texts[tLabel].n--;
	ctl->set[sTokenFlags] = (ctl->set[sTokenFlags] | 0x400) & ~8UL;
	END(CKR_OK);
}

static ulong C_InitPIN(ulong h, const byte *pin, ulong n) {
	BEGIN(InitPIN, h);
	if (loggedIn != 2)
		END(CKR_USER_NOT_LOGGED_IN);
	ulong rv = changePIN(tPIN, pin, n);
	if (rv == CKR_OK) {
		ctl->set[sTokenFlags] |= 8;
		ctl->set[sLeft] = ctl->set[sTries];
	}
	END(rv);
}

static ulong C_SetPIN(ulong h, const byte *old, ulong oldlen, const byte *new, ulong newlen) {
	BEGIN(SetPIN, h);
	int so = loggedIn == 2;
	ulong rv = checkPIN(so ? tSOPIN : tPIN, &ctl->set[so ? sSOLeft : sLeft], old, oldlen);
	END(rv != CKR_OK ? rv : changePIN(so ? tSOPIN : tPIN, new, newlen));
}

static ulong C_OpenSession(ulong slot, ulong flags, void *app, void *notify, ulong *h) {
	(void)app;
	(void)notify;
	BEGIN(OpenSession, ~0UL);
	if (slot != ctl->set[sSlot])
		END(CKR_SLOT_ID_INVALID);
	if (ctl->set[sAbsent])
		END(CKR_TOKEN_NOT_PRESENT);
	if (!(flags & 4))
		END(CKR_SESSION_PARALLEL_NOT_SUPPORTED);
	if (ctl->set[sMaxSessions] && ctl->set[sSessions] >= ctl->set[sMaxSessions])
		END(CKR_SESSION_COUNT);
	session *s = calloc(1, sizeof *s);
	s->handle = *h = ++nextSession;
	s->flags = flags;
	s->next = sessions;
	sessions = s;
	if (++ctl->set[sSessions] > ctl->set[sMost])
		ctl->set[sMost] = ctl->set[sSessions];
	END(CKR_OK);
}

static ulong C_CloseSession(ulong h) {
	BEGIN(CloseSession, ~0UL);
	session *s = of(h);
	if (!s)
		END(CKR_SESSION_HANDLE_INVALID);
	if (__atomic_load_n(&running[h % 65536], __ATOMIC_SEQ_CST))
		ctl->set[sOverlaps]++;
	closeSession(s);
	END(CKR_OK);
}

static ulong C_CloseAllSessions(ulong slot) {
	(void)slot;
	BEGIN(CloseAllSessions, ~0UL);
	lose();
	END(CKR_OK);
}

static ulong C_GetSessionInfo(ulong h, ulong *i) {
	BEGIN(GetSessionInfo, h);
	int rw = (c.s->flags & 2) != 0;
	i[0] = ctl->set[sSlot];
	i[1] = loggedIn == 2 ? 4 : (ulong)(2 * rw + (loggedIn == 1));
	i[2] = c.s->flags;
	i[3] = 0;
	END(CKR_OK);
}

static ulong login(call *c, ulong user, const byte *pin, ulong n) {
	if (user == 2) { // CKU_CONTEXT_SPECIFIC
		for (int i = 0; i < ops; i++)
			if (c->s->op[i].active) {
				ulong rv = checkPIN(tPIN, &ctl->set[sLeft], pin, n);
				c->s->op[i].authenticated = rv == CKR_OK;
				return rv;
			}
		return CKR_OPERATION_NOT_INITIALIZED;
	}
	if (user > 1)
		return CKR_USER_TYPE_INVALID;
	int who = user == 1 ? 1 : 2;
	if (loggedIn)
		return loggedIn == who ? CKR_USER_ALREADY_LOGGED_IN : CKR_USER_ANOTHER_ALREADY_LOGGED_IN;
	if (who == 1 && !(ctl->set[sTokenFlags] & 8))
		return CKR_USER_PIN_NOT_INITIALIZED;
	ulong rv = checkPIN(who == 1 ? tPIN : tSOPIN, &ctl->set[who == 1 ? sLeft : sSOLeft], pin, n);
	if (rv == CKR_OK) {
		loggedIn = who;
		ctl->set[sLoggedIn] = (uint64_t)who;
	}
	return rv;
}

static ulong C_Login(ulong h, ulong user, const byte *pin, ulong n) {
	BEGIN(Login, h);
	END(login(&c, user, pin, n));
}

static ulong C_LoginUser(ulong h, ulong user, const byte *pin, ulong n, const byte *name, ulong namelen) {
	BEGIN(LoginUser, h);
	(void)name;
	(void)namelen;
	END(login(&c, user, pin, n));
}

static ulong C_Logout(ulong h) {
	BEGIN(Logout, h);
	if (!loggedIn)
		END(CKR_USER_NOT_LOGGED_IN);
	logout();
	END(CKR_OK);
}

static ulong C_SessionCancel(ulong h, ulong flags) {
	BEGIN(SessionCancel, h);
	static const ulong bits[ops] = {0x100, 0x200, 0x800, 0x2000, 0x400, 2, 4};
	for (int i = 0; i < ops; i++)
		if (flags & bits[i])
			end(&c.s->op[i]);
	if (flags & 0x40)
		c.s->finding = 0;
	END(CKR_OK);
}

// Objects.

// visible returns the object that h names, as far as the session may know it.
static object *visible(ulong h) {
	for (object *o = objects; o; o = o->next)
		if (o->handle == h)
			return truth(o, CKA_PRIVATE, 0) && loggedIn != 1 ? NULL : o;
	return NULL;
}

static ulong make(call *c, const attribute *a, ulong n, object **made) {
	int token = 0, private = 0;
	for (ulong i = 0; i < n; i++) {
		if (a[i].length && !a[i].value)
			return CKR_ARGUMENTS_BAD;
		if (a[i].type == CKA_TOKEN && a[i].length == 1)
			token = *(byte *)a[i].value;
		if (a[i].type == CKA_PRIVATE && a[i].length == 1)
			private = *(byte *)a[i].value;
	}
	if (private && loggedIn != 1)
		return CKR_USER_NOT_LOGGED_IN;
	if (token && !(c->s->flags & 2))
		return CKR_SESSION_READ_ONLY;
	object *o = add();
	o->session = token ? 0 : c->s->handle;
	for (ulong i = 0; i < n; i++)
		set(o, a[i].type, a[i].value, a[i].length);
	*made = o;
	return CKR_OK;
}

static ulong C_CreateObject(ulong h, const attribute *a, ulong n, ulong *made) {
	BEGIN(CreateObject, h);
	object *o;
	ulong rv = make(&c, a, n, &o);
	if (rv == CKR_OK && !find(o, CKA_CLASS)) {
		drop(o);
		rv = CKR_TEMPLATE_INCOMPLETE;
	}
	if (rv == CKR_OK)
		*made = o->handle;
	END(rv);
}

static ulong C_CopyObject(ulong h, ulong from, const attribute *a, ulong n, ulong *made) {
	BEGIN(CopyObject, h);
	object *old = visible(from), *o;
	if (!old)
		END(CKR_OBJECT_HANDLE_INVALID);
	ulong rv = make(&c, a, n, &o);
	if (rv != CKR_OK)
		END(rv);
	for (ulong i = 0; i < old->n; i++)
		if (!find(o, old->a[i].type))
			set(o, old->a[i].type, old->a[i].value, old->a[i].length);
	*made = o->handle;
	END(CKR_OK);
}

static ulong C_DestroyObject(ulong h, ulong which) {
	BEGIN(DestroyObject, h);
	object *o = visible(which);
	if (!o)
		END(CKR_OBJECT_HANDLE_INVALID);
	drop(o);
	END(CKR_OK);
}

static ulong C_GetObjectSize(ulong h, ulong which, ulong *n) {
	BEGIN(GetObjectSize, h);
	object *o = visible(which);
	if (!o)
		END(CKR_OBJECT_HANDLE_INVALID);
	*n = 0;
	for (ulong i = 0; i < o->n; i++)
		*n += o->a[i].length;
	OUT(CKR_OK, NULL, n);
}

static int secret(const object *o, ulong type) {
	if (type >= OWN_ORDER && type <= OWN_RD)
		return 1;
	if (type != CKA_VALUE && (type < CKA_PRIVATE_EXPONENT || type > CKA_COEFFICIENT))
		return 0;
	ulong class = number(o, CKA_CLASS, 0);
	return (class == CKO_PRIVATE_KEY || class == CKO_SECRET_KEY) && (truth(o, CKA_SENSITIVE, 0) || !truth(o, CKA_EXTRACTABLE, 1));
}

static ulong C_GetAttributeValue(ulong h, ulong which, attribute *a, ulong n) {
	BEGIN(GetAttributeValue, h);
	object *o = visible(which);
	ulong rv = CKR_OK, *last = NULL;
	if (!o)
		END(CKR_OBJECT_HANDLE_INVALID);
	if (ctl->set[sWhole])
		for (ulong i = 0; i < n; i++)
			if (!find(o, a[i].type))
				END(CKR_ATTRIBUTE_TYPE_INVALID);
	for (ulong i = 0; i < n; i++) {
		attribute *got = find(o, a[i].type);
		ulong one = CKR_OK, room = a[i].length;
		if (!got)
			one = CKR_ATTRIBUTE_TYPE_INVALID;
		else if (secret(o, a[i].type))
			one = CKR_ATTRIBUTE_SENSITIVE;
		else if (a[i].value && (room < got->length || (ctl->set[sExact] && got->length == sizeof(ulong) && room != got->length)))
			one = CKR_BUFFER_TOO_SMALL;
		if (one != CKR_OK) {
			a[i].length = UNAVAILABLE;
			rv = one;
			continue;
		}
		a[i].length = got->length;
		if (a[i].value) {
			memcpy(a[i].value, got->value, got->length);
			last = &a[i].length;
		}
	}
	OUT(rv, NULL, last);
}

static ulong C_SetAttributeValue(ulong h, ulong which, const attribute *a, ulong n) {
	BEGIN(SetAttributeValue, h);
	object *o = visible(which);
	if (!o)
		END(CKR_OBJECT_HANDLE_INVALID);
	for (ulong i = 0; i < n; i++)
		set(o, a[i].type, a[i].value, a[i].length);
	END(CKR_OK);
}

static ulong C_FindObjectsInit(ulong h, const attribute *a, ulong n) {
	BEGIN(FindObjectsInit, h);
	session *s = c.s;
	if (s->finding)
		END(CKR_OPERATION_ACTIVE);
	ulong room = 0;
	free(s->found);
	s->found = NULL;
	s->nfound = s->at = 0;
	for (object *o = objects; o; o = o->next) {
		if (truth(o, CKA_PRIVATE, 0) && loggedIn != 1)
			continue;
		int all = 1;
		for (ulong i = 0; all && i < n; i++) {
			attribute *has = find(o, a[i].type);
			all = has && has->length == a[i].length && !memcmp(has->value, a[i].value, has->length);
		}
		if (!all)
			continue;
		if (s->nfound == room)
			s->found = realloc(s->found, (room = 2 * room + 16) * sizeof *s->found);
		s->found[s->nfound++] = o->handle;
	}
	s->finding = 1;
	END(CKR_OK);
}

static ulong C_FindObjects(ulong h, ulong *out, ulong max, ulong *n) {
	BEGIN(FindObjects, h);
	session *s = c.s;
	if (!s->finding)
		END(CKR_OPERATION_NOT_INITIALIZED);
	for (*n = 0; *n < max && s->at < s->nfound;)
		out[(*n)++] = s->found[s->at++];
	OUT(CKR_OK, NULL, n);
}

static ulong C_FindObjectsFinal(ulong h) {
	BEGIN(FindObjectsFinal, h);
	if (!c.s->finding)
		END(CKR_OPERATION_NOT_INITIALIZED);
	c.s->finding = 0;
	END(CKR_OK);
}

// Operations.

typedef struct {
	byte *iv;
	ulong ivlen, ivbits;
	byte *aad;
	ulong aadlen, tagbits;
} gcm;

typedef struct {
	byte *iv;
	ulong ivlen, fixedbits, generator;
	byte *tag;
	ulong tagbits;
} gcmMessage;

static void nonce(operation *op, const object *key, const byte *iv, ulong n) {
	op->state = sum(keyState(key), iv, n);
}

static ulong start(call *c, int kind, const mechanism *m, ulong h) {
	operation *op = &c->s->op[kind];
	object *key = visible(h);
	if (op->active || (c->s->finding && kind != opDigest)) // as SoftHSM2 does
		return CKR_OPERATION_ACTIVE;
	if (!m)
		return CKR_ARGUMENTS_BAD;
	if (!key)
		return CKR_KEY_HANDLE_INVALID;
	memset(op, 0, sizeof *op);
	op->mechanism = m->type;
	op->key = h;
	op->authenticated = !truth(key, CKA_ALWAYS_AUTHENTICATE, 0);
	op->sum = 0xCBF29CE484222325;
	if (m->type == CKM_AES_GCM && (kind == opEncrypt || kind == opDecrypt)) {
		const gcm *g = m->parameter;
		if (m->length != sizeof *g || (g->ivlen && !g->iv) || g->tagbits > 128 || g->ivlen > sizeof op->nonce)
			return CKR_MECHANISM_PARAM_INVALID;
		if (kind == opEncrypt && ctl->set[sOwnNonce]) {
			if (g->ivlen != 12)
				return CKR_MECHANISM_PARAM_INVALID;
			for (ulong i = 0; i < g->ivlen; i++)
				if (g->iv[i])
					return CKR_MECHANISM_PARAM_INVALID; // it insists on zeros
			fill(op->nonce, 12);
			op->iv = g->iv;
			if (ctl->set[sOwnNonce] == 1) { // else when it is over
				memcpy(g->iv, op->nonce, 12);
				op->iv = NULL;
			}
		} else
			memcpy(op->nonce, g->iv, g->ivlen);
		op->noncelen = g->ivlen;
		nonce(op, key, op->nonce, g->ivlen);
		op->sum = sum(op->sum, g->aad, g->aadlen);
		op->taglen = g->tagbits / 8;
	} else
		nonce(op, key, m->parameter, m->parameter && kind < opSign ? m->length : 0);
	op->active = 1;
	return CKR_OK;
}

#define INIT(name, kind) \
	static ulong C_##name(ulong h, const mechanism *m, ulong key) { \
		BEGIN(name, h); \
		END(start(&c, kind, m, key)); \
	}
INIT(EncryptInit, opEncrypt)
INIT(DecryptInit, opDecrypt)
INIT(SignInit, opSign)
INIT(VerifyInit, opVerify)
INIT(MessageEncryptInit, opMessageEncrypt)
INIT(MessageDecryptInit, opMessageDecrypt)

// ready returns the key of an operation, and ends one whose key is gone.
static ulong ready(operation *op, object **key) {
	if (!op->active)
		return CKR_OPERATION_NOT_INITIALIZED;
	*key = visible(op->key);
	if (*key && op->authenticated)
		return CKR_OK;
	ulong rv = *key ? CKR_USER_NOT_LOGGED_IN : CKR_KEY_HANDLE_INVALID;
	end(op);
	return rv;
}

static void keep(operation *op, const byte *in, ulong n) {
	op->data = realloc(op->data, op->n + n + 1);
	memcpy(op->data + op->n, in, n);
	op->n += n;
}

static void tag(operation *op, byte *out) {
	byte zero[16] = {0};
	stream(mix(op->state ^ op->sum), 0, zero, 16, out);
	if (op->iv)
		memcpy(op->iv, op->nonce, op->noncelen);
}

static void encrypt(operation *op, const byte *in, ulong n, byte *out) {
	stream(op->state, op->done, in, n, out);
	op->sum = sum(op->sum, out, n);
	op->done += n;
}

static ulong C_Encrypt(ulong h, const byte *in, ulong inlen, byte *out, ulong *n) {
	BEGIN(Encrypt, h);
	operation *op = &c.s->op[opEncrypt];
	object *key;
	ulong rv = ready(op, &key), want = inlen + op->taglen;
	if (rv != CKR_OK)
		END(rv);
	if (!out || *n < want) {
		*n = want;
		END(out ? CKR_BUFFER_TOO_SMALL : CKR_OK);
	}
	byte t[16];
	encrypt(op, in, inlen, out);
	tag(op, t);
	memcpy(out + inlen, t, op->taglen);
	*n = want;
	end(op);
	OUT(CKR_OK, out, n);
}

static ulong C_EncryptUpdate(ulong h, const byte *in, ulong inlen, byte *out, ulong *n) {
	BEGIN(EncryptUpdate, h);
	operation *op = &c.s->op[opEncrypt];
	object *key;
	ulong rv = ready(op, &key);
	if (rv != CKR_OK)
		END(rv);
	if (!out || *n < inlen) {
		*n = inlen;
		END(out ? CKR_BUFFER_TOO_SMALL : CKR_OK);
	}
	encrypt(op, in, inlen, out);
	*n = inlen;
	OUT(CKR_OK, out, n);
}

static ulong C_EncryptFinal(ulong h, byte *out, ulong *n) {
	BEGIN(EncryptFinal, h);
	operation *op = &c.s->op[opEncrypt];
	object *key;
	ulong rv = ready(op, &key);
	if (rv != CKR_OK)
		END(rv);
	if (!out) { // as NSS does
		end(op);
		*n = 0;
		END(CKR_OK);
	}
	if (*n < op->taglen) {
		*n = op->taglen;
		END(CKR_BUFFER_TOO_SMALL);
	}
	byte t[16];
	tag(op, t);
	memcpy(out, t, *n = op->taglen);
	end(op);
	OUT(CKR_OK, out, n);
}

// open decrypts all at once.
static ulong opened(operation *op, const byte *in, ulong inlen, byte *out, ulong *n) {
	if (inlen < op->taglen)
		return CKR_ENCRYPTED_DATA_LEN_RANGE;
	ulong want = inlen - op->taglen;
	if (!out || *n < want) {
		*n = want;
		return out ? CKR_BUFFER_TOO_SMALL : CKR_OK;
	}
	byte t[16];
	op->sum = sum(op->sum, in, want);
	tag(op, t);
	if (memcmp(t, in + want, op->taglen)) {
		end(op);
		return CKR_ENCRYPTED_DATA_INVALID;
	}
	stream(op->state, 0, in, want, out);
	*n = want;
	end(op);
	return CKR_OK;
}

static ulong C_Decrypt(ulong h, const byte *in, ulong inlen, byte *out, ulong *n) {
	BEGIN(Decrypt, h);
	object *key;
	ulong rv = ready(&c.s->op[opDecrypt], &key);
	OUT(rv != CKR_OK ? rv : opened(&c.s->op[opDecrypt], in, inlen, out, n), out, n);
}

// Nothing is given out before the tag was seen.
static ulong C_DecryptUpdate(ulong h, const byte *in, ulong inlen, byte *out, ulong *n) {
	BEGIN(DecryptUpdate, h);
	operation *op = &c.s->op[opDecrypt];
	object *key;
	ulong rv = ready(op, &key);
	if (rv != CKR_OK)
		END(rv);
	if (op->taglen) {
		keep(op, in, inlen);
		*n = 0;
		END(CKR_OK);
	}
	if (!out || *n < inlen) {
		*n = inlen;
		END(out ? CKR_BUFFER_TOO_SMALL : CKR_OK);
	}
	stream(op->state, op->done, in, inlen, out);
	op->done += inlen;
	*n = inlen;
	OUT(CKR_OK, out, n);
}

static ulong C_DecryptFinal(ulong h, byte *out, ulong *n) {
	BEGIN(DecryptFinal, h);
	operation *op = &c.s->op[opDecrypt];
	object *key;
	ulong rv = ready(op, &key);
	if (rv != CKR_OK)
		END(rv);
	if (!op->taglen) {
		*n = 0;
		end(op);
		END(CKR_OK);
	}
	OUT(opened(op, op->data, op->n, out, n), out, n);
}

static ulong C_Sign(ulong h, const byte *in, ulong inlen, byte *out, ulong *n) {
	BEGIN(Sign, h);
	operation *op = &c.s->op[opSign];
	object *key;
	ulong rv = ready(op, &key);
	if (rv != CKR_OK)
		END(rv);
	byte none[1];
	ulong zero = 0;
	if (!out) {
		sign(key, op->mechanism, in, inlen, none, &zero);
		*n = zero;
		END(CKR_OK);
	}
	rv = sign(key, op->mechanism, in, inlen, out, n);
	if (rv != CKR_BUFFER_TOO_SMALL)
		end(op);
	OUT(rv, out, n);
}

static ulong verify(object *key, ulong m, const byte *in, ulong inlen, const byte *sig, ulong siglen) {
	byte want[256];
	ulong n = sizeof want;
	if (sign(key, m, in, inlen, want, &n) != CKR_OK)
		return CKR_KEY_FUNCTION_NOT_PERMITTED;
	return siglen != n ? CKR_SIGNATURE_LEN_RANGE : memcmp(want, sig, n) ? CKR_SIGNATURE_INVALID : CKR_OK;
}

static ulong C_Verify(ulong h, const byte *in, ulong inlen, const byte *sig, ulong siglen) {
	BEGIN(Verify, h);
	operation *op = &c.s->op[opVerify];
	object *key;
	ulong rv = ready(op, &key);
	if (rv == CKR_OK) {
		rv = verify(key, op->mechanism, in, inlen, sig, siglen);
		end(op);
	}
	END(rv);
}

#define UPDATE(name, kind) \
	static ulong C_##name(ulong h, const byte *in, ulong n) { \
		BEGIN(name, h); \
		object *key; \
		ulong rv = ready(&c.s->op[kind], &key); \
		if (rv == CKR_OK) \
			keep(&c.s->op[kind], in, n); \
		END(rv); \
	}
UPDATE(SignUpdate, opSign)
UPDATE(VerifyUpdate, opVerify)

static ulong C_SignFinal(ulong h, byte *out, ulong *n) {
	BEGIN(SignFinal, h);
	operation *op = &c.s->op[opSign];
	object *key;
	ulong rv = ready(op, &key);
	if (rv != CKR_OK)
		END(rv);
	rv = sign(key, op->mechanism, op->data ? op->data : (byte *)"", op->n, out, n);
	if (rv != CKR_BUFFER_TOO_SMALL)
		end(op);
	OUT(rv, out, n);
}

static ulong C_VerifyFinal(ulong h, const byte *sig, ulong n) {
	BEGIN(VerifyFinal, h);
	operation *op = &c.s->op[opVerify];
	object *key;
	ulong rv = ready(op, &key);
	if (rv == CKR_OK) {
		rv = verify(key, op->mechanism, op->data ? op->data : (byte *)"", op->n, sig, n);
		end(op);
	}
	END(rv);
}

// The digest is 32 bytes that depend on all of the input, whatever the mechanism.
static ulong C_DigestInit(ulong h, const mechanism *m) {
	BEGIN(DigestInit, h);
	operation *op = &c.s->op[opDigest];
	if (op->active)
		END(CKR_OPERATION_ACTIVE);
	memset(op, 0, sizeof *op);
	op->active = 1;
	op->sum = mix(m->type);
	END(CKR_OK);
}

static ulong digested(operation *op, byte *out, ulong *n) {
	if (!op->active)
		return CKR_OPERATION_NOT_INITIALIZED;
	ulong room = *n;
	*n = 32;
	if (!out)
		return CKR_OK;
	if (room < 32)
		return CKR_BUFFER_TOO_SMALL;
	memset(out, 0, 32);
	stream(op->sum, 0, out, 32, out);
	end(op);
	return CKR_OK;
}

static ulong C_DigestUpdate(ulong h, const byte *in, ulong n) {
	BEGIN(DigestUpdate, h);
	operation *op = &c.s->op[opDigest];
	op->sum = sum(op->sum, in, n);
	END(op->active ? CKR_OK : CKR_OPERATION_NOT_INITIALIZED);
}

static ulong C_DigestKey(ulong h, ulong which) {
	BEGIN(DigestKey, h);
	operation *op = &c.s->op[opDigest];
	object *key = visible(which);
	if (!key)
		END(CKR_KEY_HANDLE_INVALID);
	attribute *v = find(key, CKA_VALUE);
	if (v)
		op->sum = sum(op->sum, v->value, v->length);
	END(op->active ? CKR_OK : CKR_OPERATION_NOT_INITIALIZED);
}

static ulong C_DigestFinal(ulong h, byte *out, ulong *n) {
	BEGIN(DigestFinal, h);
	OUT(digested(&c.s->op[opDigest], out, n), out, n);
}

static ulong C_Digest(ulong h, const byte *in, ulong inlen, byte *out, ulong *n) {
	BEGIN(Digest, h);
	operation *op = &c.s->op[opDigest];
	uint64_t before = op->sum;
	op->sum = sum(op->sum, in, inlen);
	ulong rv = digested(op, out, n);
	if (op->active)
		op->sum = before; // it will be asked again
	OUT(rv, out, n);
}

// Keys.

static ulong C_GenerateKey(ulong h, const mechanism *m, const attribute *a, ulong n, ulong *made) {
	BEGIN(GenerateKey, h);
	object *o;
	byte value[64];
	(void)m;
	ulong rv = make(&c, a, n, &o);
	if (rv != CKR_OK)
		END(rv);
	ulong length = number(o, CKA_VALUE_LEN, 32);
	if (length > sizeof value)
		length = sizeof value;
	fill(value, length);
	set(o, CKA_VALUE, value, length);
	if (!find(o, CKA_CLASS))
		setNumber(o, CKA_CLASS, CKO_SECRET_KEY);
	*made = o->handle;
	END(CKR_OK);
}

// A wrapped key is its value, hidden, and 8 bytes by which the right key is known.
static ulong C_WrapKey(ulong h, const mechanism *m, ulong by, ulong which, byte *out, ulong *n) {
	BEGIN(WrapKey, h);
	object *wrapping = visible(by), *key = visible(which);
	attribute *v = key ? find(key, CKA_VALUE) : NULL;
	(void)m;
	if (!wrapping || !v)
		END(CKR_KEY_HANDLE_INVALID);
	if (!truth(key, CKA_EXTRACTABLE, 1))
		END(CKR_KEY_UNEXTRACTABLE);
	ulong room = *n;
	*n = v->length + 8;
	if (!out)
		END(CKR_OK);
	if (room < *n)
		END(CKR_BUFFER_TOO_SMALL);
	uint64_t state = keyState(wrapping), check = sum(state, v->value, v->length);
	stream(state, 0, v->value, v->length, out);
	memcpy(out + v->length, &check, 8);
	OUT(CKR_OK, out, n);
}

static ulong C_UnwrapKey(ulong h, const mechanism *m, ulong by, const byte *in, ulong inlen, const attribute *a, ulong n, ulong *made) {
	BEGIN(UnwrapKey, h);
	object *wrapping = visible(by), *o;
	(void)m;
	if (!wrapping)
		END(CKR_KEY_HANDLE_INVALID);
	if (inlen < 8 || inlen > 4096)
		END(CKR_WRAPPED_KEY_INVALID);
	byte value[4096];
	uint64_t state = keyState(wrapping), check;
	stream(state, 0, in, inlen - 8, value);
	memcpy(&check, in + inlen - 8, 8);
	ulong rv = check != sum(state, value, inlen - 8) ? CKR_WRAPPED_KEY_INVALID : make(&c, a, n, &o);
	if (rv == CKR_OK) {
		set(o, CKA_VALUE, value, inlen - 8);
		*made = o->handle;
	}
	memset(value, 0, sizeof value);
	__asm__ volatile("" : : "r"(value) : "memory");
	END(rv);
}

static ulong C_DeriveKey(ulong h, const mechanism *m, ulong base, const attribute *a, ulong n, ulong *made) {
	BEGIN(DeriveKey, h);
	object *key = visible(base), *o;
	byte value[64] = {0};
	if (!key)
		END(CKR_KEY_HANDLE_INVALID);
	uint64_t state = sum(keyState(key), (const byte *)&m->type, sizeof m->type);
	ulong rv = make(&c, a, n, &o);
	if (rv != CKR_OK)
		END(rv);
	ulong length = number(o, CKA_VALUE_LEN, 32);
	if (length > sizeof value)
		length = sizeof value;
	stream(mix(state), 0, value, length, value);
	set(o, CKA_VALUE, value, length);
	*made = o->handle;
	END(CKR_OK);
}

static ulong agreed(call *c, object *key, const byte *sent, const attribute *a, ulong n, ulong *made) {
	attribute *id = find(key, CKA_ID);
	byte value[32] = {0};
	object *o;
	ulong rv = make(c, a, n, &o);
	if (rv != CKR_OK)
		return rv;
	stream(sum(sum(1, sent, 32), id ? id->value : (byte *)"", id ? id->length : 0), 0, value, 32, value);
	set(o, CKA_VALUE, value, 32);
	*made = o->handle;
	return CKR_OK;
}

static ulong C_EncapsulateKey(ulong h, const mechanism *m, ulong which, const attribute *a, ulong n, byte *out, ulong *outlen, ulong *made) {
	BEGIN(EncapsulateKey, h);
	object *key = visible(which);
	(void)m;
	ulong room = *outlen;
	*outlen = 32;
	if (!key)
		END(CKR_KEY_HANDLE_INVALID);
	if (!out || room < 32) // as NSS does
		END(CKR_BUFFER_TOO_SMALL);
	fill(out, 32);
	OUT(agreed(&c, key, out, a, n, made), out, outlen);
}

static ulong C_DecapsulateKey(ulong h, const mechanism *m, ulong which, const attribute *a, ulong n, const byte *in, ulong inlen, ulong *made) {
	BEGIN(DecapsulateKey, h);
	object *key = visible(which);
	(void)m;
	if (!key)
		END(CKR_KEY_HANDLE_INVALID);
	END(inlen != 32 ? CKR_WRAPPED_KEY_INVALID : agreed(&c, key, in, a, n, made));
}

static ulong C_SeedRandom(ulong h, const byte *in, ulong n) {
	BEGIN(SeedRandom, h);
	(void)in;
	(void)n;
	END(CKR_OK);
}

static ulong C_GenerateRandom(ulong h, byte *out, ulong n) {
	BEGIN(GenerateRandom, h);
	fill(out, n);
	OUT(CKR_OK, out, &n);
}

// Messages.

static ulong message(call *c, int kind, gcmMessage *g, ulong glen, const byte *aad, ulong aadlen, const byte *in, ulong inlen, byte *out, ulong *n) {
	operation *op = &c->s->op[kind];
	object *key;
	ulong rv = ready(op, &key);
	if (rv != CKR_OK)
		return rv;
	if (glen != sizeof *g || g->tagbits > 128 || (g->ivlen && !g->iv))
		return CKR_MECHANISM_PARAM_INVALID;
	if (!out || *n < inlen) {
		*n = inlen;
		return out ? CKR_BUFFER_TOO_SMALL : CKR_OK;
	}
	if (kind == opMessageEncrypt && (g->generator || ctl->set[sOwnNonce]))
		fill(g->iv, g->ivlen);
	byte t[16];
	ulong taglen = g->tagbits / 8;
	nonce(op, key, g->iv, g->ivlen);
	op->sum = sum(0xCBF29CE484222325, aad, aadlen);
	op->done = 0;
	if (kind == opMessageEncrypt) {
		encrypt(op, in, inlen, out);
		tag(op, t);
		memcpy(g->tag, t, taglen);
	} else {
		op->sum = sum(op->sum, in, inlen);
		tag(op, t);
		if (memcmp(t, g->tag, taglen))
			return CKR_ENCRYPTED_DATA_INVALID;
		stream(op->state, 0, in, inlen, out);
	}
	*n = inlen;
	return CKR_OK;
}

#define MESSAGE(name, final, kind) \
	static ulong C_##name(ulong h, void *g, ulong glen, const byte *aad, ulong aadlen, const byte *in, ulong inlen, byte *out, ulong *n) { \
		BEGIN(name, h); \
		OUT(message(&c, kind, g, glen, aad, aadlen, in, inlen, out, n), out, n); \
	} \
	static ulong C_##final(ulong h) { \
		BEGIN(final, h); \
		ulong rv = c.s->op[kind].active ? CKR_OK : CKR_OPERATION_NOT_INITIALIZED; \
		end(&c.s->op[kind]); \
		END(rv); \
	}
MESSAGE(EncryptMessage, MessageEncryptFinal, opMessageEncrypt)
MESSAGE(DecryptMessage, MessageDecryptFinal, opMessageDecrypt)

static ulong C_WaitForSlotEvent(ulong flags, ulong *slot, void *reserved) {
	static uint64_t taken;
	(void)reserved;
	for (;;) {
		BEGIN(WaitForSlotEvent, ~0UL);
		if (ctl->set[sEvents] != taken) {
			taken++;
			*slot = ctl->set[sSlot];
			END(CKR_OK);
		}
		ulong rv = finish(&c, CKR_NO_EVENT, NULL, NULL);
		if (flags & 1 || rv != CKR_NO_EVENT)
			return rv;
		nap(1000000);
	}
}

static ulong nothing(void) { return CKR_OK; }
static ulong missing(void) { return CKR_FUNCTION_NOT_SUPPORTED; }

// The lists.

typedef struct {
	version v;
	void *f[FUNCTIONS];
} list;

ulong C_GetFunctionList(list **);
ulong C_GetInterface(const byte *name, const version *v, void **interface, ulong flags);

static list lists[3];

static list *made(int which) {
	static const version versions[3] = {{3, 2}, {3, 0}, {2, 40}};
	list *l = &lists[which];
	load();
	pthread_mutex_lock(&lock);
	l->v = versions[which];
	for (int i = 0; i < FUNCTIONS; i++)
		l->f[i] = ctl->set[sNull] ? (void *)nothing : (void *)missing;
#define HAS(name) l->f[f##name] = (void *)C_##name;
	if (!ctl->set[sNull]) {
		HAS(Initialize) HAS(Finalize) HAS(GetInfo) HAS(GetSlotList) HAS(GetSlotInfo) HAS(GetTokenInfo) HAS(GetMechanismList)
		HAS(GetMechanismInfo) HAS(InitToken) HAS(InitPIN) HAS(SetPIN) HAS(OpenSession) HAS(CloseSession) HAS(CloseAllSessions)
		HAS(GetSessionInfo) HAS(Login) HAS(Logout) HAS(CreateObject) HAS(CopyObject) HAS(DestroyObject) HAS(GetObjectSize)
		HAS(GetAttributeValue) HAS(SetAttributeValue) HAS(FindObjectsInit) HAS(FindObjects) HAS(FindObjectsFinal) HAS(EncryptInit)
		HAS(Encrypt) HAS(EncryptUpdate) HAS(EncryptFinal) HAS(DecryptInit) HAS(Decrypt) HAS(DecryptUpdate) HAS(DecryptFinal)
		HAS(DigestInit) HAS(Digest) HAS(DigestUpdate) HAS(DigestKey) HAS(DigestFinal) HAS(SignInit) HAS(Sign) HAS(SignUpdate)
		HAS(SignFinal) HAS(VerifyInit) HAS(Verify) HAS(VerifyUpdate) HAS(VerifyFinal) HAS(GenerateKey) HAS(WrapKey) HAS(UnwrapKey)
		HAS(DeriveKey) HAS(SeedRandom) HAS(GenerateRandom) HAS(WaitForSlotEvent) HAS(LoginUser) HAS(SessionCancel)
		HAS(MessageEncryptInit) HAS(EncryptMessage) HAS(MessageEncryptFinal) HAS(MessageDecryptInit) HAS(DecryptMessage)
		HAS(MessageDecryptFinal) HAS(EncapsulateKey) HAS(DecapsulateKey)
		l->f[87] = NULL; // C_MessageVerifyInit: an empty place is possible too
	}
	HAS(GetFunctionList) HAS(GetInterface)
	pthread_mutex_unlock(&lock);
	return l;
}

ulong C_GetFunctionList(list **out) {
	*out = made(2);
	return CKR_OK;
}

ulong C_GetInterface(const byte *name, const version *v, void **out, ulong flags) {
	static struct {
		const char *name;
		void *list;
		ulong flags;
	} interfaces[3];
	(void)flags;
	load();
	for (int i = 0; i < 3; i++) {
		if ((uint64_t)i < ctl->set[sList] || (name && strcmp((const char *)name, "PKCS 11")))
			continue;
		list *l = made(i);
		if (v && (v->major != l->v.major || v->minor != l->v.minor)) // exactly, as NSS does
			continue;
		interfaces[i].name = "PKCS 11";
		interfaces[i].list = l;
		*out = &interfaces[i];
		return CKR_OK;
	}
	return CKR_ARGUMENTS_BAD;
}
