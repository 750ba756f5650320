// How is a checksum of many bytes computed as fast as this processor can?
//
// A package of xxHash for x86 has a second header: with it the library detects the processor, and
// with AVX2 or AVX-512 XXH3 takes a third of the time. The values are the same.
#pragma once

#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif
