// Plain C++, for any machine.
#include "table.h"

namespace interlace {
namespace {

struct Portable {
    using Level = int16_t;
    using Weight = int16_t;
    static constexpr int kBias = 0;
    static constexpr int kGroup = 1;

    template <int L>
    static void dots(const Level* tokens, int64_t stride, int64_t n, const Weight* weights,
                     int64_t n_groups, const int32_t* start, int32_t* out) {
        for (int64_t i = 0; i < n; ++i) {
            int32_t sums[L];
            std::copy_n(start, L, sums);
            for (int64_t k = 0; k < n_groups; ++k)
                for (int l = 0; l < L; ++l)
                    sums[l] += int32_t{tokens[i * stride + k]} * int32_t{weights[k * L + l]};
            std::copy_n(sums, L, out + i * L);
        }
    }

    static constexpr int kStripGroup = 1;

    static void across(const Level* strip, int64_t n_groups, const Weight* query, int64_t n_query,
                       const int32_t* start, int32_t* out) {
        for (int64_t q = 0; q < n_query; ++q, out += 16) {
            int32_t sums[16];
            std::fill_n(sums, 16, start[q]);
            for (int64_t k = 0; k < n_groups; ++k)
                for (int l = 0; l < 16; ++l)
                    sums[l] += int32_t{strip[k * 16 + l]} * int32_t{query[k * n_query + q]};
            std::copy_n(sums, 16, out);
        }
    }

    static void lay(const Level* rows, int64_t stride, int64_t n_groups, Level* strip) {
        for (int64_t k = 0; k < n_groups; ++k)
            for (int64_t l = 0; l < 16; ++l) strip[k * 16 + l] = rows[l * stride + k];
    }

    static void widen(const int8_t* levels, int64_t dim, Level* out) {
        for (int64_t k = 0; k < dim; ++k) out[k] = levels[k];
    }

    static void join(const int8_t* leaf, int64_t dim, const uint8_t* packed, int bits,
                     const int8_t* lookup, Level* out) {
        const int mask = (1 << bits) - 1;
        const int64_t width = ceil_div(dim * bits, 8);
        for (int shift = 0; shift < 8; shift += bits, leaf += width, out += width, dim -= width)
            for (int64_t b = 0; b < std::min(width, dim); ++b)
                out[b] = static_cast<Level>(
                    std::clamp(leaf[b] + lookup[packed[b] >> shift & mask], -128, 127));
    }
};

}    // namespace

extern const Table portable = make_table<Portable>("portable");

}    // namespace interlace
