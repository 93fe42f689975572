// AVX2: pairs of products of bytes fit 16 bits, because weights stay within 64.
#include <immintrin.h>

#include "forward.h"

namespace interlace::encoding {
namespace {

struct Avx2 {
    static constexpr int kOffset = 0;

    static void bytes(const uint8_t* rows, int64_t stride, int64_t n, const int8_t* panel,
                      int64_t n_groups, const int32_t* start, int32_t* out, int64_t out_stride) {
        for_pairs<Bytes>(rows, stride, n, panel, n_groups, start, out, out_stride);
    }

    static void words(const int16_t* rows, int64_t stride, int64_t n, const int16_t* panel,
                      int64_t n_groups, const int32_t* start, int32_t* out, int64_t out_stride) {
        for_pairs<Words>(reinterpret_cast<const uint8_t*>(rows), 2 * stride, n,
                         reinterpret_cast<const int8_t*>(panel), n_groups, start, out, out_stride);
    }

private:
    struct Bytes {
        static __m256i product(__m256i row, __m256i columns) {
            return _mm256_madd_epi16(_mm256_maddubs_epi16(row, columns), _mm256_set1_epi16(1));
        }
    };
    struct Words {
        static __m256i product(__m256i row, __m256i columns) {
            return _mm256_madd_epi16(row, columns);
        }
    };

    template <class Product>
    static void for_pairs(const uint8_t* rows, int64_t stride, int64_t n, const int8_t* panel,
                          int64_t n_groups, const int32_t* start, int32_t* out,
                          int64_t out_stride) {
        for (; n > 1; n -= 2, rows += 2 * stride, out += 2 * out_stride)
            dots<Product, 2>(rows, stride, panel, n_groups, start, out, out_stride);
        if (n) dots<Product, 1>(rows, stride, panel, n_groups, start, out, out_stride);
    }

    template <class Product, int R>
    static void dots(const uint8_t* rows, int64_t stride, const int8_t* panel, int64_t n_groups,
                     const int32_t* start, int32_t* out, int64_t out_stride) {
        __m256i sums[R][4];
        for (int i = 0; i < R; ++i)
            for (int z = 0; z < 4; ++z) sums[i][z] = load<__m256i>(start + 8 * z);
        for (int64_t g = 0; g < n_groups; ++g, panel += 128, rows += 4)
            for (int i = 0; i < R; ++i) {
                const __m256i row = _mm256_set1_epi32(load<int32_t>(rows + i * stride));
                for (int z = 0; z < 4; ++z)
                    sums[i][z] = _mm256_add_epi32(
                        sums[i][z], Product::product(row, load<__m256i>(panel + 32 * z)));
            }
        for (int i = 0; i < R; ++i)
            for (int z = 0; z < 4; ++z) store(out + i * out_stride + 8 * z, sums[i][z]);
    }
};

}    // namespace

extern const Table avx2 = make_table<Avx2>("avx2");

}    // namespace interlace::encoding
