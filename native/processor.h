// What __builtin_cpu_supports() does not tell of every processor.
#pragma once

#if defined(INTERLACE_ARM) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace interlace {

#ifdef INTERLACE_ARM
// Whether it multiplies and adds bytes as native/neon.cpp does.
inline bool has_dot_products() {
#if defined(__APPLE__)
    return true;    // every Mac with an ARM processor does
#elif defined(__linux__)
    return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
#else
    return false;
#endif
}
#endif

}    // namespace interlace
