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
    if (has_avx512_vnni()) found.push_back(&avx512vnni);
    if (has_avx2()) found.push_back(&avx2);
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
