// Plain C++, for any machine.
#include "forward.h"

namespace interlace::encoding {
namespace {

struct Portable {
    static constexpr int kOffset = 0;

    template <int G, class Row, class Column>
    static void dots(const Row* rows, int64_t stride, int64_t n, const Column* panel,
                     int64_t n_groups, const int32_t* start, int32_t* out, int64_t out_stride) {
        for (int64_t i = 0; i < n; ++i) {
            int32_t sums[kColumns];
            std::copy_n(start, kColumns, sums);
            for (int64_t g = 0; g < n_groups; ++g)
                for (int64_t c = 0; c < kColumns; ++c)
                    for (int j = 0; j < G; ++j)
                        sums[c] += int32_t{rows[i * stride + g * G + j]} *
                                   int32_t{panel[(g * kColumns + c) * G + j]};
            std::copy_n(sums, kColumns, out + i * out_stride);
        }
    }

    static constexpr auto bytes = dots<4, uint8_t, int8_t>;
    static constexpr auto words = dots<2, int16_t, int16_t>;
};

}    // namespace

extern const Table portable = make_table<Portable>("portable");

}    // namespace interlace::encoding
