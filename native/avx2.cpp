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

    static void dots(const Level* rows, int64_t stride, int64_t n, const Weight* weights,
                     int64_t n_groups, int n_lanes, const int32_t* start, int32_t* out) {
        for (int64_t i = 0; i < n; i += 4)
            for (int l = 0; l < n_lanes; l += 16)
                (n_lanes - l > 8 ? dots_of<2> : dots_of<1>)(rows + i * stride, stride,
                                                            weights + l * 2, n_groups, start + l,
                                                            out + i * kPanel + l);
    }

    // Four rows with P vectors of lanes.
    template <int P>
    static void dots_of(const Level* rows, int64_t stride, const Weight* weights,
                        int64_t n_groups, const int32_t* start, int32_t* out) {
        __m256i sums[4][P];
        for (int i = 0; i < 4; ++i)
            for (int p = 0; p < P; ++p) sums[i][p] = load<__m256i>(start + 8 * p);
        for (int64_t g = 0; g < n_groups; ++g, weights += kPanel * 2) {
            __m256i lanes[P];
            for (int p = 0; p < P; ++p) lanes[p] = load<__m256i>(weights + 16 * p);
            for (int i = 0; i < 4; ++i) {
                const __m256i pair = _mm256_set1_epi32(load<int32_t>(rows + i * stride + g * 2));
                for (int p = 0; p < P; ++p)
                    sums[i][p] = _mm256_add_epi32(sums[i][p], _mm256_madd_epi16(pair, lanes[p]));
            }
        }
        for (int i = 0; i < 4; ++i)
            for (int p = 0; p < P; ++p) store(out + i * kPanel + 8 * p, sums[i][p]);
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

    // Sixteen codes at a time. A store may run past a plane, into what is written after it: hence
    // the last bytes first.
    class Join {
    public:
        Join(int64_t dim, int bits)
            : dim_(dim), width_(ceil_div(dim * bits, 8)), bits_(bits), code_(every((1 << bits) - 1)),
              two_codes_(every((1 << 2 * bits) - 1)), lowest_(every(0xff / ((1 << bits) - 1))) {}

        void operator()(const int8_t* leaf, const uint8_t* packed, const int8_t* lookup,
                        Level* out) const {
            const __m128i even = load<__m128i>(lookup), odd = load<__m128i>(lookup + kOdd);
            const auto add = [&](const Sixteen& some, int shift, int64_t at) {
                const __m128i codes = _mm_and_si128(_mm_srli_epi16(some.codes, shift), code_);
                const __m128i rest = _mm_blendv_epi8(_mm_shuffle_epi8(even, codes),
                                                     _mm_shuffle_epi8(odd, codes),
                                                     _mm_slli_epi16(some.before, 7 - shift));
                const __m128i sums = _mm_adds_epi8(load_some(leaf + at, dim_ - at), rest);
                store(out + at, _mm256_cvtepi8_epi16(sums));
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
            __m128i codes, before;
        };
        int64_t dim_, width_;
        int bits_;
        __m128i code_, two_codes_, lowest_;    // of a byte's first code, first two, all lowest bits

        static __m128i every(int byte) { return _mm_set1_epi8(static_cast<char>(byte)); }

        Sixteen sixteen(const uint8_t* packed, int64_t b) const {
            const __m128i bytes = load_some(packed + b, width_ - b);
            const __m128i last = b ? load_some(packed + b - 1, width_ - b + 1)
                                   : _mm_bslli_si128(bytes, 1);
            const auto moved = [&](int by, __m128i low) {
                return _mm_or_si128(_mm_and_si128(low, _mm_srli_epi16(last, 8 - by)),
                                    _mm_andnot_si128(low, _mm_slli_epi16(bytes, by)));
            };
            const __m128i two = _mm_and_si128(moved(2 * bits_, two_codes_), lowest_);
            return {_mm_xor_si128(bytes, two), moved(bits_, code_)};
        }
    };
};

}    // namespace

extern const Table avx2 = make_table<Avx2>("avx2");

}    // namespace interlace
