// NEON with dot products: four products of bytes and their sum an instruction and lane.
#include "table.h"

namespace interlace {
namespace {

struct Neon {
    using Level = int8_t;
    using Weight = int8_t;
    static constexpr int kBias = 0;
    static constexpr int kGroup = 4;

    template <int L>
    static void dots(const Level* tokens, int64_t stride, int64_t n, const Weight* weights,
                     int64_t n_groups, const int32_t* start, int32_t* out) {
        for (int64_t i = 0; i < n; i += 4)
            for (int l = 0; l < L; l += 16)
                dots_4x16<L>(tokens + i * stride, stride, weights + l * 4, n_groups, start + l,
                             out + i * L + l);
    }

    // Four groups of a row at a time, of which an instruction takes one for all its lanes.
    template <int L>
    static void dots_4x16(const Level* tokens, int64_t stride, const Weight* weights,
                          int64_t n_groups, const int32_t* start, int32_t* out) {
        int32x4_t sums[4][4];
        for (int i = 0; i < 4; ++i)
            for (int p = 0; p < 4; ++p) sums[i][p] = load<int32x4_t>(start + 4 * p);
        int8x16_t rows[4];
        const auto add = [&]<int Group>(std::integral_constant<int, Group>, const Weight* lanes) {
            for (int p = 0; p < 4; ++p) {
                const auto levels = load<int8x16_t>(lanes + 16 * p);
                for (int i = 0; i < 4; ++i) add_lane<Group>(sums[i][p], levels, rows[i]);
            }
        };
        int64_t g = 0;
        for (; g + 4 <= n_groups; g += 4, weights += 4 * L * 4) {
            for (int i = 0; i < 4; ++i) rows[i] = load<int8x16_t>(tokens + i * stride + g * 4);
            add(std::integral_constant<int, 0>{}, weights);
            add(std::integral_constant<int, 1>{}, weights + L * 4);
            add(std::integral_constant<int, 2>{}, weights + 2 * L * 4);
            add(std::integral_constant<int, 3>{}, weights + 3 * L * 4);
        }
        for (; g < n_groups; ++g, weights += L * 4) {
            for (int i = 0; i < 4; ++i) rows[i] = one_group(tokens + i * stride + g * 4);
            add(std::integral_constant<int, 0>{}, weights);
        }
        for (int i = 0; i < 4; ++i)
            for (int p = 0; p < 4; ++p) store(out + i * L + 4 * p, sums[i][p]);
    }

    static int8x16_t one_group(const int8_t* from) {
        return vreinterpretq_s8_s32(vdupq_n_s32(load<int32_t>(from)));
    }

    template <int Lane>
    static void add_lane(int32x4_t& sum, int8x16_t levels, int8x16_t groups) {
        sum = vdotq_laneq_s32(sum, levels, groups, Lane);
    }

    static constexpr int kStripGroup = 4;

    // Four query rows at a time, four sums each: an instruction takes one row for all its lanes.
    static void across(const Level* strip, int64_t n_groups, const Weight* query, int64_t n_query,
                       const int32_t* start, int32_t* out) {
        int64_t q = 0;
        for (; q + 4 <= n_query; q += 4)
            across_block(std::integer_sequence<int, 0, 1, 2, 3>{}, strip, n_groups, query + 4 * q,
                         n_query, start + q, out + 16 * q);
        for (; q < n_query; ++q)
            across_block(std::integer_sequence<int, 0>{}, strip, n_groups, query + 4 * q, n_query,
                         start + q, out + 16 * q);
    }

    template <int... Q>
    static void across_block(std::integer_sequence<int, Q...>, const Level* strip,
                             int64_t n_groups, const Weight* query, int64_t n_query,
                             const int32_t* start, int32_t* out) {
        int32x4_t sums[sizeof...(Q)][4];
        for (int p = 0; p < 4; ++p) ((sums[Q][p] = vdupq_n_s32(start[Q])), ...);
        for (int64_t g = 0; g < n_groups; ++g, strip += 64, query += 4 * n_query) {
            const int8x16_t rows =
                sizeof...(Q) == 4 ? load<int8x16_t>(query) : one_group(query);
            for (int p = 0; p < 4; ++p) {
                const auto levels = load<int8x16_t>(strip + 16 * p);
                (add_lane<Q>(sums[Q][p], levels, rows), ...);
            }
        }
        for (int p = 0; p < 4; ++p) (store(out + 16 * Q + 4 * p, sums[Q][p]), ...);
    }

    // Sixteen bytes of four rows, turned: vector c has the c-th four bytes of each row.
    struct Turned {
        int64x2_t part[4];
    };
    template <class Row>
    static Turned turn_piece(Row row) {
        int32x4_t four[4];
        for (int r = 0; r < 4; ++r) four[r] = load<int32x4_t>(row(r));
        const auto a = vreinterpretq_s64_s32(vzip1q_s32(four[0], four[1]));
        const auto b = vreinterpretq_s64_s32(vzip2q_s32(four[0], four[1]));
        const auto c = vreinterpretq_s64_s32(vzip1q_s32(four[2], four[3]));
        const auto d = vreinterpretq_s64_s32(vzip2q_s32(four[2], four[3]));
        return {{vzip1q_s64(a, c), vzip2q_s64(a, c), vzip1q_s64(b, d), vzip2q_s64(b, d)}};
    }

    static void lay(const Level* rows, int64_t stride, int64_t n_groups, Level* strip) {
        for (int64_t g = 0; g < n_groups; g += 4)
            for (int64_t lane = 0; lane < 16; lane += 4) {
                const Turned turned =
                    turn_piece([&](int64_t i) { return rows + (lane + i) * stride + 4 * g; });
                for (int c = 0; c < 4; ++c) store(strip + 64 * (g + c) + 4 * lane, turned.part[c]);
            }
    }

    static bool lay_rows(const int8_t* const* rows, int64_t dim, Level* strip) {
        if (dim % 16) return false;
        for (int64_t k = 0; k < dim; k += 16)
            for (int64_t lane = 0; lane < 16; lane += 4) {
                const Turned turned = turn_piece([&](int64_t i) { return rows[lane + i] + k; });
                for (int c = 0; c < 4; ++c)
                    store(strip + 16 * k + 64 * c + 4 * lane, turned.part[c]);
            }
        return true;
    }

    static void widen(const int8_t* levels, int64_t dim, Level* out) {
        std::memcpy(out, levels, static_cast<size_t>(dim));
    }

    static uint8x16_t codes(uint8x16_t bytes, int shift, int bits) {
        const auto low = vdupq_n_u8(static_cast<uint8_t>((1 << bits) - 1));
        return vandq_u8(vshlq_u8(bytes, vdupq_n_s8(static_cast<int8_t>(-shift))), low);
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
    static void join(const int8_t* leaf, int64_t dim, const uint8_t* packed, int bits,
                     const int8_t* lookup, Level* out) {
        const auto levels = load<int8x16_t>(lookup);
        const int64_t width = ceil_div(dim * bits, 8);
        for (int shift = 0; shift < 8; shift += bits, leaf += width, out += width, dim -= width)
            for (int64_t b = 0; b < width; b += 16) {
                const auto bytes = load_some<uint8x16_t>(packed + b, width - b);
                const auto rest = vqtbl1q_s8(levels, codes(bytes, shift, bits));
                store(out + b, vqaddq_s8(load_some<int8x16_t>(leaf + b, dim - b), rest));
            }
    }
};

}    // namespace

extern const Table neon = make_table<Neon>("neon");

}    // namespace interlace
