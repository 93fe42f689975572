// AVX2: levels widened to 16 bits, two products and their sum an instruction; none saturates.
#include <immintrin.h>

#include "table.h"

namespace interlace {
namespace {

struct Avx2 {
    using Level = int16_t;
    using Weight = int16_t;
    static constexpr int kBias = 0;
    static constexpr int kGroup = 2;

    template <int L>
    static void dots(const Level* tokens, int64_t stride, int64_t n, const Weight* weights,
                     int64_t n_groups, const int32_t* start, int32_t* out) {
        for (int64_t i = 0; i < n; i += 4)
            for (int l = 0; l < L; l += 16)
                dots_4x16<L>(tokens + i * stride, stride, weights + l * 2, n_groups, start + l,
                             out + i * L + l);
    }

    template <int L>
    static void dots_4x16(const Level* tokens, int64_t stride, const Weight* weights,
                          int64_t n_groups, const int32_t* start, int32_t* out) {
        __m256i sums[4][2];
        for (int i = 0; i < 4; ++i)
            for (int p = 0; p < 2; ++p) sums[i][p] = load<__m256i>(start + 8 * p);
        for (int64_t g = 0; g < n_groups; ++g) {
            const __m256i low = load<__m256i>(weights + g * L * 2);
            const __m256i high = load<__m256i>(weights + g * L * 2 + 16);
            for (int i = 0; i < 4; ++i) {
                const __m256i pair = _mm256_set1_epi32(load<int32_t>(tokens + i * stride + g * 2));
                sums[i][0] = _mm256_add_epi32(sums[i][0], _mm256_madd_epi16(pair, low));
                sums[i][1] = _mm256_add_epi32(sums[i][1], _mm256_madd_epi16(pair, high));
            }
        }
        for (int i = 0; i < 4; ++i)
            for (int p = 0; p < 2; ++p) store(out + i * L + 8 * p, sums[i][p]);
    }

    static constexpr int kStripGroup = 2;

    // Up to six query rows at a time, two sums each.
    template <int Q>
    static void across_block(const Level* strip, int64_t n_groups, const Weight* query,
                             int64_t n_query, const int32_t* start, int32_t* out) {
        __m256i sums[Q][2];
        for (int q = 0; q < Q; ++q)
            for (int p = 0; p < 2; ++p) sums[q][p] = _mm256_set1_epi32(start[q]);
        for (int64_t g = 0; g < n_groups; ++g, strip += 32, query += 2 * n_query) {
            const __m256i low = load<__m256i>(strip);
            const __m256i high = load<__m256i>(strip + 16);
            for (int q = 0; q < Q; ++q) {
                const __m256i pair = _mm256_set1_epi32(load<int32_t>(query + 2 * q));
                sums[q][0] = _mm256_add_epi32(sums[q][0], _mm256_madd_epi16(low, pair));
                sums[q][1] = _mm256_add_epi32(sums[q][1], _mm256_madd_epi16(high, pair));
            }
        }
        for (int q = 0; q < Q; ++q)
            for (int p = 0; p < 2; ++p) store(out + 16 * q + 8 * p, sums[q][p]);
    }

    static void across(const Level* strip, int64_t n_groups, const Weight* query, int64_t n_query,
                       const int32_t* start, int32_t* out) {
        const auto blocks = [&]<int Q>(std::integral_constant<int, Q>, int64_t q) {
            for (; q + Q <= n_query; q += Q)
                across_block<Q>(strip, n_groups, query + 2 * q, n_query, start + q, out + 16 * q);
            return q;
        };
        int64_t q = blocks(std::integral_constant<int, 6>{}, 0);
        q = blocks(std::integral_constant<int, 3>{}, q);
        blocks(std::integral_constant<int, 1>{}, q);
    }

    // Eight levels of eight rows, turned: vector c has the c-th two levels of each row.
    static void lay(const Level* rows, int64_t stride, int64_t n_groups, Level* strip) {
        for (int64_t g = 0; g < n_groups; g += 4)
            for (int half = 0; half < 2; ++half) {
                __m256i four[4];    // row r + 4 b lies in half b
                for (int r = 0; r < 4; ++r) {
                    const Level* from = rows + (8 * half + r) * stride + 2 * g;
                    four[r] = _mm256_inserti128_si256(
                        _mm256_castsi128_si256(load<__m128i>(from)),
                        load<__m128i>(from + 4 * stride), 1);
                }
                const __m256i a = _mm256_unpacklo_epi32(four[0], four[1]);
                const __m256i b = _mm256_unpackhi_epi32(four[0], four[1]);
                const __m256i c = _mm256_unpacklo_epi32(four[2], four[3]);
                const __m256i d = _mm256_unpackhi_epi32(four[2], four[3]);
                Level* out = strip + 32 * g + 16 * half;
                store(out, _mm256_unpacklo_epi64(a, c));
                store(out + 32, _mm256_unpackhi_epi64(a, c));
                store(out + 64, _mm256_unpacklo_epi64(b, d));
                store(out + 96, _mm256_unpackhi_epi64(b, d));
            }
    }

    static void widen(const int8_t* levels, int64_t dim, Level* out) {
        for (int64_t k = 0; k < dim; ++k) out[k] = levels[k];
    }

    // Sixteen bytes, of which `n` are there.
    static __m128i load_some(const void* from, int64_t n) {
        if (n >= 16) return load<__m128i>(from);
        __m128i bytes{};
        if (n > 0) std::memcpy(&bytes, from, static_cast<size_t>(n));
        return bytes;
    }

    // Sixteen codes at a time; a store may run past a plane, into what is written next.
    static void join(const int8_t* leaf, int64_t dim, const uint8_t* packed, int bits,
                     const int8_t* lookup, Level* out) {
        const __m128i levels = load<__m128i>(lookup);
        const __m128i mask = _mm_set1_epi8(static_cast<char>((1 << bits) - 1));
        const int64_t width = ceil_div(dim * bits, 8);
        for (int shift = 0; shift < 8; shift += bits, leaf += width, out += width, dim -= width)
            for (int64_t b = 0; b < width; b += 16) {
                const __m128i bytes = load_some(packed + b, width - b);
                const __m128i codes = _mm_and_si128(_mm_srli_epi16(bytes, shift), mask);
                const __m128i sums = _mm_adds_epi8(load_some(leaf + b, dim - b),
                                                   _mm_shuffle_epi8(levels, codes));
                store(out + b, _mm256_cvtepi8_epi16(sums));
            }
    }
};

}    // namespace

extern const Table avx2 = make_table<Avx2>("avx2");

}    // namespace interlace
