// AVX-512 VNNI: four products and their sum an instruction and lane. It multiplies unsigned with
// signed bytes, so document levels carry a bias of 128, which Panel::start takes back.
#include <immintrin.h>

#include "table.h"

namespace interlace {
namespace {

struct Avx512Vnni {
    using Level = uint8_t;
    using Weight = int8_t;
    static constexpr int kBias = 128;
    static constexpr int kGroup = 4;

    // Sixteen sums are enough to hide the latency. The pragmas keep them in registers; without two
    // steps at once of the middle loop, GCC 12 copies each sum on every step, a quarter slower.
    template <int L>
    [[gnu::noinline]] static void dots(const Level* tokens, int64_t stride, int64_t n,
                                       const Weight* weights, int64_t n_groups,
                                       const int32_t* start, int32_t* out) {
        constexpr int Z = L / 16, T = 16 / Z;
        for (int64_t i = 0; i < n; i += T, tokens += T * stride, out += T * L) {
            __m512i sums[T][Z];
#pragma GCC unroll 16
            for (int t = 0; t < T; ++t)
#pragma GCC unroll 2
                for (int z = 0; z < Z; ++z) sums[t][z] = load<__m512i>(start + 16 * z);
#pragma GCC unroll 2
            for (int64_t g = 0; g < n_groups; ++g) {
                const Weight* lanes = weights + g * L * 4;
#pragma GCC unroll 16
                for (int t = 0; t < T; ++t) {
                    const __m512i levels =
                        _mm512_set1_epi32(load<int32_t>(tokens + t * stride + g * 4));
#pragma GCC unroll 2
                    for (int z = 0; z < Z; ++z)
                        sums[t][z] = _mm512_dpbusd_epi32(sums[t][z], levels,
                                                         load<__m512i>(lanes + 64 * z));
                }
            }
#pragma GCC unroll 16
            for (int t = 0; t < T; ++t)
#pragma GCC unroll 2
                for (int z = 0; z < Z; ++z) store(out + t * L + 16 * z, sums[t][z]);
        }
    }

    static constexpr int kStripGroup = 4;

    // A block of Q query rows at a time: as many sums as hide the latency, each as long in registers
    // as the strip is read once.
    static constexpr int kBlock = 12;

    template <int Q>
    [[gnu::noinline]] static void across_block(const Level* strip, int64_t n_groups,
                                               const Weight* query, int64_t n_query,
                                               const int32_t* start, int32_t* out) {
        __m512i sums[Q];
#pragma GCC unroll 12
        for (int q = 0; q < Q; ++q) sums[q] = _mm512_set1_epi32(start[q]);
#pragma GCC unroll 2
        for (int64_t g = 0; g < n_groups; ++g, strip += 64, query += 4 * n_query) {
            const __m512i levels = load<__m512i>(strip);
#pragma GCC unroll 12
            for (int q = 0; q < Q; ++q)
                sums[q] = _mm512_dpbusd_epi32(sums[q], levels,
                                              _mm512_set1_epi32(load<int32_t>(query + 4 * q)));
        }
#pragma GCC unroll 12
        for (int q = 0; q < Q; ++q) store(out + 16 * q, sums[q]);
    }

    // Blocks of nearly one size: a last small one would wait for its own sums.
    static void across(const Level* strip, int64_t n_groups, const Weight* query, int64_t n_query,
                       const int32_t* start, int32_t* out) {
        int64_t n_blocks = ceil_div(n_query, kBlock);
        for (int64_t q = 0; q < n_query; --n_blocks) {
            const int64_t n = ceil_div(n_query - q, n_blocks);
            const auto block = [&]<int Q>(std::integral_constant<int, Q>) {
                across_block<Q>(strip, n_groups, query + 4 * q, n_query, start + q, out + 16 * q);
            };
            switch (n) {
                case 1: block(std::integral_constant<int, 1>{}); break;
                case 2: block(std::integral_constant<int, 2>{}); break;
                case 3: block(std::integral_constant<int, 3>{}); break;
                case 4: block(std::integral_constant<int, 4>{}); break;
                case 5: block(std::integral_constant<int, 5>{}); break;
                case 6: block(std::integral_constant<int, 6>{}); break;
                case 7: block(std::integral_constant<int, 7>{}); break;
                case 8: block(std::integral_constant<int, 8>{}); break;
                case 9: block(std::integral_constant<int, 9>{}); break;
                case 10: block(std::integral_constant<int, 10>{}); break;
                case 11: block(std::integral_constant<int, 11>{}); break;
                default: block(std::integral_constant<int, 12>{});
            }
            q += n;
        }
    }

    // Sixteen bytes of sixteen rows, turned: vector c has the c-th four bytes of each row.
    struct Turned {
        __m512i part[4];
    };
    template <class Row>
    static Turned turn_piece(Row row) {
        __m512i four[4];    // row r + 4 b lies in quarter b
#pragma GCC unroll 4
        for (int r = 0; r < 4; ++r) {
            four[r] = _mm512_castsi128_si512(load<__m128i>(row(r)));
            four[r] = _mm512_mask_broadcast_i32x4(four[r], 0x00F0, load<__m128i>(row(r + 4)));
            four[r] = _mm512_mask_broadcast_i32x4(four[r], 0x0F00, load<__m128i>(row(r + 8)));
            four[r] = _mm512_mask_broadcast_i32x4(four[r], 0xF000, load<__m128i>(row(r + 12)));
        }
        const __m512i a = _mm512_unpacklo_epi32(four[0], four[1]);
        const __m512i b = _mm512_unpackhi_epi32(four[0], four[1]);
        const __m512i c = _mm512_unpacklo_epi32(four[2], four[3]);
        const __m512i d = _mm512_unpackhi_epi32(four[2], four[3]);
        return {{_mm512_unpacklo_epi64(a, c), _mm512_unpackhi_epi64(a, c),
                 _mm512_unpacklo_epi64(b, d), _mm512_unpackhi_epi64(b, d)}};
    }

    static void lay(const Level* rows, int64_t stride, int64_t n_groups, Level* strip) {
        for (int64_t g = 0; g < n_groups; g += 4) {
            const Turned turned =
                turn_piece([&](int64_t lane) { return rows + lane * stride + 4 * g; });
            for (int c = 0; c < 4; ++c) store(strip + 64 * (g + c), turned.part[c]);
        }
    }

    static bool lay_rows(const int8_t* const* rows, int64_t dim, Level* strip) {
        if (dim % 16) return false;
        const __m512i bias = _mm512_set1_epi8(-128);
        for (int64_t k = 0; k < dim; k += 16) {
            const Turned turned = turn_piece([&](int64_t lane) { return rows[lane] + k; });
            for (int c = 0; c < 4; ++c)
                store(strip + 16 * k + 64 * c, _mm512_xor_si512(turned.part[c], bias));
        }
        return true;
    }

    // Of 64 bytes the first n.
    static __mmask64 first(int64_t n) {
        return n >= 64 ? ~__mmask64{0} : n > 0 ? (__mmask64{1} << n) - 1 : 0;
    }

    static void widen(const int8_t* levels, int64_t dim, Level* out) {
        const __m512i bias = _mm512_set1_epi8(-128);
        for (int64_t k = 0; k < dim; k += 64) {
            const __mmask64 mask = first(dim - k);
            _mm512_mask_storeu_epi8(
                out + k, mask, _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, levels + k), bias));
        }
    }

    static __m512i load_some(const void* from, int64_t n) {
        return n >= 64 ? load<__m512i>(from) : _mm512_maskz_loadu_epi8(first(n), from);
    }

    static constexpr int16_t kQuarter[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,
                                           2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3};

    // 64 codes at a time, of one plane or of several that fill a vector together; a store may run
    // past a plane, into what is written next.
    static void join(const int8_t* leaf, int64_t dim, const uint8_t* packed, int bits,
                     const int8_t* lookup, Level* out) {
        const __m512i levels = _mm512_maskz_broadcast_i32x4(0xFFFF, load<__m128i>(lookup));
        const __m512i low = _mm512_set1_epi8(static_cast<char>((1 << bits) - 1));
        const __m512i bias = _mm512_set1_epi8(-128);
        const auto add = [&](__m512i shifted, const int8_t* near, int64_t n, Level* to) {
            const __m512i rest = _mm512_shuffle_epi8(levels, _mm512_and_si512(shifted, low));
            store(to, _mm512_xor_si512(_mm512_adds_epi8(load_some(near, n), rest), bias));
        };
        const int64_t width = ceil_div(dim * bits, 8);
        if (width == 16 || width == 32) {
            const __m512i bytes =
                width == 16 ? _mm512_maskz_broadcast_i32x4(0xFFFF, load<__m128i>(packed))
                            : _mm512_maskz_broadcast_i64x4(0xFF, load<__m256i>(packed));
            const __m512i quarter = load<__m512i>(kQuarter);
            const __m512i plane = width == 16 ? quarter : _mm512_srli_epi16(quarter, 1);
            const __m512i step = _mm512_set1_epi16(static_cast<int16_t>(bits * 64 / width));
            __m512i shifts =
                _mm512_mullo_epi16(plane, _mm512_set1_epi16(static_cast<int16_t>(bits)));
            for (int64_t at = 0; at < dim; at += 64) {
                add(_mm512_srlv_epi16(bytes, shifts), leaf + at, dim - at, out + at);
                shifts = _mm512_add_epi16(shifts, step);
            }
            return;
        }
        for (int shift = 0; shift < 8; shift += bits, leaf += width, out += width, dim -= width)
            for (int64_t b = 0; b < width; b += 64)
                add(_mm512_srl_epi16(load_some(packed + b, width - b), _mm_cvtsi32_si128(shift)),
                    leaf + b, dim - b, out + b);
    }
};

}    // namespace

extern const Table avx512vnni = make_table<Avx512Vnni>("avx512vnni");

}    // namespace interlace
