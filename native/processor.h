// Which instructions this machine can run, of those that a table is compiled for.
#pragma once

#if defined(INTERLACE_ARM) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace interlace {

#ifdef INTERLACE_X86
// These also ask whether the operating system saves the wide registers.
inline bool has_avx2() { return __builtin_cpu_supports("avx2"); }
inline bool has_avx512_vnni() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni");
}
#endif

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
