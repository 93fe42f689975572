// Which tables this machine can run.
#include "kernels.h"
#include "processor.h"

namespace interlace {

extern const Table portable;
extern const Table avx2;
extern const Table avx512vnni;
extern const Table neon;

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
#ifdef INTERLACE_ARM
    if (has_dot_products()) found.push_back(&neon);
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
