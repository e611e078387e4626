// POWERHOUSE_API marks what the shared library exports; everything else is hidden.
#pragma once

#if defined(POWERHOUSE_STATIC)
#define POWERHOUSE_API
#else
#define POWERHOUSE_API __attribute__((visibility("default")))
#endif
