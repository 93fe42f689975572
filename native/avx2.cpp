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

    static void widen(const int8_t* levels, int64_t dim, Level* out) {
        for (int64_t k = 0; k < dim; ++k) out[k] = levels[k];
    }

    static __m128i load_some(const uint8_t* from, int64_t n) {
        __m128i bytes{};
        std::memcpy(&bytes, from, static_cast<size_t>(n));
        return bytes;
    }

    // Sixteen codes at a time; a store may run past a plane, into what is written next.
    static void expand(const uint8_t* packed, int64_t width, int bits, const Level* lookup,
                       Level* out) {
        const __m128i wide = _mm_packs_epi16(load<__m128i>(lookup), load<__m128i>(lookup + 8));
        const __m128i mask = _mm_set1_epi8(static_cast<char>((1 << bits) - 1));
        for (int shift = 0; shift < 8; shift += bits, out += width)
            for (int64_t b = 0; b < width; b += 16) {
                const __m128i bytes = b + 16 <= width ? load<__m128i>(packed + b)
                                                      : load_some(packed + b, width - b);
                const __m128i codes = _mm_and_si128(_mm_srli_epi16(bytes, shift), mask);
                store(out + b, _mm256_cvtepi8_epi16(_mm_shuffle_epi8(wide, codes)));
            }
    }
};

}    // namespace

extern const Table avx2 = make_table<Avx2>("avx2");

}    // namespace interlace
