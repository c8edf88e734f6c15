package ck

// UlongSize is the size of CK_ULONG in bytes.
const UlongSize = 4
