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

    // T rows at a time with whole vectors of lanes, and half a one. Sixteen sums are enough to hide
    // the latency. The pragmas keep them in registers; without two steps at once of the middle loop,
    // GCC 12 copies each sum on every step, a quarter slower.
    template <int T, int Whole, int Half>
    [[gnu::noinline]] static void dots_of(const Level* rows, int64_t stride, int64_t n,
                                          const Weight* weights, int64_t n_groups,
                                          const int32_t* start, int32_t* out) {
        for (int64_t i = 0; i < n; i += T, rows += T * stride, out += T * kPanel) {
            __m512i sums[T][Whole + 1];
            __m256i halves[T];
#pragma GCC unroll 16
            for (int t = 0; t < T; ++t) {
#pragma GCC unroll 2
                for (int z = 0; z < Whole; ++z) sums[t][z] = load<__m512i>(start + 16 * z);
                if (Half) halves[t] = load<__m256i>(start + 16 * Whole);
            }
#pragma GCC unroll 2
            for (int64_t g = 0; g < n_groups; ++g) {
                const Weight* lanes = weights + g * kPanel * 4;
#pragma GCC unroll 16
                for (int t = 0; t < T; ++t) {
                    const __m512i levels =
                        _mm512_set1_epi32(load<int32_t>(rows + t * stride + g * 4));
#pragma GCC unroll 2
                    for (int z = 0; z < Whole; ++z)
                        sums[t][z] = _mm512_dpbusd_epi32(sums[t][z], levels,
                                                         load<__m512i>(lanes + 64 * z));
                    if (Half)
                        halves[t] = _mm256_dpbusd_epi32(halves[t], _mm512_castsi512_si256(levels),
                                                        load<__m256i>(lanes + 64 * Whole));
                }
            }
#pragma GCC unroll 16
            for (int t = 0; t < T; ++t) {
#pragma GCC unroll 2
                for (int z = 0; z < Whole; ++z) store(out + t * kPanel + 16 * z, sums[t][z]);
                if (Half)
                    store(out + t * kPanel + 16 * Whole, _mm512_zextsi256_si512(halves[t]));
            }
        }
    }

    static void dots(const Level* rows, int64_t stride, int64_t n, const Weight* weights,
                     int64_t n_groups, int n_lanes, const int32_t* start, int32_t* out) {
        const auto run = [&](auto* dots) { dots(rows, stride, n, weights, n_groups, start, out); };
        if (n_lanes <= 8) run(dots_of<8, 0, 1>);
        else if (n_lanes <= 16) run(dots_of<8, 1, 0>);
        else if (n_lanes <= 24) run(dots_of<8, 1, 1>);
        else run(dots_of<8, 2, 0>);
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

    // With masks, because GCC 12 warns of what the intrinsics without them leave undefined.
    static __m512i broadcast(__m128i bytes) { return _mm512_maskz_broadcast_i32x4(0xffff, bytes); }
    static __m512i broadcast(__m256i bytes) { return _mm512_maskz_broadcast_i64x4(0xff, bytes); }

    // 64 codes at a time, of one plane or of several that fill a vector together. A store may run
    // past a plane, into what is written after it: hence the last bytes first.
    class Join {
    public:
        Join(int64_t dim, int bits)
            : dim_(dim), width_(ceil_div(dim * bits, 8)), bits_(bits),
              code_(_mm512_set1_epi8(static_cast<char>((1 << bits) - 1))),
              two_codes_(_mm512_set1_epi8(static_cast<char>((1 << 2 * bits) - 1))),
              lowest_(_mm512_set1_epi8(static_cast<char>(0xff / ((1 << bits) - 1)))) {
            if (dim % 64 == 0 && width_ % 64 == 0) shape_ = kWhole;
            if (dim % 64 == 0 && (width_ == 16 || width_ == 32)) shape_ = kTogether;
            for (int64_t lane = 0; lane < 32; ++lane)
                shifts_[lane] = static_cast<int16_t>(lane * 2 / width_ * bits);
        }

        void operator()(const int8_t* leaf, const uint8_t* packed, const int8_t* lookup,
                        Level* out) const {
            const __m512i even = broadcast(load<__m128i>(lookup));
            const __m512i odd = broadcast(load<__m128i>(lookup + kOdd));
            const auto add = [&](__m512i codes, __mmask64 is_odd, __m512i near, Level* to) {
                codes = _mm512_and_si512(codes, code_);
                const __m512i rest = _mm512_mask_shuffle_epi8(_mm512_shuffle_epi8(even, codes),
                                                              is_odd, odd, codes);
                const __m512i bias = _mm512_set1_epi8(-128);
                store(to, _mm512_xor_si512(_mm512_adds_epi8(near, rest), bias));
            };
            if (shape_ == kWhole) {
                for (int64_t b = 0; b < width_; b += 64) {
                    const __m512i bytes = load<__m512i>(packed + b);
                    const __m512i before = b ? load<__m512i>(packed + b - 1) : after_none(bytes);
                    const __m512i codes = with_two_before(bytes, before);
                    __mmask64 is_odd = bit_of(before, 8 - bits_);
                    int64_t at = b;
                    for (int shift = 0; shift < 8; shift += bits_, at += width_) {
                        add(_mm512_srl_epi16(codes, _mm_cvtsi32_si128(shift)), is_odd,
                            load<__m512i>(leaf + at), out + at);
                        is_odd = bit_of(bytes, shift);
                    }
                }
            } else if (shape_ == kTogether) {
                __m512i bytes, before;
                if (width_ == 16) {
                    const auto some = load<__m128i>(packed);
                    bytes = broadcast(some);
                    before = broadcast(_mm_bslli_si128(some, 1));
                } else {
                    const auto some = load<__m256i>(packed);
                    const auto low_half = _mm256_permute2x128_si256(some, some, 0x08);
                    bytes = broadcast(some);
                    before = broadcast(_mm256_alignr_epi8(some, low_half, 15));
                }
                const __m512i codes = with_two_before(bytes, before);
                const __m512i one = one_before(bytes, before);
                const __m512i step = _mm512_set1_epi16(static_cast<int16_t>(bits_ * 64 / width_));
                __m512i shifts = load<__m512i>(shifts_);
                for (int64_t at = 0; at < dim_; at += 64) {
                    add(_mm512_srlv_epi16(codes, shifts),
                        bit_of(_mm512_srlv_epi16(one, shifts), 0), load<__m512i>(leaf + at),
                        out + at);
                    shifts = _mm512_add_epi16(shifts, step);
                }
            } else {
                for (int64_t b = (width_ - 1) / 64 * 64; b >= 0; b -= 64) {
                    const __m512i bytes = load_some(packed + b, width_ - b);
                    const __m512i before = b ? load_some(packed + b - 1, width_ - b + 1)
                                             : after_none(bytes);
                    const __m512i codes = with_two_before(bytes, before);
                    const __m512i one = one_before(bytes, before);
                    int64_t at = b;
                    for (int shift = 0; shift < 8; shift += bits_, at += width_)
                        add(_mm512_srl_epi16(codes, _mm_cvtsi32_si128(shift)), bit_of(one, shift),
                            load_some(leaf + at, dim_ - at), out + at);
                }
            }
        }

    private:
        enum Shape { kAny, kWhole, kTogether };
        int64_t dim_, width_;
        int bits_;
        Shape shape_ = kAny;
        __m512i code_, two_codes_, lowest_;    // of a byte's first code, first two, all lowest bits
        alignas(64) int16_t shifts_[32];       // of a vector that several planes fill

        // The byte before each, none before the first.
        static __m512i after_none(__m512i bytes) {
            const __m512i lanes = _mm512_alignr_epi64(bytes, _mm512_setzero_si512(), 6);
            return _mm512_alignr_epi8(bytes, lanes, 15);
        }

        // From a the bits in `mask`, the others from b.
        static __m512i select(__m512i mask, __m512i a, __m512i b) {
            return _mm512_ternarylogic_epi32(mask, a, b, 0xca);
        }

        // So many bits further up are those of the codes before; `before` are the bytes before.
        static __m512i moved(__m512i bytes, __m512i before, int bits, __m512i low) {
            return select(low, _mm512_srl_epi16(before, _mm_cvtsi32_si128(8 - bits)),
                          _mm512_sll_epi16(bytes, _mm_cvtsi32_si128(bits)));
        }
        __m512i one_before(__m512i bytes, __m512i before) const {
            return moved(bytes, before, bits_, code_);
        }
        __m512i with_two_before(__m512i bytes, __m512i before) const {
            const __m512i two = bits_ == 4 ? before : moved(bytes, before, 2 * bits_, two_codes_);
            return _mm512_ternarylogic_epi32(bytes, two, lowest_, 0x78);    // bytes ^ (two & lowest)
        }

        static __mmask64 bit_of(__m512i bytes, int bit) {
            return _mm512_test_epi8_mask(bytes, _mm512_set1_epi8(static_cast<char>(1 << bit)));
        }
    };
};

}    // namespace

extern const Table avx512vnni = make_table<Avx512Vnni>("avx512vnni");

}    // namespace interlace
