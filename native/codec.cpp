// What a codec is prepared with when it is loaded.
#include <algorithm>
#include <cmath>

#include "kernels.h"

namespace interlace {

// A counting sort, so that the members of a group keep their order.
Grouped::Grouped(const uint32_t* group_of, int64_t n_members, int64_t n_groups)
    : order(static_cast<size_t>(n_members)), offsets(static_cast<size_t>(n_groups) + 1, 0) {
    const auto n = static_cast<uint32_t>(n_members);
    for (uint32_t i = 0; i < n; ++i) ++offsets[group_of[i] + 1];
    for (size_t g = 1; g < offsets.size(); ++g) offsets[g] += offsets[g - 1];
    std::vector<uint32_t> next(offsets.begin(), offsets.end() - 1);
    for (uint32_t i = 0; i < n; ++i) order[next[group_of[i]]++] = i;
    is_sorted = std::is_sorted(order.begin(), order.end());
}

// Codes beyond 2**bits repeat, so that a look-up need not know how many there are.
std::vector<int8_t> residuals_of(const int8_t* levels, int bits, const float* norms) {
    std::vector<int8_t> residuals(16 * 16);
    for (int norm = 0; norm < 16; ++norm)
        for (int code = 0; code < 16; ++code)
            residuals[static_cast<size_t>(16 * norm + code)] = static_cast<int8_t>(
                std::lrint(norms[norm] * float(levels[code & ((1 << bits) - 1)])));
    return residuals;
}

}    // namespace interlace
