// Which tables this machine can run.
#include "kernels.h"

namespace interlace {

extern const Table portable;
extern const Table avx2;
extern const Table avx512vnni;

namespace {

std::vector<const Table*> detect() {
    std::vector<const Table*> found;
#ifdef INTERLACE_X86
    // These also ask whether the operating system saves the wide registers.
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vnni"))
        found.push_back(&avx512vnni);
    if (__builtin_cpu_supports("avx2")) found.push_back(&avx2);
#endif
    found.push_back(&portable);
    return found;
}

}    // namespace

std::span<const Table* const> tables() {
    static const std::vector<const Table*> found = detect();
    return found;
}

}    // namespace interlace
