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

    static __mmask64 first(int64_t n) { return n < 64 ? (__mmask64{1} << n) - 1 : ~__mmask64{0}; }

    static void widen(const int8_t* levels, int64_t dim, Level* out) {
        const __m512i bias = _mm512_set1_epi8(-128);
        for (int64_t k = 0; k < dim; k += 64) {
            const __mmask64 mask = first(dim - k);
            _mm512_mask_storeu_epi8(
                out + k, mask, _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, levels + k), bias));
        }
    }

    static void expand(const uint8_t* packed, int64_t width, int bits, const Level* lookup,
                       Level* out) {
        const __m512i levels = _mm512_broadcast_i32x4(load<__m128i>(lookup));
        const __m512i low = _mm512_set1_epi8(static_cast<char>((1 << bits) - 1));
        for (int64_t b = 0; b < width; b += 64) {
            const __mmask64 mask = first(width - b);
            __m512i bytes = _mm512_maskz_loadu_epi8(mask, packed + b);
            for (int64_t plane = 0; plane < 8 / bits; ++plane) {
                const __m512i codes = _mm512_and_si512(bytes, low);
                _mm512_mask_storeu_epi8(out + plane * width + b, mask,
                                        _mm512_shuffle_epi8(levels, codes));
                bytes = _mm512_srli_epi16(bytes, static_cast<unsigned>(bits));
            }
        }
    }
};

}    // namespace

extern const Table avx512vnni = make_table<Avx512Vnni>("avx512vnni");

}    // namespace interlace
