// Plain C++, for any machine.
#include "table.h"

namespace interlace {
namespace {

struct Portable {
    using Level = int16_t;
    using Weight = int16_t;
    static constexpr int kBias = 0;
    static constexpr int kGroup = 1;

    // All lanes, used or not: of fewer, GCC makes no vectors.
    static void dots(const Level* rows, int64_t stride, int64_t n, const Weight* weights,
                     int64_t n_groups, int, const int32_t* start, int32_t* out) {
        for (int64_t i = 0; i < n; ++i) {
            int32_t sums[kPanel];
            std::copy_n(start, kPanel, sums);
            for (int64_t k = 0; k < n_groups; ++k)
                for (int l = 0; l < kPanel; ++l)
                    sums[l] += int32_t{rows[i * stride + k]} * int32_t{weights[k * kPanel + l]};
            std::copy_n(sums, kPanel, out + i * kPanel);
        }
    }

    static void widen(const int8_t* levels, int64_t dim, Level* out) {
        for (int64_t k = 0; k < dim; ++k) out[k] = levels[k];
    }

    struct Join {
        int64_t dim;
        int bits;

        void operator()(const int8_t* leaf, const uint8_t* packed, const int8_t* lookup,
                        Level* out) const {
            int64_t left = dim;
            const int mask = (1 << bits) - 1;
            const int64_t width = ceil_div(dim * bits, 8);
            for (int shift = 0; shift < 8;
                 shift += bits, leaf += width, out += width, left -= width)
                for (int64_t b = 0; b < std::min(width, left); ++b) {
                    // The codes before lie below, in the byte or in the one before.
                    const int codes = packed[b] << 8 | (b ? packed[b - 1] : 0);
                    const int one = codes >> (8 + shift - bits) & 1;
                    const int two = codes >> (8 + shift - 2 * bits) & 1;
                    const int at = (packed[b] >> shift & mask) ^ two;
                    out[b] = static_cast<Level>(
                        std::clamp(leaf[b] + lookup[kOdd * one + at], -128, 127));
                }
        }
    };
};

}    // namespace

extern const Table portable = make_table<Portable>("portable");

}    // namespace interlace
