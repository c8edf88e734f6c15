#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include "floor.h"

// The places of functions are those of the standard.
_Static_assert(offsetof(ck_list, GetAttributeValue) == (1 + 24) * sizeof(void *), "C_GetAttributeValue");
_Static_assert(offsetof(ck_list, EncryptInit) == (1 + 29) * sizeof(void *), "C_EncryptInit");
_Static_assert(offsetof(ck_list, SignInit) == (1 + 42) * sizeof(void *), "C_SignInit");
_Static_assert(offsetof(ck_list, MessageEncryptInit) == (1 + 72) * sizeof(void *), "C_MessageEncryptInit");

ck_list *floor_load(const char *path, ck_list **newer) {
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	ck_ulong (*get)(ck_list **) = NULL;
	ck_ulong (*interface)(ck_byte *, ck_byte *, void **, ck_ulong) = NULL;
	ck_list *list = NULL;
	struct {
		ck_byte *name;
		ck_list *list;
	} *found = NULL;
	ck_byte version[2] = {3, 0};
	*newer = NULL;
	if (!library)
		return NULL;
	*(void **)&get = dlsym(library, "C_GetFunctionList");
	if (!get || get(&list))
		return NULL;
	*(void **)&interface = dlsym(library, "C_GetInterface");
	if (interface && !interface((ck_byte *)"PKCS 11", version, (void **)&found, 0) && found)
		*newer = found->list;
	return list;
}

ck_ulong floor_sign(ck_list *l, ck_ulong session, ck_ulong mechanism, ck_ulong key, ck_byte *in, ck_ulong inlen, ck_byte *out, ck_ulong outlen, int n) {
	ck_mechanism m = {mechanism, NULL, 0};
	ck_ulong rv = 0;
	while (n-- && !rv) {
		ck_ulong got = outlen;
		rv = l->SignInit(session, &m, key);
		if (!rv)
			rv = l->Sign(session, in, inlen, out, &got);
	}
	return rv;
}

static ck_ulong ask(ck_list *l, ck_ulong session, ck_ulong object, ck_ulong *types, ck_ulong *rooms, ck_ulong count, ck_byte *buf) {
	ck_attribute a[16];
	for (ck_ulong i = 0; i < count; i++) {
		a[i] = (ck_attribute){types[i], buf, rooms[i]};
		buf += rooms[i];
	}
	return l->GetAttributeValue(session, object, a, count);
}

ck_ulong floor_attributes(ck_list *l, ck_ulong session, ck_ulong object, ck_ulong *types, ck_ulong *rooms, ck_ulong count, ck_byte *buf, int n) {
	ck_ulong rv = 0;
	while (n-- && !rv)
		rv = ask(l, session, object, types, rooms, count, buf);
	return rv;
}

ck_ulong floor_objects(ck_list *l, ck_ulong session, ck_ulong class, ck_ulong *types, ck_ulong *rooms, ck_ulong count, ck_ulong *objects, ck_ulong max, ck_byte *buf, ck_ulong *found, int n) {
	ck_attribute a = {0, &class, sizeof class}; // CKA_CLASS
	ck_ulong rv = 0, stride = 0;
	for (ck_ulong i = 0; i < count; i++)
		stride += rooms[i];
	while (n-- && !rv) {
		ck_ulong got = 1;
		*found = 0;
		rv = l->FindObjectsInit(session, &a, 1);
		if (rv)
			break;
		while (!rv && got && *found < max) {
			rv = l->FindObjects(session, objects + *found, max - *found, &got);
			*found += got;
		}
		l->FindObjectsFinal(session);
		for (ck_ulong i = 0; i < *found && !rv; i++)
			rv = ask(l, session, objects[i], types, rooms, count, buf + i * stride);
	}
	return rv;
}

ck_ulong floor_encrypt(ck_list *l, ck_ulong session, ck_ulong mechanism, ck_byte *iv, ck_ulong ivlen, ck_ulong key, ck_byte *in, ck_ulong inlen, ck_ulong piece, ck_byte *out, ck_ulong outlen, int n) {
	ck_mechanism m = {mechanism, iv, ivlen};
	ck_ulong rv = 0;
	while (n-- && !rv) {
		ck_ulong got = outlen;
		rv = l->EncryptInit(session, &m, key);
		for (ck_ulong at = 0; at < inlen && !rv; at += piece) {
			got = outlen;
			rv = l->EncryptUpdate(session, in + at, piece, out, &got);
		}
		got = outlen;
		if (!rv)
			rv = l->EncryptFinal(session, out, &got);
	}
	return rv;
}

ck_ulong floor_messages(ck_list *l, ck_ulong session, ck_ulong key, ck_byte *iv, ck_byte *tag, ck_byte *aad, ck_ulong aadlen, ck_byte *in, ck_ulong inlen, ck_byte *out, int n) {
	ck_mechanism m = {0x1087, NULL, 0}; // CKM_AES_GCM
	ck_ulong rv = l->MessageEncryptInit(session, &m, key);
	if (rv)
		return rv;
	while (n-- && !rv) {
		ck_gcm_message p = {.iv = iv, .ivlen = 12, .tag = tag, .tagbits = 128};
		ck_ulong got = inlen;
		for (int i = 11; i >= 4 && !++iv[i]; i--)
			;
		rv = l->EncryptMessage(session, &p, sizeof p, aad, aadlen, in, inlen, out, &got);
	}
	l->MessageEncryptFinal(session);
	return rv;
}

typedef struct {
	ck_list *list;
	ck_ulong session, mechanism, key, inlen, rv;
	ck_byte *in;
	int n;
	pthread_barrier_t *ready;
	struct timespec end;
} job;

static void *work(void *arg) {
	job *j = arg;
	ck_byte out[512];
	pthread_barrier_wait(j->ready);
	j->rv = floor_sign(j->list, j->session, j->mechanism, j->key, j->in, j->inlen, out, sizeof out, j->n);
	clock_gettime(CLOCK_MONOTONIC, &j->end);
	return NULL;
}

static ck_ulong nanoseconds(struct timespec t) { return (ck_ulong)t.tv_sec * 1000000000UL + (ck_ulong)t.tv_nsec; }

ck_ulong floor_threads(ck_list *l, ck_ulong *sessions, ck_ulong threads, ck_ulong mechanism, ck_ulong key, ck_byte *in, ck_ulong inlen, int n) {
	pthread_t *ids = calloc(threads, sizeof *ids);
	job *jobs = calloc(threads, sizeof *jobs);
	pthread_barrier_t ready;
	struct timespec start;
	ck_ulong last = 0, failed = !ids || !jobs, running = 0;
	pthread_barrier_init(&ready, NULL, (unsigned)threads + 1);
	for (; !failed && running < threads; running++) {
		jobs[running] = (job){.list = l, .session = sessions[running], .mechanism = mechanism, .key = key, .in = in, .inlen = inlen, .n = n, .ready = &ready};
		if (pthread_create(&ids[running], NULL, work, &jobs[running]))
			abort(); // those that run would wait for it at the barrier
	}
	if (!failed) {
		clock_gettime(CLOCK_MONOTONIC, &start);
		pthread_barrier_wait(&ready);
	}
	for (ck_ulong i = 0; i < running; i++) {
		pthread_join(ids[i], NULL);
		failed |= jobs[i].rv;
		ck_ulong end = nanoseconds(jobs[i].end);
		if (end > last)
			last = end;
	}
	pthread_barrier_destroy(&ready);
	free(ids);
	free(jobs);
	return failed ? 0 : last - nanoseconds(start);
}
