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

std::vector<int8_t> residuals_of(const float* levels, int bits, const float* norms) {
    std::vector<int8_t> residuals;
    for (int norm = 0; norm < 16; ++norm)
        for (int odd = 0; odd < 2; ++odd)
            for (int i = 0; i < kOdd; ++i) {
                const float level = norms[norm] * levels[2 * (i & ((1 << bits) - 1)) + odd];
                const float whole = std::nearbyint(std::clamp(level, -127.0f, 127.0f));
                residuals.push_back(static_cast<int8_t>(whole));
            }
    return residuals;
}

}    // namespace interlace
