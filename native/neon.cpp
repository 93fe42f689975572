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

    // Sixteen codes at a time. A store may run past a plane, into what is written after it: hence
    // the last bytes first.
    class Join {
    public:
        Join(int64_t dim, int bits)
            : dim_(dim), width_(ceil_div(dim * bits, 8)), bits_(bits) {}

        void operator()(const int8_t* leaf, const uint8_t* packed, const int8_t* lookup,
                        Level* out) const {
            const auto even = load<int8x16_t>(lookup), odd = load<int8x16_t>(lookup + kOdd);
            const auto add = [&](const Sixteen& some, int shift, int64_t at) {
                const auto codes = vandq_u8(shifted(some.codes, -shift), every((1 << bits_) - 1));
                const auto is_odd = vtstq_u8(some.before, every(1 << shift));
                const auto rest =
                    vbslq_s8(is_odd, vqtbl1q_s8(odd, codes), vqtbl1q_s8(even, codes));
                store(out + at, vqaddq_s8(load_some<int8x16_t>(leaf + at, dim_ - at), rest));
            };
            for (int64_t b = (width_ - 1) / 16 * 16; b >= 0; b -= 16) {
                const Sixteen some = sixteen(packed, b);
                int64_t at = b;
                for (int shift = 0; shift < 8; shift += bits_, at += width_) add(some, shift, at);
            }
        }

    private:
        // Codes, the lowest bit of each flipped by that of the second before it; and the codes before.
        struct Sixteen {
            uint8x16_t codes, before;
        };
        int64_t dim_, width_;
        int bits_;

        static uint8x16_t every(int byte) { return vdupq_n_u8(static_cast<uint8_t>(byte)); }

        Sixteen sixteen(const uint8_t* packed, int64_t b) const {
            const auto bytes = load_some<uint8x16_t>(packed + b, width_ - b);
            const auto last = b ? load_some<uint8x16_t>(packed + b - 1, width_ - b + 1)
                                : vextq_u8(every(0), bytes, 15);
            const auto moved = [&](int by) {
                return vorrq_u8(shifted(bytes, by), shifted(last, by - 8));
            };
            const auto lowest = every(0xff / ((1 << bits_) - 1));
            return {veorq_u8(bytes, vandq_u8(moved(2 * bits_), lowest)), moved(bits_)};
        }
    };
};

}    // namespace

extern const Table neon = make_table<Neon>("neon");

}    // namespace interlace
