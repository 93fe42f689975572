// The small tools that all kernels are written with. This header and the ones that include it are
// compiled once for each instruction set: everything is in an unnamed namespace, so that no
// function compiled for a new machine can be linked into the code for an old one.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <type_traits>

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "kernels.h"

namespace interlace {
namespace {

#if defined(__AVX512F__)
constexpr int kWidth = 16;
#elif defined(__AVX2__)
constexpr int kWidth = 8;
#else
constexpr int kWidth = 4;
#endif

constexpr float kInfinity = std::numeric_limits<float>::infinity();

typedef float F32 __attribute__((vector_size(4 * kWidth)));
typedef int32_t I32 __attribute__((vector_size(4 * kWidth)));
typedef uint8_t U8 __attribute__((vector_size(kWidth)));
typedef uint8_t U8x16 __attribute__((vector_size(16)));

template <class V>
inline V load(const void* from) {
    V v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

template <class V>
inline void store(void* to, V v) {
    std::memcpy(to, &v, sizeof v);
}

template <class V>
inline V larger(V a, V b) {
    return a > b ? a : b;
}

inline F32 to_float(I32 v) { return __builtin_convertvector(v, F32); }
inline F32 splat(float x) { return x - F32{}; }

// A bit for each lane in which a comparison holds.
inline uint32_t bits_of(I32 mask) {
#if defined(__AVX512DQ__)
    return _mm512_movepi32_mask(reinterpret_cast<__m512i>(mask));
#elif defined(__AVX2__)
    return static_cast<uint32_t>(_mm256_movemask_ps(reinterpret_cast<__m256>(mask)));
#elif defined(__aarch64__)
    return static_cast<uint32_t>(vaddvq_s32(vandq_s32(mask, int32x4_t{1, 2, 4, 8})));
#else
    uint32_t bits = 0;
    for (int l = 0; l < kWidth; ++l) bits |= static_cast<uint32_t>(mask[l] & 1) << l;
    return bits;
#endif
}

// To the nearest integer, ties to even, for |x| < 2**22: beyond it the mantissa has no fraction.
template <class V>
inline V round_even(V x) {
    constexpr float magic = 12'582'912.0f;
    return (x + magic) - magic;
}

// A float as a byte, as clip(rint(x), 0, 255) is; NaN becomes 0.
inline uint8_t to_byte(float x) {
    x = x > 0 ? x : 0;
    return static_cast<uint8_t>(round_even(x < 255 ? x : 255.0f));
}

// Asks for bytes that will be read soon; they need not exist.
inline void prefetch(const void* from, int64_t n) {
    const char* line = static_cast<const char*>(from);
    const char* end = line + n;
    for (line -= reinterpret_cast<uintptr_t>(line) % 64; line < end; line += 64)
        __builtin_prefetch(line);
}

inline U8 to_bytes(F32 x) {
    x = larger(x, F32{});
    x = round_even(x < 255.0f ? x : splat(255));
    return __builtin_convertvector(__builtin_convertvector(x, I32), U8);
}

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// Memory that begins on a cache line and is not cleared.
template <class T>
class Buffer {
    static_assert(std::is_trivially_copyable_v<T>);

public:
    Buffer() = default;
    explicit Buffer(int64_t n)
        : data_(static_cast<T*>(::operator new(static_cast<size_t>(n) * sizeof(T), kLine))),
          n_(n) {}
    Buffer(int64_t n, T value) : Buffer(n) { std::fill_n(data_, n, value); }
    Buffer(Buffer&& other) noexcept { swap(other); }
    Buffer& operator=(Buffer&& other) noexcept {
        swap(other);
        return *this;
    }
    ~Buffer() { ::operator delete(data_, kLine); }

    T* begin() const { return data_; }
    T* end() const { return data_ + n_; }
    T& operator[](int64_t i) const { return data_[i]; }
    int64_t size() const { return n_; }

private:
    static constexpr std::align_val_t kLine{64};
    T* data_ = nullptr;
    int64_t n_ = 0;

    void swap(Buffer& other) {
        std::swap(data_, other.data_);
        std::swap(n_, other.n_);
    }
};

template <class F>
void parallel(int64_t n, int n_threads, F&& task) {
    parallel_for(n, n_threads, &task, [](void* f, int64_t i) { (*static_cast<F*>(f))(i); });
}

// task(begin, end) over pieces of at most `step`.
template <class F>
void parallel_ranges(int64_t n, int64_t step, int n_threads, F&& task) {
    parallel(ceil_div(n, step), n_threads,
             [&](int64_t i) { task(i * step, std::min(n, (i + 1) * step)); });
}

// Integer dot product, exact.
inline int32_t dot(const int8_t* a, const int8_t* b, int64_t dim) {
    int32_t sum = 0;
    for (int64_t k = 0; k < dim; ++k) sum += int32_t{a[k]} * int32_t{b[k]};
    return sum;
}

// What brings a row of levels to unit length; 0 for a zero row.
inline float unit_scale(const int8_t* row, int64_t dim) {
    const int32_t squared = dot(row, row, dim);
    return squared > 0 ? 1.0f / std::sqrt(static_cast<float>(squared)) : 0.0f;
}

// The n least numbers come first, in some order. Partitions without branches: which side a number
// goes to is what no processor guesses.
inline void put_least_first(uint64_t* numbers, int64_t size, int64_t n) {
    int64_t low = 0, high = size;
    while (low < n && n < high) {
        const uint64_t a = numbers[low], b = numbers[(low + high) / 2], c = numbers[high - 1];
        const uint64_t pivot = std::max(std::min(a, b), std::min(std::max(a, b), c));
        int64_t split = low;
        for (int64_t i = low; i < high; ++i) {
            const uint64_t number = numbers[i];
            numbers[i] = numbers[split];
            numbers[split] = number;
            split += number <= pivot;
        }
        if (split == high || high - low < 16) {    // two are equal, or it is done sooner so
            std::sort(numbers + low, numbers + high);
            return;
        }
        (n <= split ? high : low) = split;
    }
}

// A score and what has it as one number: the better, the smaller, and of equal scores the lower id.
inline uint64_t rank_of(float score, uint32_t id) {
    const auto bits = std::bit_cast<uint32_t>(score + 0.0f);    // there is one zero
    return uint64_t{bits >> 31 ? bits : bits ^ 0x7FFF'FFFFu} << 32 | id;
}
inline uint32_t id_of(uint64_t rank) { return static_cast<uint32_t>(rank); }
inline float score_of(uint64_t rank) {
    const auto bits = static_cast<uint32_t>(rank >> 32);
    return std::bit_cast<float>(bits >> 31 ? bits : bits ^ 0x7FFF'FFFFu);
}

// Keeps the n best of what is pushed, by rank.
class Best {
public:
    Best() = default;
    Best(int64_t n, int64_t n_pushed_max)
        : n_(std::min(n, n_pushed_max)), kept_(std::min(2 * n_ + kRoom, n_pushed_max) + 1) {}

    float least() const { return least_; }    // what scores less is no longer among the best

    void push(float score, uint32_t id) {
        if (!(score >= least_)) return;    // nor may a NaN of a damaged codec confuse sorting
        kept_[size_++] = rank_of(score, id);
        if (size_ == kept_.size()) cut();
    }

    // In no order.
    std::span<const uint64_t> in_any_order() {
        if (size_ > n_) cut();
        return {kept_.begin(), static_cast<size_t>(size_)};
    }

    std::span<const uint64_t> sorted() {
        in_any_order();
        std::sort(kept_.begin(), kept_.begin() + size_);
        return in_any_order();
    }

private:
    static constexpr int64_t kRoom = 64;    // choosing among many at once costs less a candidate
    int64_t n_ = 0;
    int64_t size_ = 0;
    float least_ = -kInfinity;
    Buffer<uint64_t> kept_;

    void cut() {
        put_least_first(kept_.begin(), size_, n_);
        if (n_ > 0)
            least_ = score_of(*std::max_element(kept_.begin(), kept_.begin() + n_));
        size_ = n_;
    }
};

}    // namespace
}    // namespace interlace
