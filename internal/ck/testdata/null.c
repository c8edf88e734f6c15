// A PKCS#11 module that does nothing, for measuring the way to it and for testing
// what happens when loading fails.
#include <stddef.h>

typedef unsigned long ck_ulong;

static ck_ulong nothing(void) { return 0; }

static struct {
	unsigned char major, minor;
	ck_ulong (*function[68])(void);
} list = {2, 40, {NULL}};

ck_ulong C_GetFunctionList(void **out) {
#if defined FAILS
	return 5;
#elif defined NO_LIST
	return 0;
#elif defined OLD
	list.major = 1;
#endif
	for (int i = 0; i < 68; i++)
		list.function[i] = nothing;
	*out = &list;
	return 0;
}
