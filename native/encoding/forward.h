// The forward pass, once for all instruction sets. An Isa says how sums of products are made:
//
//     bytes()  out[i][c] = start[c] + the sum over k of (rows[i][k] - kOffset) * panel[k][c],
//              uint8 by int8
//     words()  the same of int16 by int16, without kOffset
//
// Up to kRows rows, kColumns columns; n_groups groups of four bytes, or of two words.
#pragma once

#include <array>
#include <bit>
#include <utility>

#include "../lanes.h"
#include "model.h"

namespace interlace::encoding {
namespace {

constexpr int64_t kRows = 14;    // by 32 columns they fill the registers of AVX-512

// Rows that the feed-forward products take at once: their inner state fits the second-level cache.
constexpr int64_t kRowsOfFeedForward = 8 * kRows;

constexpr int64_t kParts = kColumns / kWidth;

typedef int16_t I16 __attribute__((vector_size(2 * kWidth)));

// Sums over a token's keys stay within 31 bits for 1,024 tokens: 1,024 * 2,047 * 1,023.
constexpr float kAttentionMax = 2047;
constexpr float kValueMax = 1023;

// 2**f for f in [-0.5, 0.5], from the constant on; at most 1.1e-4 off, relatively.
constexpr float kExp2[] = {0.9999245f, 0.693121f, 0.24264039f, 0.055922078f};

// x - GELU(x) for x in [0, 4.5], which is -GELU(-x) too; at most 1.8e-4 off.
constexpr float kGelu[] = {1.7811617e-4f,  0.49289015f,    -0.3521834f,    -0.117759146f, 0.21209008f,
                           -0.095528655f, 2.1045547e-2f, -2.345541e-3f, 1.06093736e-4f};
constexpr float kGeluMax = 4.5f;

// GCC 12 compares and blends where one instruction would do.
inline F32 upper(F32 a, F32 b) {
#if defined(__AVX512F__)
    return std::bit_cast<F32>(_mm512_max_ps(std::bit_cast<__m512>(a), std::bit_cast<__m512>(b)));
#else
    return a > b ? a : b;
#endif
}

inline F32 lower(F32 a, F32 b) {
#if defined(__AVX512F__)
    return std::bit_cast<F32>(_mm512_min_ps(std::bit_cast<__m512>(a), std::bit_cast<__m512>(b)));
#else
    return a < b ? a : b;
#endif
}

inline F32 magnitude(F32 x) { return std::bit_cast<F32>(std::bit_cast<I32>(x) & 0x7FFF'FFFF); }

// Added to a float of a magnitude below 2**22, it leaves the nearest integer, ties to even, in the last
// bits. Where there is an instruction for that, it finds the same.
constexpr float kRounding = 12'582'912.0f;

inline I32 nearest(F32 x) {
#if defined(__AVX512F__)
    return reinterpret_cast<I32>(_mm512_cvtps_epi32(reinterpret_cast<__m512>(x)));
#elif defined(__AVX2__)
    return reinterpret_cast<I32>(_mm256_cvtps_epi32(reinterpret_cast<__m256>(x)));
#elif defined(__aarch64__)
    return reinterpret_cast<I32>(vcvtnq_s32_f32(reinterpret_cast<float32x4_t>(x)));
#else
    return std::bit_cast<I32>(x + kRounding) - std::bit_cast<int32_t>(kRounding);
#endif
}

// 2**x for x <= 0. Below 2**-24 it may be anything that small: attention is 0 there.
inline F32 exp2_of(F32 x) {
    const auto power = [](F32 f) {
        return ((kExp2[3] * f + kExp2[2]) * f + kExp2[1]) * f + kExp2[0];
    };
#if defined(__AVX512F__)
    const __m512 whole = _mm512_roundscale_ps(reinterpret_cast<__m512>(x), 0);
    const F32 fraction = power(x - reinterpret_cast<F32>(whole));
    return reinterpret_cast<F32>(_mm512_scalef_ps(reinterpret_cast<__m512>(fraction), whole));
#else
    x = upper(x, splat(-24));
    const F32 shifted = x + kRounding;
    const F32 fraction = power(x - (shifted - kRounding));
    return std::bit_cast<F32>(std::bit_cast<I32>(fraction) + (std::bit_cast<I32>(shifted) << 23));
#endif
}

#if defined(__AVX512F__)
inline __m512i packed(I32 a, I32 b) {
    return _mm512_packs_epi32(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b));
}
#elif defined(__AVX2__)
inline __m256i packed(I32 a, I32 b) {
    return _mm256_packs_epi32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b));
}
#endif

// Four vectors of numbers that are bytes, stored as such: packing takes half the instructions that
// converting each would.
inline void store_bytes(uint8_t* to, const I32 (&parts)[4]) {
#if defined(__AVX512F__)
    const __m512i mixed =
        _mm512_packus_epi16(packed(parts[0], parts[1]), packed(parts[2], parts[3]));
    const __m512i order =
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    store(to, _mm512_permutexvar_epi32(order, mixed));
#elif defined(__AVX2__)
    const __m256i mixed =
        _mm256_packus_epi16(packed(parts[0], parts[1]), packed(parts[2], parts[3]));
    store(to, _mm256_permutevar8x32_epi32(mixed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
#else
    for (int p = 0; p < 4; ++p)
        store(to + p * kWidth, __builtin_convertvector(parts[p], U8));
#endif
}

// The same of two vectors of numbers that are words.
inline void store_words(int16_t* to, const I32 (&parts)[2]) {
#if defined(__AVX512F__)
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    store(to, _mm512_permutexvar_epi64(order, packed(parts[0], parts[1])));
#elif defined(__AVX2__)
    store(to, _mm256_permute4x64_epi64(packed(parts[0], parts[1]), 0b11'01'10'00));
#else
    for (int p = 0; p < 2; ++p)
        store(to + p * kWidth, __builtin_convertvector(parts[p], I16));
#endif
}

inline F32 gelu_of(F32 x) {
    const F32 t = lower(magnitude(x), splat(kGeluMax));
    F32 sum = splat(kGelu[std::size(kGelu) - 1]);
    for (size_t i = std::size(kGelu) - 1; i-- > 0;) sum = sum * t + kGelu[i];
    return upper(x, F32{}) - sum;
}

// Half of the lanes. By shuffles: through its address, GCC 12 would keep a sum in memory throughout.
template <size_t kFirst, class V, size_t... L>
auto some_of(V v, std::index_sequence<L...>) {
    return __builtin_shufflevector(v, v, (kFirst + L)...);
}

// All lanes folded into one: the halves with each other, again and again.
template <class V, class Fold>
auto folded(V v, Fold fold) {
    constexpr size_t n_half = sizeof v / sizeof v[0] / 2;
    if constexpr (n_half == 2) {
        return fold(fold(v[0], v[2]), fold(v[1], v[3]));
    } else {
        constexpr auto half = std::make_index_sequence<n_half>{};
        return folded(fold(some_of<0>(v, half), some_of<n_half>(v, half)), fold);
    }
}

template <class V>
auto greatest(V v) {
    return folded(v, [](auto a, auto b) { return larger(a, b); });
}

template <class V>
auto total(V v) {
    return folded(v, [](auto a, auto b) { return a + b; });
}

// The sum over a row of term(k), which stands for the lanes from k on: kLanes sums, folded in halves.
template <class Term>
float total(int64_t n, Term term) {
    constexpr int64_t n_parts = kLanes / kWidth;
    F32 sums[n_parts] = {};
    for (int64_t k = 0; k < n; k += kLanes)
#pragma GCC unroll 16
        for (int64_t p = 0; p < n_parts; ++p) sums[p] += term(k + p * kWidth);
#pragma GCC unroll 4
    for (int64_t half = n_parts / 2; half; half /= 2)
#pragma GCC unroll 8
        for (int64_t p = 0; p < half; ++p) sums[p] += sums[p + half];
    return total(sums[0]);
}

// Of a row, or a part of one, of which the largest value gets code zero + steps.
struct Quantiser {
    Quantiser(float largest, int steps, int zero)
        : scale(largest / static_cast<float>(steps)),
          inverse(largest > 0 ? static_cast<float>(steps) / largest : 0.0f),
          zero(zero) {}

    I32 operator()(F32 x) const { return nearest(x * inverse) + zero; }

    void operator()(const float* row, int64_t n, uint8_t* codes) const {
        for (int64_t k = 0; k < n; k += 4 * kWidth) {
            I32 parts[4];
#pragma GCC unroll 4
            for (int p = 0; p < 4; ++p) parts[p] = (*this)(load<F32>(row + k + p * kWidth));
            store_bytes(codes + k, parts);
        }
    }

    float scale;
    float inverse;
    int zero;
};

inline float largest_magnitude(const float* row, int64_t n) {
    F32 top{};
    for (int64_t k = 0; k < n; k += kWidth) top = upper(top, magnitude(load<F32>(row + k)));
    return greatest(top);
}

// Returns the largest magnitude of what comes out.
inline float normalise(float* row, int64_t n, const float* gain, const float* bias) {
    const float share = 1.0f / static_cast<float>(n);
    const float mean = total(n, [&](int64_t k) { return load<F32>(row + k); }) * share;
    const float variance = share * total(n, [&](int64_t k) {
        const F32 off = load<F32>(row + k) - mean;
        return off * off;
    });
    const float scale = 1.0f / std::sqrt(variance + 1e-12f);
    F32 top{};
    for (int64_t k = 0; k < n; k += kWidth) {
        const F32 x =
            (load<F32>(row + k) - mean) * scale * load<F32>(gain + k) + load<F32>(bias + k);
        store(row + k, x);
        top = upper(top, magnitude(x));
    }
    return greatest(top);
}

// Memory that the calls of a thread share: else the allocator would give each call's megabytes back,
// and the next one would wait for the system to clear them.
class Scratch {
public:
    template <class T>
    T* take(int64_t n) {
        const int64_t at = size_;
        size_ = round_up(size_ + n * static_cast<int64_t>(sizeof(T)), 64);
        return size_ <= memory().size() ? reinterpret_cast<T*>(memory().begin() + at) : nullptr;
    }

    // True once there is room for all that was taken; else take it all again.
    bool is_enough() {
        const int64_t wanted = std::exchange(size_, 0);
        if (wanted <= memory().size()) return true;
        memory() = Buffer<uint8_t>(wanted);
        return false;
    }

private:
    static Buffer<uint8_t>& memory() {
        thread_local Buffer<uint8_t> kept;
        return kept;
    }

    int64_t size_ = 0;
};

// A few columns of a row.
struct Columns {
    F32 part[kParts];

    float largest_magnitude() const {
        F32 top{};
        for (const F32& p : part) top = upper(top, magnitude(p));
        return greatest(top);
    }
};

template <class Isa>
class Pass {
public:
    Pass(const Model& model, std::span<const int64_t> ids)
        : m_(model), ids_(ids), n_(static_cast<int64_t>(ids.size())) {
        do {
            take();
        } while (!scratch_.is_enough());
        for (int64_t i = n_; i < n_keys_; ++i) set_key(i, Columns{});    // what fills up the last panel
    }

    void run(float* out) {
        embed();
        for (const Layer& layer : m_.layers) {
            attend(layer);
            multiply(layer.out, codes_, scales_, n_, [&](int64_t i, int64_t c, const Columns& sum) {
                add(state_ + i * hidden_ + c, sum);
            });
            end_of_block(layer.middle_gain, layer.middle_bias);
            feed_forward(layer);
            end_of_block(layer.end_gain, layer.end_bias);
        }
        project(out);
    }

private:
    const Model& m_;
    std::span<const int64_t> ids_;
    const int64_t n_;
    const int64_t hidden_ = m_.hidden;
    const int64_t n_inner_ = m_.n_inner();
    const int64_t n_keys_ = round_up(n_, kColumns);
    Scratch scratch_;

    float* state_;      // (n, hidden): what flows from layer to layer
    float* context_;    // (n, hidden): what attention finds
    uint8_t* codes_;    // (n, hidden): either of them in bytes
    float* scales_;     // (n,)

    // Of one head:
    uint8_t* query_codes_;    // (n, 32)
    float* query_scales_;
    int8_t* keys_;    // (n_keys, 32), as a panel of weights
    float* key_scales_;
    int32_t* key_start_;
    float* values_;          // (n, 32)
    int16_t* value_codes_;   // (n, 32), two tokens side by side
    float* likeness_;        // (kRows, n_keys)
    int16_t* attention_;     // (kRows, n_keys)

    // Of one block of the feed-forward products:
    float* inner_;           // (rows, n_inner)
    float* inner_tops_;      // (rows, kWidth)
    uint8_t* inner_codes_;
    float* inner_scales_;

    void take() {
        const int64_t rows = std::min(n_, kRowsOfFeedForward);
        state_ = scratch_.take<float>(n_ * hidden_);
        context_ = scratch_.take<float>(n_ * hidden_);
        codes_ = scratch_.take<uint8_t>(n_ * hidden_);
        scales_ = scratch_.take<float>(n_);
        query_codes_ = scratch_.take<uint8_t>(n_ * kColumns);
        query_scales_ = scratch_.take<float>(n_);
        keys_ = scratch_.take<int8_t>(n_keys_ * kColumns);
        key_scales_ = scratch_.take<float>(n_keys_);
        key_start_ = scratch_.take<int32_t>(n_keys_);
        values_ = scratch_.take<float>((n_ + 1) * kColumns);
        value_codes_ = scratch_.take<int16_t>((n_ + 1) * kColumns);
        likeness_ = scratch_.take<float>(kRows * n_keys_);
        attention_ = scratch_.take<int16_t>(kRows * n_keys_);
        inner_ = scratch_.take<float>(rows * n_inner_);
        inner_tops_ = scratch_.take<float>(rows * kWidth);
        inner_codes_ = scratch_.take<uint8_t>(rows * n_inner_);
        inner_scales_ = scratch_.take<float>(rows);
    }

    // Runs visit(first, n) over blocks of rows that are as equal as can be.
    template <class Visit>
    static void for_blocks(int64_t n, int64_t most, Visit visit) {
        const int64_t n_blocks = ceil_div(n, most);
        for (int64_t b = 0; b < n_blocks; ++b) {
            const int64_t first = n * b / n_blocks;
            visit(first, n * (b + 1) / n_blocks - first);
        }
    }

    // Where a sum begins: with what takes back the zero of a row's codes.
    static int32_t start_of(int32_t total, int zero) { return (Isa::kOffset - zero) * total; }

    // Runs visit(row, products) for each row of codes and one panel.
    template <class Visit>
    static void multiply(const Weights& weights, int64_t panel, const uint8_t* codes,
                         const float* scales, int64_t n, Visit visit) {
        const int64_t c = panel * kColumns, stride = weights.n_inputs;
        const auto of_columns = load<Columns>(weights.scales.data() + c);
        alignas(64) int32_t start[kColumns], sums[kRows * kColumns];
        for (int64_t l = 0; l < kColumns; ++l)
            start[l] = start_of(weights.totals[static_cast<size_t>(c + l)], weights.zero);
        for_blocks(n, kRows, [&](int64_t first, int64_t n_rows) {
            Isa::bytes(codes + first * stride, stride, n_rows, weights.panel(panel), stride / 4,
                       start, sums, kColumns);
            for (int64_t i = 0; i < n_rows; ++i) {
                Columns products;
                for (int64_t p = 0; p < kParts; ++p)
                    products.part[p] = to_float(load<I32>(sums + i * kColumns + p * kWidth)) *
                                       scales[first + i] * of_columns.part[p];
                visit(first + i, products);
            }
        });
    }

    // The same over all panels: visit(row, column, products).
    template <class Visit>
    static void multiply(const Weights& weights, const uint8_t* codes, const float* scales,
                         int64_t n, Visit visit) {
        for (int64_t panel = 0; panel < weights.n_panels(); ++panel)
            multiply(weights, panel, codes, scales, n, [&](int64_t i, const Columns& products) {
                visit(i, panel * kColumns, products);
            });
    }

    static void add(float* to, const Columns& some) {
        for (int64_t p = 0; p < kParts; ++p)
            store(to + p * kWidth, load<F32>(to + p * kWidth) + some.part[p]);
    }

    void end_of_block(const std::vector<float>& gain, const std::vector<float>& bias) {
        for (int64_t i = 0; i < n_; ++i) {
            float* row = state_ + i * hidden_;
            set_codes(i, row, normalise(row, hidden_, gain.data(), bias.data()));
        }
    }

    void set_codes(int64_t i, const float* row, float largest) {
        const Quantiser quantise(largest, 127, kZero);
        quantise(row, hidden_, codes_ + i * hidden_);
        scales_[i] = quantise.scale;
    }

    void embed() {
        for (int64_t i = 0; i < n_; ++i) {
            const int64_t id = ids_[static_cast<size_t>(i)];
            const int8_t* word = m_.words + id * hidden_;
            const float scale = m_.word_scales[static_cast<size_t>(id)];
            const float* position = m_.positions.data() + i * hidden_;
            float* row = state_ + i * hidden_;
            for (int64_t k = 0; k < hidden_; ++k)
                row[k] = static_cast<float>(word[k]) * scale + position[k];
        }
        end_of_block(m_.gain, m_.bias);
    }

    void attend(const Layer& layer) {
        for (int64_t head = 0; head < m_.n_heads(); ++head) {
            const int64_t key = m_.n_heads() + head, value = m_.n_heads() + key;
            project(layer, head, [&](int64_t i, const Columns& query) { set_query(i, query); });
            project(layer, key, [&](int64_t i, const Columns& one) { set_key(i, one); });
            Columns tops{};
            project(layer, value, [&](int64_t i, const Columns& one) {
                for (int64_t p = 0; p < kParts; ++p) {
                    store(values_ + i * kColumns + p * kWidth, one.part[p]);
                    tops.part[p] = upper(tops.part[p], magnitude(one.part[p]));
                }
            });
            const Columns scales = quantise_values(tops);
            for_blocks(n_, kRows, [&](int64_t first, int64_t n_rows) {
                attend(first, n_rows, scales, context_ + first * hidden_ + head * kColumns);
            });
        }
        for (int64_t i = 0; i < n_; ++i) {
            const float* row = context_ + i * hidden_;
            set_codes(i, row, largest_magnitude(row, hidden_));
        }
    }

    // One panel of queries, keys or values, with its bias.
    template <class Visit>
    void project(const Layer& layer, int64_t panel, Visit visit) {
        const auto bias = load<Columns>(layer.qkv_bias.data() + panel * kColumns);
        multiply(layer.qkv, panel, codes_, scales_, n_, [&](int64_t i, Columns products) {
            for (int64_t p = 0; p < kParts; ++p) products.part[p] += bias.part[p];
            visit(i, products);
        });
    }

    void set_query(int64_t i, const Columns& query) {
        // The root of the width, and exp as a power of two.
        constexpr float scale = 0.17677669529663687f * 1.4426950408889634f;
        const Quantiser quantise(query.largest_magnitude(), 127, kZero);
        for (int64_t p = 0; p < kParts; ++p)
            store(query_codes_ + i * kColumns + p * kWidth,
                  __builtin_convertvector(quantise(query.part[p]), U8));
        query_scales_[i] = quantise.scale * scale;
    }

    void set_key(int64_t i, const Columns& key) {
        const Quantiser quantise(key.largest_magnitude(), kWeightMax, 0);
        alignas(64) uint8_t codes[kColumns];
        I32 sum{};
        for (int64_t p = 0; p < kParts; ++p) {
            const I32 part = quantise(key.part[p]);
            sum += part;
            store(codes + p * kWidth, __builtin_convertvector(part, U8));
        }
        key_scales_[i] = quantise.scale;
        key_start_[i] = start_of(total(sum), kZero);
        int8_t* to = keys_ + i / kColumns * kColumns * kColumns + i % kColumns * 4;
        for (int64_t g = 0; g < kColumns; g += 4, to += 4 * kColumns)
            std::memcpy(to, codes + g, 4);
    }

    // A scale for each column: it is what all tokens of the text share.
    Columns quantise_values(const Columns& tops) {
        Columns scales;
        std::fill_n(values_ + n_ * kColumns, kColumns, 0.0f);    // beside the last of an odd number
        for (int64_t p = 0; p < kParts; ++p) {
            const F32 top = upper(tops.part[p], splat(1e-20f));
            const F32 inverse = kValueMax / top;
            scales.part[p] = top * (1 / kValueMax);
            for (int64_t i = 0; i < n_; i += 2) {
                const float* from = values_ + i * kColumns + p * kWidth;
                const I32 low = nearest(load<F32>(from) * inverse) & 0xFFFF;
                const I32 high = nearest(load<F32>(from + kColumns) * inverse) << 16;
                store(value_codes_ + i * kColumns + 2 * p * kWidth, low | high);
            }
        }
        return scales;
    }

    // What some tokens find in all: (n_rows, 32) at `out`, rows `hidden` apart.
    void attend(int64_t first, int64_t n_rows, const Columns& scales, float* out) {
        int32_t* products = reinterpret_cast<int32_t*>(likeness_);
        for (int64_t k = 0; k < n_keys_; k += kColumns)
            Isa::bytes(query_codes_ + first * kColumns, kColumns, n_rows, keys_ + k * kColumns,
                       kColumns / 4, key_start_ + k, products + k, n_keys_);
        // All rows' largest first: what one waits for, the next ones fill.
        float tops[kRows], shares[kRows];
        for (int64_t i = 0; i < n_rows; ++i)
            tops[i] = likeness(likeness_ + i * n_keys_, key_scales_, query_scales_[first + i], n_);
        for (int64_t i = 0; i < n_rows; ++i)
            shares[i] = soften(likeness_ + i * n_keys_, tops[i], n_keys_, attention_ + i * n_keys_);
        alignas(64) constexpr int32_t zeros[kColumns] = {};
        alignas(64) int32_t sums[kRows * kColumns];
        Isa::words(attention_, n_keys_, n_rows, value_codes_, ceil_div(n_, 2), zeros, sums,
                   kColumns);
        for (int64_t i = 0; i < n_rows; ++i)
            for (int64_t p = 0; p < kParts; ++p)
                store(out + i * hidden_ + p * kWidth,
                      to_float(load<I32>(sums + i * kColumns + p * kWidth)) * scales.part[p] *
                          shares[i]);
    }

    // From products with the keys to how like they are; returns the largest. What fills up the last panel
    // is like nothing.
    static float likeness(float* row, const float* key_scales, float scale, int64_t n) {
        constexpr float nowhere = -1e30f;
        F32 top = splat(nowhere);
        const auto of = [&](int64_t k) {
            return to_float(load<I32>(row + k)) * (load<F32>(key_scales + k) * scale);
        };
        int64_t k = 0;
        for (; k + kWidth <= n; k += kWidth) {
            const F32 some = of(k);
            store(row + k, some);
            top = upper(top, some);
        }
        if (k < n) store(row + k, of(k));
        std::fill(row + n, row + round_up(n, kColumns), nowhere);
        if (k < n) top = upper(top, load<F32>(row + k));
        return greatest(top);
    }

    // From there to attention, as integers, and one over their sum.
    static float soften(const float* row, float top, int64_t n_keys, int16_t* attention) {
        I32 sums[2] = {};
        for (int64_t k = 0; k < n_keys; k += 2 * kWidth) {
            I32 parts[2];
#pragma GCC unroll 2
            for (int p = 0; p < 2; ++p) {
                parts[p] = nearest(exp2_of(load<F32>(row + k + p * kWidth) - top) * kAttentionMax);
                sums[p] += parts[p];
            }
            store_words(attention + k, parts);
        }
        return 1.0f / static_cast<float>(total(sums[0] + sums[1]));
    }

    void feed_forward(const Layer& layer) {
        for_blocks(n_, kRowsOfFeedForward, [&](int64_t first, int64_t n_rows) {
            std::fill_n(inner_tops_, n_rows * kWidth, 1.0f);
            float *inner = inner_, *tops = inner_tops_;
            const float* bias = layer.wide_bias.data();
            multiply(layer.wide, codes_ + first * hidden_, scales_ + first, n_rows,
                     [=, n = n_inner_](int64_t i, int64_t c, const Columns& products) {
                         F32 top = load<F32>(tops + i * kWidth);
                         for (int64_t p = 0; p < kParts; ++p) {
                             const int64_t k = c + p * kWidth;
                             const F32 gelu = gelu_of(products.part[p] + load<F32>(bias + k));
                             store(inner + i * n + k, gelu);
                             top = upper(top, gelu);
                         }
                         store(tops + i * kWidth, top);
                     });
            for (int64_t i = 0; i < n_rows; ++i) {
                const Quantiser quantise(greatest(load<F32>(tops + i * kWidth)), 255 - kZeroOfGelu,
                                         kZeroOfGelu);
                quantise(inner + i * n_inner_, n_inner_, inner_codes_ + i * n_inner_);
                inner_scales_[i] = quantise.scale;
            }
            multiply(layer.narrow, inner_codes_, inner_scales_, n_rows,
                     [&](int64_t i, int64_t c, const Columns& products) {
                         add(state_ + (first + i) * hidden_ + c, products);
                     });
        });
    }

    // To the width of an embedding, and to unit length.
    void project(float* out) {
        for (int64_t c = 0; c < m_.dim; c += kColumns) {
            int64_t i = 0;
            for (; i + 4 <= n_; i += 4) project<4>(i, c, out);
            for (; i < n_; ++i) project<1>(i, c, out);
        }
        for (int64_t i = 0; i < n_; ++i, out += m_.dim) {
            const float squared = total(m_.dim, [&](int64_t k) {
                const F32 x = load<F32>(out + k);
                return x * x;
            });
            const float inverse = 1.0f / std::sqrt(std::max(squared, 1e-24f));
            for (int64_t k = 0; k < m_.dim; k += kWidth)
                store(out + k, load<F32>(out + k) * inverse);
        }
    }

    // R rows from i on, the columns from c on; several rows at once hide how long an addition takes.
    template <int R>
    void project(int64_t i, int64_t c, float* out) const {
        const int64_t dim = m_.dim, hidden = hidden_;
        const float *rows = state_ + i * hidden, *weights = m_.projection.data() + c;
        F32 sums[R][kParts] = {};
        for (int64_t k = 0; k < hidden; ++k)
#pragma GCC unroll 4
            for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
                for (int64_t p = 0; p < kParts; ++p)
                    sums[r][p] +=
                        rows[r * hidden + k] * load<F32>(weights + k * dim + p * kWidth);
        for (int r = 0; r < R; ++r) std::memcpy(out + (i + r) * dim + c, sums[r], sizeof sums[r]);
    }
};

template <class Isa>
constexpr Table make_table(const char* name) {
    return {name, [](const Model& model, std::span<const int64_t> ids, float* out) {
                Pass<Isa>(model, ids).run(out);
            }};
}

}    // namespace
}    // namespace interlace::encoding
