// Loading a module: the only part of the core that needs the system.

#include <stdio.h>
#if defined _WIN32
#include <windows.h>
#else
#include <dlfcn.h>
#endif

enum { ck_loaded, ck_not_loaded, ck_no_symbol, ck_no_list };

// ck_open loads a library. err gets the system's words, which belong to this thread, so
// that they are fetched in the same call.
static void *ck_open(const char *path, char *err, size_t errlen) {
#if defined _WIN32
	// The path is UTF-8. A path of its own is also where its other libraries are.
	wchar_t wide[1024];
	if (!MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, sizeof wide / sizeof wide[0])) {
		snprintf(err, errlen, "the path is too long or not valid");
		return NULL;
	}
	int own = 0;
	for (const char *p = path; *p; p++)
		own |= *p == '\\' || *p == '/';
	HMODULE handle = LoadLibraryExW(wide, NULL, own ? LOAD_WITH_ALTERED_SEARCH_PATH : 0);
	if (!handle) {
		DWORD code = GetLastError(), n = FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS,
			NULL, code, 0, err, (DWORD)errlen, NULL);
		while (n > 0 && (err[n - 1] == '\r' || err[n - 1] == '\n' || err[n - 1] == '.'))
			err[--n] = 0;
		if (n == 0)
			snprintf(err, errlen, "error %lu", (unsigned long)code);
	}
	return (void *)handle;
#else
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		const char *text = dlerror();
		snprintf(err, errlen, "%s", text ? text : "no reason given");
	}
	return handle;
#endif
}

static void *ck_symbol(void *library, const char *name) {
#if defined _WIN32
	return (void *)GetProcAddress((HMODULE)library, name);
#else
	return dlsym(library, name);
#endif
}

static void ck_close(void *library) {
#if defined _WIN32
	FreeLibrary((HMODULE)library);
#else
	dlclose(library);
#endif
}

// ck_best asks for the newest function list. Exact versions, as NSS refuses others; a
// list that is older than what was asked for is not taken at its word. count is the
// number of functions that may be looked at.
static ck_list *ck_best(void *library, ck_ulong *count) {
	static const struct {
		ck_version version;
		ck_ulong count;
	} editions[] = {{{3, 2}, CK_FUNCTIONS_3_2}, {{3, 0}, CK_FUNCTIONS_3_0}, {{2, 40}, CK_FUNCTIONS_2_40}};
	ck_ulong (*get)(ck_byte *, ck_version *, ck_interface **, ck_ulong);
	*(void **)&get = ck_symbol(library, "C_GetInterface");
	if (!get)
		return NULL;
	for (int i = 0; i < 3; i++) {
		ck_version v = editions[i].version;
		ck_interface *found = NULL;
		if (get((ck_byte *)"PKCS 11", &v, &found, 0) != ck_ok || !found || !found->list)
			continue;
		ck_list *list = found->list;
		if (list->version.major < editions[i].version.major ||
			(list->version.major == editions[i].version.major && list->version.minor < editions[i].version.minor))
			continue;
		*count = editions[i].count;
		return list;
	}
	return NULL;
}

// ck_load loads the module and asks it for its function lists. It may be known already,
// by library, which is then the caller's second reference to it. steady is whether
// C_GetFunctionList always gives the same list: p11-kit makes a new one, with a
// connection and handles of its own, whenever it is asked.
static int ck_load(const char *path, void **library, ck_list **list, ck_ulong *count, int *steady, ck_ulong *rv, char *err, size_t errlen) {
	*library = ck_open(path, err, errlen);
	if (!*library)
		return ck_not_loaded;
	ck_ulong (*get)(ck_list **);
	*(void **)&get = ck_symbol(*library, "C_GetFunctionList");
	if (!get) {
		ck_close(*library);
		return ck_no_symbol;
	}
	ck_list *old = NULL, *again = NULL;
	*rv = get(&old);
	if (*rv != ck_ok || !old) {
		ck_close(*library);
		return ck_no_list;
	}
	*steady = get(&again) == ck_ok && again == old;
	*list = ck_best(*library, count);
	if (!*list) {
		*list = old;
		*count = CK_FUNCTIONS_2_40;
	}
	return ck_loaded;
}

// ck_adopt is ck_load for a library that someone else has loaded, with the list that
// they use.
static void ck_adopt(void *library, ck_list **list, ck_ulong *count) {
	ck_ulong (*get)(ck_list **);
	*(void **)&get = ck_symbol(library, "C_GetFunctionList");
	ck_list *again = NULL, *best;
	if (get && get(&again) == ck_ok && again == *list && (best = ck_best(library, count)))
		*list = best;
	else
		*count = CK_FUNCTIONS_2_40;
}

// The version of a list, as Go cannot look into packed structures.
static ck_version ck_list_version(ck_list *list) { return list->version; }
