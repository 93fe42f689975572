// AVX-512 VNNI: four products of bytes, or two of words, and their sum an instruction and lane.
#include <immintrin.h>

#include "forward.h"

namespace interlace::encoding {
namespace {

struct Avx512Vnni {
    static constexpr int kOffset = 0;

    static void bytes(const uint8_t* rows, int64_t stride, int64_t n, const int8_t* panel,
                      int64_t n_groups, const int32_t* start, int32_t* out, int64_t out_stride) {
        choose<Bytes>(rows, stride, n, panel, n_groups, start, out, out_stride);
    }

    static void words(const int16_t* rows, int64_t stride, int64_t n, const int16_t* panel,
                      int64_t n_groups, const int32_t* start, int32_t* out, int64_t out_stride) {
        choose<Words>(reinterpret_cast<const uint8_t*>(rows), 2 * stride, n,
                      reinterpret_cast<const int8_t*>(panel), n_groups, start, out, out_stride);
    }

private:
    // As assembly, because GCC 12 copies each sum before it adds to it.
    struct Bytes {
        static void add(__m512i& sum, __m512i row, __m512i columns) {
            __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(row), "v"(columns));
        }
    };
    struct Words {
        static void add(__m512i& sum, __m512i row, __m512i columns) {
            __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(row), "v"(columns));
        }
    };

    // Every number of rows has a function of its own, which keeps all sums in registers.
    template <class Product>
    static void choose(const uint8_t* rows, int64_t stride, int64_t n, const int8_t* panel,
                       int64_t n_groups, const int32_t* start, int32_t* out, int64_t out_stride) {
        static constexpr auto all = []<size_t... R>(std::index_sequence<R...>) {
            return std::array{dots<Product, static_cast<int>(R) + 1>...};
        }(std::make_index_sequence<kRows>{});
        all[static_cast<size_t>(n - 1)](rows, stride, panel, n_groups, start, out, out_stride);
    }

    // Three pointers with five rows each: fourteen would not fit the registers. Weights are asked for
    // ahead, because a query's few rows use them faster than the third-level cache hands them out.
    template <class Product, int R>
    static void dots(const uint8_t* rows, int64_t stride, const int8_t* panel, int64_t n_groups,
                     const int32_t* start, int32_t* out, int64_t out_stride) {
        __m512i sums[R][2];
#pragma GCC unroll 16
        for (int i = 0; i < R; ++i)
            for (int z = 0; z < 2; ++z) sums[i][z] = load<__m512i>(start + 16 * z);
        const uint8_t* fives[3] = {rows, rows + 5 * stride, rows + 10 * stride};
        for (const int8_t* end = panel + 128 * n_groups; panel < end; panel += 128) {
            const __m512i columns[2] = {load<__m512i>(panel), load<__m512i>(panel + 64)};
            __builtin_prefetch(panel + kAhead);
            __builtin_prefetch(panel + kAhead + 64);
#pragma GCC unroll 16
            for (int i = 0; i < R; ++i) {
                const __m512i row =
                    _mm512_set1_epi32(load<int32_t>(fives[i / 5] + i % 5 * stride));
                Product::add(sums[i][0], row, columns[0]);
                Product::add(sums[i][1], row, columns[1]);
            }
#pragma GCC unroll 3
            for (auto& five : fives) five += 4;
        }
#pragma GCC unroll 16
        for (int i = 0; i < R; ++i)
            for (int z = 0; z < 2; ++z) store(out + i * out_stride + 16 * z, sums[i][z]);
    }

    static constexpr int kAhead = 2'048;
};

}    // namespace

extern const Table avx512vnni = make_table<Avx512Vnni>("avx512vnni");

}    // namespace interlace::encoding
