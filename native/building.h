// What makes codes: quantise, cluster, assign, encode.
#pragma once

#include "panel.h"

namespace interlace {
namespace {

// --- quantise ------------------------------------------------------------------------------------

// kWidth rows at once, a lane each, so that no transform has to move data between lanes.
struct Rotation {
    int64_t dim;
    std::span<const int8_t> signs;
    int64_t half;      // the largest power of two that is at most dim
    float shrink;

    Rotation(int64_t dim, std::span<const int8_t> signs) : dim(dim), signs(signs), half(1) {
        while (half * 2 <= dim) half *= 2;
        shrink = static_cast<float>(1.0 / std::sqrt(static_cast<double>(half)));
    }

    void operator()(F32* x) const {
        for (size_t round = 0; round < signs.size(); round += static_cast<size_t>(dim)) {
            for (int64_t k = 0; k < dim; ++k)
                x[k] *= splat(signs[round + static_cast<size_t>(k)]);
            hadamard(x);
            if (half < dim) hadamard(x + dim - half);
        }
    }

    void hadamard(F32* x) const {
        for (int64_t h = 1; h < half; h *= 2)
            for (int64_t i = 0; i < half; i += 2 * h)
                for (int64_t j = i; j < i + h; ++j) {
                    const F32 a = x[j], b = x[j + h];
                    x[j] = a + b;
                    x[j + h] = a - b;
                }
        for (int64_t k = 0; k < half; ++k) x[k] *= splat(shrink);
    }
};

// Largest magnitude of each lane; 1 where all are zero, so that zeros stay zeros.
inline F32 largest(const F32* x, int64_t dim) {
    F32 peak{};
    for (int64_t k = 0; k < dim; ++k) peak = larger(larger(x[k], -x[k]), peak);
    return peak > 0 ? peak : splat(1);
}

inline void quantise(const float* matrix, int64_t n, int64_t dim, std::span<const int8_t> signs,
                     int8_t* codes, float* scales, int n_threads) {
    const Rotation rotate(dim, signs);
    parallel_ranges(n, 4096, n_threads, [&](int64_t begin, int64_t end) {
        Buffer<F32> x(dim, F32{});
        for (int64_t row = begin; row < end; row += kWidth) {
            const int64_t m = std::min<int64_t>(kWidth, end - row);
            for (int64_t l = 0; l < m; ++l)
                for (int64_t k = 0; k < dim; ++k) x[k][l] = matrix[(row + l) * dim + k];

            const F32 peak = largest(x.begin(), dim);
            for (F32& value : x) value /= peak;
            rotate(x.begin());
            const F32 stretch = 127.0f / largest(x.begin(), dim);
            for (F32& value : x) value = round_even(value * stretch);

            for (int64_t l = 0; l < m; ++l) {
                int8_t* out = codes + (row + l) * dim;
                for (int64_t k = 0; k < dim; ++k) out[k] = static_cast<int8_t>(x[k][l]);
                scales[row + l] = unit_scale(out, dim);
            }
        }
    });
}

// --- cluster and assign --------------------------------------------------------------------------

// The best centroid of each lane, counted from the first; ties go to the lowest.
template <class Isa>
void nearest(const Panel<Isa>& panel, const Vectors& centroids, Tile<Isa>& tile, int32_t* best) {
    F32 highest[kPanelParts];
    I32 index[kPanelParts] = {};
    std::fill_n(highest, kPanelParts, splat(-kInfinity));
    for (int64_t at = 0; at < centroids.n; at += kTile) {
        const int64_t n = std::min(kTile, centroids.n - at);
        for (int64_t i = 0; i < n; ++i)
            Isa::widen(centroids.row(at + i), centroids.dim, tile.row(i));
        tile.multiply(n, panel);
        for (int p = 0; p < panel.n_parts(); ++p)
            for (int64_t i = 0; i < n; ++i) {
                const F32 cosines = tile.products(i, p) * splat(centroids.scales[at + i]);
                const I32 better = cosines > highest[p];
                highest[p] = better ? cosines : highest[p];
                index[p] = better ? I32{} + static_cast<int32_t>(at + i) : index[p];
            }
    }
    std::memcpy(best, index, sizeof index);
}

// All centroids have one length, so that a residual is added to any in the same steps.
inline float centroid_length(int64_t dim) {
    return kCentroidDeviation * std::sqrt(static_cast<float>(dim));
}

inline void bring_to_length(int8_t* row, int64_t dim) {
    const int32_t squared = dot(row, row, dim);
    if (squared == 0) return;
    const float stretch = centroid_length(dim) / std::sqrt(static_cast<float>(squared));
    for (int64_t k = 0; k < dim; ++k) {
        const float level = round_even(float(row[k]) * stretch);
        row[k] = static_cast<int8_t>(level < -127 ? -127.0f : level > 127 ? 127.0f : level);
    }
}

// A group of cluster(): n rows at even steps through all rows of the group.
template <class Isa>
struct Group {
    const int8_t* codes;
    int64_t n_all;
    int64_t n;
    int64_t k;
    int64_t dim;
    int8_t* centroids;
    float* scales;

    const int8_t* row(int64_t i) const { return codes + i * n_all / n * dim; }
    Vectors found() const { return {centroids, scales, k, dim}; }

    void iterate(int n_iterations, int n_threads) const {
        Buffer<int32_t> closest(n, 0);
        Buffer<int32_t> sums(k * dim);
        for (int64_t c = 0; c < k; ++c)
            std::memcpy(centroids + c * dim, row(c * n / k), static_cast<size_t>(dim));
        for (int i = 0; i < (k > 1 ? n_iterations : 1); ++i) {
            if (k > 1) attach(closest, n_threads);
            move(closest, sums);
        }
        for (int64_t c = 0; c < k; ++c) bring_to_length(centroids + c * dim, dim);
        rescale();
    }

    void rescale() const {
        for (int64_t c = 0; c < k; ++c) scales[c] = unit_scale(centroids + c * dim, dim);
    }

    void attach(Buffer<int32_t>& closest, int n_threads) const {
        rescale();
        parallel_ranges(n, 512, n_threads, [&](int64_t begin, int64_t end) {
            Panel<Isa> panel(dim);
            Tile<Isa> tile(dim);
            int32_t best[kPanel];
            for (int64_t at = begin; at < end; at += kPanel) {
                const int64_t m = std::min<int64_t>(kPanel, end - at);
                panel.fill(m, [&](int64_t l) { return row(at + l); });
                nearest(panel, found(), tile, best);
                std::copy_n(best, m, closest.begin() + at);
            }
        });
    }

    void move(const Buffer<int32_t>& closest, Buffer<int32_t>& sums) const {
        std::fill_n(sums.begin(), sums.size(), 0);
        for (int64_t i = 0; i < n; ++i) {
            int32_t* sum = sums.begin() + closest[i] * dim;
            const int8_t* levels = row(i);
            for (int64_t d = 0; d < dim; ++d) sum[d] += levels[d];
        }
        for (int64_t c = 0; c < k; ++c) {
            const int32_t* sum = sums.begin() + c * dim;
            float peak = 0;
            for (int64_t d = 0; d < dim; ++d) peak = larger(std::fabs(float(sum[d])), peak);
            if (peak == 0) continue;
            const float stretch = 127.0f / peak;
            int8_t* levels = centroids + c * dim;
            for (int64_t d = 0; d < dim; ++d)
                levels[d] = static_cast<int8_t>(round_even(float(sum[d]) * stretch));
        }
    }
};

template <class Isa>
void cluster(const int8_t* codes, int64_t dim, const int64_t* group_offsets,
             std::span<const int64_t> n_centroids, int n_iterations, int64_t sample,
             int8_t* centroids, float* scales, int n_threads) {
    const auto n_groups = static_cast<int64_t>(n_centroids.size());
    Buffer<Group<Isa>> groups(n_groups);
    Buffer<int64_t> small(n_groups);
    int64_t n_small = 0;
    for (int64_t g = 0, out = 0; g < n_groups; ++g) {
        const int64_t k = n_centroids[static_cast<size_t>(g)];
        const int64_t n_all = group_offsets[g + 1] - group_offsets[g];
        groups[g] = {codes + group_offsets[g] * dim, n_all, std::min(n_all, sample * k), k,
                     dim, centroids + out * dim, scales + out};
        out += k;

        // A large group is worth all threads; small ones are dealt out whole.
        if (n_threads > 1 && groups[g].n * k > 4'000'000) {
            groups[g].iterate(n_iterations, n_threads);
        } else {
            small[n_small++] = g;
        }
    }
    parallel_ranges(n_small, 8, n_threads, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) groups[small[i]].iterate(n_iterations, 1);
    });
}

// Row numbers in ascending order of their key, equal keys in ascending order of row.
inline Buffer<int64_t> sorted_rows(const int64_t* keys, int64_t n) {
    Buffer<int64_t> order(n), next(n);
    int64_t top = 0;
    for (int64_t i = 0; i < n; ++i) {
        order[i] = i;
        top = std::max(top, keys[i]);
    }
    for (int shift = 0; shift < 63 && top >> shift > 0; shift += 11) {
        int64_t begins[2049] = {};
        for (int64_t i = 0; i < n; ++i) ++begins[(keys[i] >> shift & 2047) + 1];
        for (int digit = 0; digit < 2048; ++digit) begins[digit + 1] += begins[digit];
        for (int64_t row : order) next[begins[keys[row] >> shift & 2047]++] = row;
        std::swap(order, next);
    }
    return order;
}

template <class Isa>
void assign(const int8_t* codes, int64_t n, const int64_t* first, const int64_t* last,
            const Vectors& centroids, uint32_t* found, int n_threads) {
    const Buffer<int64_t> order = sorted_rows(first, n);
    parallel_ranges(n, 8192, n_threads, [&](int64_t begin, int64_t end) {
        Panel<Isa> panel(centroids.dim);
        Tile<Isa> tile(centroids.dim);
        int32_t best[kPanel];
        for (int64_t at = begin; at < end;) {
            const int64_t start = first[order[at]], stop = last[order[at]];
            int64_t m = 1;
            while (m < kPanel && at + m < end && first[order[at + m]] == start &&
                   last[order[at + m]] == stop)
                ++m;
            std::fill_n(best, m, 0);
            if (stop - start > 1) {
                for (int64_t i = at + m; i < std::min(end, at + 2 * m); ++i)
                    prefetch(codes + order[i] * centroids.dim, centroids.dim);
                panel.fill(m, [&](int64_t l) { return codes + order[at + l] * centroids.dim; });
                nearest(panel, {centroids.row(start), centroids.scales + start, stop - start,
                                centroids.dim}, tile, best);
            }
            for (int64_t l = 0; l < m; ++l)
                found[order[at + l]] = static_cast<uint32_t>(start + best[l]);
            at += m;
        }
    });
}

// --- encode --------------------------------------------------------------------------------------

constexpr int64_t kSumLanes = 16;

// Sum of a padded row in the written order: 16 lanes, then 8, 4, 2, 1.
inline float lane_sum(const float* x, int64_t padded) {
    float lanes[kSumLanes] = {};
    for (int64_t k = 0; k < padded; k += kSumLanes)
        for (int64_t l = 0; l < kSumLanes; ++l) lanes[l] += x[k + l];
    for (int64_t half = kSumLanes / 2; half; half /= 2)
        for (int64_t l = 0; l < half; ++l) lanes[l] += lanes[l + half];
    return lanes[0];
}

// Codes kWidth tokens at once, a lane each: they take the same steps through the trellis, whatever
// their norms. A step is a coordinate, in the order of the packed bits.
template <class Isa>
class Encoder {
public:
    explicit Encoder(const Codec& codec)
        : codec_(codec), dim_(codec.leaves.dim), padded_(round_up(dim_, kSumLanes)),
          n_planes_(8 / codec.bits), n_steps_(codec.width() * n_planes_), n_levels_(2 << codec.bits),
          rest_(padded_, 0.0f), squares_(padded_, 0.0f), x_(n_steps_, F32{}), came_(4 * n_steps_),
          bytes_(codec.width()), levels_(n_levels_, F32{}), middles_(n_levels_),
          whole_(round_up(dim_, 64) + 64), join_{dim_, codec.bits} {}

    void encode(const Vectors& tokens, const uint32_t* leaves, int64_t begin, int64_t n,
                uint8_t* codes, uint8_t* scale_codes) {
        int norms[kWidth];
        for (int64_t l = 0; l < n; ++l)
            norms[l] = take(tokens.row(begin + l), tokens.scales[begin + l],
                            codec_.leaves.row(leaves[begin + l]), l);
        for (int64_t i = 0; i + 4 < n_levels_; ++i)
            middles_[i] = (levels_[i] + levels_[i + 4]) * splat(0.5f);
        backward(forward());
        const int64_t width = codec_.width();
        for (int64_t l = 0; l < n; ++l) {
            uint8_t* packed = codes + (begin + l) * width;
            for (int64_t b = 0; b < width; ++b) packed[b] = bytes_[b][l];
            scale_codes[begin + l] =
                scale_code(codec_.leaves.row(leaves[begin + l]), packed, norms[l]);
        }
    }

private:
    const Codec& codec_;
    int64_t dim_, padded_, n_planes_, n_steps_, n_levels_;
    Buffer<float> rest_, squares_;
    Buffer<F32> x_;
    Buffer<I32> came_;    // of each step and state, whether the code two steps before was odd
    Buffer<U8> bytes_;
    Buffer<F32> levels_, middles_;    // between a level and the fourth from it
    Buffer<typename Isa::Level> whole_;
    typename Isa::Join join_;

    // What remains of a token goes to a lane; returns the norm.
    int take(const int8_t* token, float scale, const int8_t* near, int64_t lane) {
        const float stretch = scale * centroid_length(dim_);
        for (int64_t k = 0; k < dim_; ++k) rest_[k] = float(token[k]) * stretch - float(near[k]);
        for (int64_t k = 0; k < padded_; ++k) squares_[k] = rest_[k] * rest_[k];
        const float length = std::sqrt(lane_sum(squares_.begin(), padded_)) /
                             std::sqrt(static_cast<float>(dim_));
        int norm = 0;
        for (int n = 0; n < 15; ++n)
            norm += length > (codec_.norms[n + 1] + codec_.norms[n]) * 0.5f;

        int64_t k = 0;
        for (int64_t plane = 0; plane < n_planes_; ++plane)
            for (int64_t t = plane; t < n_steps_ && k < dim_; t += n_planes_, ++k)
                x_[t][lane] = rest_[k] * codec_.stretch;
        const int8_t* residual = codec_.residual(norm);
        for (int64_t i = 0; i < n_levels_; ++i)
            levels_[i][lane] = float(residual[i % 2 * kOdd + i / 2]);
        return norm;
    }

    // Forward: what the cheapest way to each state costs. Returns the state where it ends.
    I32 forward() {
        F32 costs[4] = {F32{}, splat(kInfinity), splat(kInfinity), splat(kInfinity)};
        for (int64_t t = 0; t < n_steps_; ++t) {
            F32 away[4];
            for (int subset = 0; subset < 4; ++subset) {
                away[subset] = square(x_[t] - levels_[subset]);
                for (int64_t i = subset + 4; i < n_levels_; i += 4) {
                    const F32 other = square(x_[t] - levels_[i]);
                    away[subset] = other < away[subset] ? other : away[subset];
                }
            }
            F32 following[4];
            for (int u = 0; u < 2; ++u)
                for (int before = 0; before < 2; ++before) {
                    const F32 zero = costs[before] + away[2 * u + before];
                    const F32 one = costs[before + 2] + away[2 * (1 - u) + before];
                    const I32 cheaper = one < zero;
                    following[u + 2 * before] = cheaper ? one : zero;
                    came_[4 * t + u + 2 * before] = cheaper;
                }
            std::copy_n(following, 4, costs);
        }
        I32 state{};
        for (int i = 1; i < 4; ++i) {
            const I32 lower = costs[i] < costs[0];
            costs[0] = lower ? costs[i] : costs[0];
            state = lower ? I32{} + i : state;
        }
        return state;
    }

    // Backward: which codes led there.
    void backward(I32 state) {
        I32 u = -(state & 1), before = -(state >> 1);    // masks
        I32 byte{};
        for (int64_t t = n_steps_ - 1; t >= 0; --t) {
            const I32* came = came_.begin() + 4 * t;
            const I32 two_before = before ? (u ? came[3] : came[2]) : (u ? came[1] : came[0]);
            const I32 upper = u ^ two_before;
            I32 code = -u;
            for (int64_t i = 0; i + 4 < n_levels_; i += 4) {
                const F32* middles = middles_.begin() + i;
                const F32 middle = upper ? (before ? middles[3] : middles[2])
                                         : (before ? middles[1] : middles[0]);
                code -= (x_[t] > middle) * 2;
            }
            const int64_t plane = t % n_planes_;
            byte |= code << int(plane * codec_.bits);
            if (plane == 0) {
                bytes_[t / n_planes_] = __builtin_convertvector(byte, U8);
                byte = I32{};
            }
            u = before;
            before = two_before;
        }
    }

    // The norm, and which of its factors restores unit length.
    uint8_t scale_code(const int8_t* near, const uint8_t* packed, int norm) {
        join_(near, packed, codec_.residual(norm), whole_.begin());
        int32_t squared = 0;
        for (int64_t k = 0; k < dim_; ++k) squared += square(int32_t{whole_[k]} - Isa::kBias);
        const float unit = 1.0f / std::sqrt(float(squared));
        const float first = codec_.factors[norm], apart = codec_.factors[16 + norm] - first;
        return static_cast<uint8_t>(16 * std::min<int>(to_byte((unit - first) / apart), 15) + norm);
    }

    template <class V>
    static V square(V x) { return x * x; }
};

template <class Isa>
void encode(const Vectors& tokens, const uint32_t* leaves, const Codec& codec, uint8_t* codes,
            uint8_t* scale_codes, int n_threads) {
    parallel_ranges(tokens.n, 4096, n_threads, [&](int64_t begin, int64_t end) {
        Encoder<Isa> encoder(codec);
        for (int64_t i = begin; i < end; i += kWidth)
            encoder.encode(tokens, leaves, i, std::min<int64_t>(kWidth, end - i), codes,
                           scale_codes);
    });
}

}    // namespace
}    // namespace interlace
