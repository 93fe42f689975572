#include "model.h"

#include "../processor.h"

namespace interlace::encoding {

extern const Table portable;
extern const Table avx2;
extern const Table avx512vnni;
extern const Table neon;

Weights::Weights(const int8_t* codes, std::span<const float> scales, int64_t n_inputs, int zero)
    : n_inputs(n_inputs),
      n_outputs(static_cast<int64_t>(scales.size())),
      lines(static_cast<size_t>(n_inputs * n_outputs) / sizeof(Line)),
      scales(scales.begin(), scales.end()),
      totals(scales.size()),
      zero(zero) {
    int8_t* to = lines.data()->bytes;
    for (int64_t first = 0; first < n_outputs; first += kColumns)
        for (int64_t group = 0; group < n_inputs; group += 4)
            for (int64_t n = first; n < first + kColumns; ++n)
                for (int64_t k = group; k < group + 4; ++k) {
                    *to++ = codes[k * n_outputs + n];
                    totals[static_cast<size_t>(n)] += codes[k * n_outputs + n];
                }
}

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

}    // namespace interlace::encoding
