// NEON with dot products: four products of bytes and their sum an instruction and lane. It multiplies
// signed bytes with signed ones, so rows lose 128 on the way, which the sums' start gives back.
#include "forward.h"

namespace interlace::encoding {
namespace {

struct Neon {
    static constexpr int kOffset = 128;

    static void bytes(const uint8_t* rows, int64_t stride, int64_t n, const int8_t* panel,
                      int64_t n_groups, const int32_t* start, int32_t* out, int64_t out_stride) {
        for_blocks<Bytes>(rows, stride, n, panel, n_groups, start, out, out_stride);
    }

    static void words(const int16_t* rows, int64_t stride, int64_t n, const int16_t* panel,
                      int64_t n_groups, const int32_t* start, int32_t* out, int64_t out_stride) {
        for_blocks<Words>(rows, stride, n, panel, n_groups, start, out, out_stride);
    }

private:
    static constexpr int64_t kBlock = 5;    // rows whose sums fill the registers, half a panel each
    static constexpr int kHalf = kColumns / 2;

    // Blocks of nearly one size: a last small one would wait for its own sums.
    template <class Product, class Row, class Column>
    static void for_blocks(const Row* rows, int64_t stride, int64_t n, const Column* panel,
                           int64_t n_groups, const int32_t* start, int32_t* out,
                           int64_t out_stride) {
        for (int64_t n_blocks = ceil_div(n, kBlock); n_blocks; --n_blocks) {
            const int64_t n_rows = ceil_div(n, n_blocks);
            const auto block = [&]<int R>(std::integral_constant<int, R>) {
                for (int c = 0; c < kColumns; c += kHalf)
                    dots<Product, R>(rows, stride, panel + c * Product::kGroup, n_groups,
                                     start + c, out + c, out_stride);
            };
            switch (n_rows) {
                case 1: block(std::integral_constant<int, 1>{}); break;
                case 2: block(std::integral_constant<int, 2>{}); break;
                case 3: block(std::integral_constant<int, 3>{}); break;
                case 4: block(std::integral_constant<int, 4>{}); break;
                default: block(std::integral_constant<int, 5>{});
            }
            n -= n_rows;
            rows += n_rows * stride;
            out += n_rows * out_stride;
        }
    }

    // Intrinsics load and store sums, because GCC 12 would take others through general registers.
    template <class Product, int R, class Row, class Column>
    static void dots(const Row* rows, int64_t stride, const Column* panel, int64_t n_groups,
                     const int32_t* start, int32_t* out, int64_t out_stride) {
        int32x4_t sums[R][4];
        for (int i = 0; i < R; ++i)
            for (int p = 0; p < 4; ++p) sums[i][p] = vld1q_s32(start + 4 * p);
        Product::add(rows, stride, panel, n_groups, sums);
        for (int i = 0; i < R; ++i)
            for (int p = 0; p < 4; ++p) vst1q_s32(out + i * out_stride + 4 * p, sums[i][p]);
    }

    // Four groups of a row at a time, of which an instruction takes one for all its lanes. They come
    // in fours: rows of bytes are a multiple of kColumns long.
    struct Bytes {
        static constexpr int kGroup = 4;

        template <int R>
        static void add(const uint8_t* rows, int64_t stride, const int8_t* panel, int64_t n_groups,
                        int32x4_t (&sums)[R][4]) {
            constexpr int64_t step = kGroup * kColumns;
            for (int64_t g = 0; g < n_groups; g += 4, rows += 16, panel += 4 * step) {
                int8x16_t four[R];
                for (int i = 0; i < R; ++i)
                    four[i] = vreinterpretq_s8_u8(
                        veorq_u8(load<uint8x16_t>(rows + i * stride), vdupq_n_u8(kOffset)));
                add_group<0>(four, panel, sums);
                add_group<1>(four, panel + step, sums);
                add_group<2>(four, panel + 2 * step, sums);
                add_group<3>(four, panel + 3 * step, sums);
            }
        }

        template <int Group, int R>
        static void add_group(const int8x16_t (&four)[R], const int8_t* columns,
                              int32x4_t (&sums)[R][4]) {
            for (int p = 0; p < 4; ++p) {
                const auto part = load<int8x16_t>(columns + 16 * p);
                for (int i = 0; i < R; ++i)
                    sums[i][p] = vdotq_laneq_s32(sums[i][p], part, four[i], Group);
            }
        }
    };

    struct Words {
        static constexpr int kGroup = 2;

        template <int R>
        static void add(const int16_t* rows, int64_t stride, const int16_t* panel, int64_t n_groups,
                        int32x4_t (&sums)[R][4]) {
            for (int64_t g = 0; g < n_groups; ++g, rows += kGroup, panel += kGroup * kColumns) {
                int16x4_t pair[R];
                for (int i = 0; i < R; ++i)
                    pair[i] = vreinterpret_s16_s32(vdup_n_s32(load<int32_t>(rows + i * stride)));
                for (int p = 0; p < 4; p += 2) {
                    const auto [first, second] = vld2q_s16(panel + 8 * p).val;
                    for (int i = 0; i < R; ++i) {
                        int32x4_t &low = sums[i][p], &high = sums[i][p + 1];
                        low = vmlal_lane_s16(low, vget_low_s16(first), pair[i], 0);
                        low = vmlal_lane_s16(low, vget_low_s16(second), pair[i], 1);
                        high = vmlal_high_lane_s16(high, first, pair[i], 0);
                        high = vmlal_high_lane_s16(high, second, pair[i], 1);
                    }
                }
            }
        }
    };
};

}    // namespace

extern const Table neon = make_table<Neon>("neon");

}    // namespace interlace::encoding
