// A PKCS#11 module that is the module at REAL, but for C_Initialize and C_Finalize, which
// do nothing: libraries of which each wants to be the one that initialises it can then
// use one module in one process. All other functions are those of the module itself,
// called with nothing in between. Except that with TAG the length of a ciphertext is told
// here: NSS forgets the tag of AES-GCM when it is asked for the length alone, so that
// whoever asks cannot encrypt.

#include <dlfcn.h>
#include <stddef.h>

typedef struct {
	unsigned char version[2];
	void *function[68];
} list;

static unsigned long nothing(void *arguments) {
	(void)arguments;
	return 0;
}

static list *real;

#if defined TAG
static unsigned long Encrypt(unsigned long session, void *in, unsigned long inlen, void *out, unsigned long *n) {
	if (!out) {
		*n = inlen + TAG;
		return 0;
	}
	return ((unsigned long (*)(unsigned long, void *, unsigned long, void *, unsigned long *))real->function[30])(session, in, inlen, out, n);
}
#endif

unsigned long C_GetFunctionList(list **out) {
	static list shared;
	unsigned long (*get)(list **) = NULL;
	void *library = dlopen(REAL, RTLD_NOW | RTLD_LOCAL);
	if (library)
		*(void **)&get = dlsym(library, "C_GetFunctionList");
	if (!get || get(&real))
		return 6; // CKR_FUNCTION_FAILED
	shared = *real;
	shared.function[0] = shared.function[1] = (void *)nothing;
#if defined TAG
	shared.function[30] = (void *)Encrypt;
#endif
	*out = &shared;
	return 0;
}
