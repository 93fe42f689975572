// NEON with dot products: four products of bytes and their sum an instruction and lane.
#include "table.h"

namespace interlace {
namespace {

struct Neon {
    using Level = int8_t;
    using Weight = int8_t;
    static constexpr int kBias = 0;
    static constexpr int kGroup = 4;

    static void dots(const Level* rows, int64_t stride, int64_t n, const Weight* weights,
                     int64_t n_groups, int n_lanes, const int32_t* start, int32_t* out) {
        for (int64_t i = 0; i < n; i += 4)
            for (int l = 0; l < n_lanes; l += 16)
                (n_lanes - l > 8 ? dots_of<4> : dots_of<2>)(rows + i * stride, stride,
                                                            weights + l * 4, n_groups, start + l,
                                                            out + i * kPanel + l);
    }

    // Four rows with P vectors of lanes; four groups of a row at a time, of which an instruction
    // takes one for all its lanes.
    template <int P>
    static void dots_of(const Level* rows, int64_t stride, const Weight* weights,
                        int64_t n_groups, const int32_t* start, int32_t* out) {
        int32x4_t sums[4][P];
        for (int i = 0; i < 4; ++i)
            for (int p = 0; p < P; ++p) sums[i][p] = load<int32x4_t>(start + 4 * p);
        int8x16_t four[4];
        const auto add = [&]<int Group>(std::integral_constant<int, Group>, const Weight* lanes) {
            for (int p = 0; p < P; ++p) {
                const auto levels = load<int8x16_t>(lanes + 16 * p);
                for (int i = 0; i < 4; ++i)
                    sums[i][p] = vdotq_laneq_s32(sums[i][p], levels, four[i], Group);
            }
        };
        constexpr int kStep = kPanel * 4;
        int64_t g = 0;
        for (; g + 4 <= n_groups; g += 4, weights += 4 * kStep) {
            for (int i = 0; i < 4; ++i) four[i] = load<int8x16_t>(rows + i * stride + g * 4);
            add(std::integral_constant<int, 0>{}, weights);
            add(std::integral_constant<int, 1>{}, weights + kStep);
            add(std::integral_constant<int, 2>{}, weights + 2 * kStep);
            add(std::integral_constant<int, 3>{}, weights + 3 * kStep);
        }
        for (; g < n_groups; ++g, weights += kStep) {
            for (int i = 0; i < 4; ++i) four[i] = one_group(rows + i * stride + g * 4);
            add(std::integral_constant<int, 0>{}, weights);
        }
        for (int i = 0; i < 4; ++i)
            for (int p = 0; p < P; ++p) store(out + i * kPanel + 4 * p, sums[i][p]);
    }

    static int8x16_t one_group(const int8_t* from) {
        return vreinterpretq_s8_s32(vdupq_n_s32(load<int32_t>(from)));
    }

    static void widen(const int8_t* levels, int64_t dim, Level* out) {
        std::memcpy(out, levels, static_cast<size_t>(dim));
    }

    // To the left, or where `by` is negative to the right.
    static uint8x16_t shifted(uint8x16_t bytes, int by) {
        return vshlq_u8(bytes, vdupq_n_s8(static_cast<int8_t>(by)));
    }

    // Sixteen bytes, of which `n` are there.
    template <class V>
    static V load_some(const void* from, int64_t n) {
        if (n >= 16) return load<V>(from);
        V bytes{};
        if (n > 0) std::memcpy(&bytes, from, static_cast<size_t>(n));
        return bytes;
    }

    // Sixteen codes at a time; a store may run past a plane, into what is written next.
    struct Join {
        int64_t dim;
        int bits;

        void operator()(const int8_t* leaf, const uint8_t* packed, const int8_t* lookup,
                        Level* out) const {
            int64_t left = dim;
            const auto even = load<int8x16_t>(lookup), odd = load<int8x16_t>(lookup + 16);
            const auto mask = vdupq_n_u8(static_cast<uint8_t>((1 << bits) - 1));
            const auto lowest = vdupq_n_u8(static_cast<uint8_t>(0xff / ((1 << bits) - 1)));
            const int64_t width = ceil_div(dim * bits, 8);
            for (int shift = 0; shift < 8;
                 shift += bits, leaf += width, out += width, left -= width)
                for (int64_t b = 0; b < width; b += 16) {
                    const auto bytes = load_some<uint8x16_t>(packed + b, width - b);
                    const auto before = b ? load_some<uint8x16_t>(packed + b - 1, width - b + 1)
                                          : vextq_u8(vdupq_n_u8(0), bytes, 15);
                    const auto one = vorrq_u8(shifted(bytes, bits), shifted(before, bits - 8));
                    const auto two =
                        vorrq_u8(shifted(bytes, 2 * bits), shifted(before, 2 * bits - 8));
                    const auto all = veorq_u8(bytes, vandq_u8(two, lowest));
                    const auto codes = vandq_u8(shifted(all, -shift), mask);
                    const auto is_odd = vtstq_u8(one, vdupq_n_u8(static_cast<uint8_t>(1 << shift)));
                    const auto rest =
                        vbslq_s8(is_odd, vqtbl1q_s8(odd, codes), vqtbl1q_s8(even, codes));
                    store(out + b, vqaddq_s8(load_some<int8x16_t>(leaf + b, left - b), rest));
                }
        }
    };
};

}    // namespace

extern const Table neon = make_table<Neon>("neon");

}    // namespace interlace
