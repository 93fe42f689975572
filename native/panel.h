// Integer dot products of many document rows with a few query rows: the one hot loop.
//
// A *panel* holds up to L query rows side by side (L lanes), a *tile* up to kTile document rows in
// the form that the instruction set multiplies. An Isa says what that form is:
//
//     Level, kBias    a document level in a tile is stored as Level(level + kBias)
//     Weight, kGroup  a query level in a panel; kGroup coordinates of a lane lie together
//     dots<L>()       out[i][l] = start[l] + the sum over k of tile[i][k] * (lane l's level k)
//     widen()         int8 levels to Levels
#pragma once

#include "lanes.h"

namespace interlace {
namespace {

constexpr int64_t kTile = 64;    // a multiple of the rows that dots() takes at once

template <int L>
struct Lanes {
    static constexpr int kParts = L / kWidth;
    F32 part[kParts];

    static Lanes filled(float x) {
        Lanes lanes;
        for (F32& part : lanes.part) part = splat(x);
        return lanes;
    }
};

template <class Isa, int L>
struct Panel {
    using Weight = typename Isa::Weight;
    static constexpr int G = Isa::kGroup;

    int64_t dim;
    int64_t n_groups;
    int64_t n = 0;    // lanes in use; the others hold zeros
    Buffer<Weight> weights;
    alignas(64) int32_t start[L];    // takes back what the document's bias adds
    alignas(64) float scales[L];

    explicit Panel(int64_t dim)
        : dim(dim), n_groups(ceil_div(dim, G)), weights(n_groups * L * G) {}

    // Lane l gets the levels at row(l).
    template <class Row>
    void fill(int64_t n_rows, Row row) {
        n = n_rows;
        std::fill_n(start, L, 0);
        if (n < L || dim % G) std::fill_n(weights.begin(), weights.size(), Weight{0});
        for (int64_t l = 0; l < n; ++l) {
            const int8_t* levels = row(l);
            Weight* lane = weights.begin() + l * G;
            for (int64_t g = 0; g < dim / G; ++g) {
                Weight group[G];    // one store of a group is much faster than one of each level
                for (int j = 0; j < G; ++j) group[j] = levels[g * G + j];
                std::memcpy(lane + g * L * G, group, sizeof group);
            }
            for (int64_t k = dim / G * G; k < dim; ++k) lane[k / G * L * G + k % G] = levels[k];
            if constexpr (Isa::kBias != 0) {
                int32_t sum = 0;
                for (int64_t k = 0; k < dim; ++k) sum += levels[k];
                start[l] = -Isa::kBias * sum;
            }
        }
    }

    // Lanes from..from + L of a query, as far as it has so many.
    void fill(const Vectors& query, int64_t from) {
        fill(std::min<int64_t>(L, query.n - from), [&](int64_t l) { return query.row(from + l); });
        std::fill_n(scales, L, 0.0f);
        std::copy_n(query.scales + from, n, scales);
    }
};

// Runs visit(panel, from) over a query's panels: of 16 lanes where that is enough, else of 32.
template <class Isa, class Visit>
void for_panels(const Vectors& query, Visit visit) {
    auto run = [&]<int L>(std::integral_constant<int, L>) {
        Panel<Isa, L> panel(query.dim);
        for (int64_t from = 0; from < query.n; from += L) {
            panel.fill(query, from);
            visit(panel, from);
        }
    };
    if (query.n <= 16) {
        run(std::integral_constant<int, 16>{});
    } else {
        run(std::integral_constant<int, 32>{});
    }
}

template <class Isa>
class Tile {
public:
    using Level = typename Isa::Level;

    explicit Tile(int64_t dim)
        : stride_(round_up(dim, 64)), levels_(kTile * stride_ + 64, Level{0}) {}

    Level* row(int64_t i) { return levels_.begin() + i * stride_; }

    template <int L>
    void multiply(int64_t n, const Panel<Isa, L>& panel) {
        Isa::template dots<L>(levels_.begin(), stride_, n, panel.weights.begin(), panel.n_groups,
                              panel.start, products_);
    }

    template <int L>
    Lanes<L> products(int64_t i) const {
        Lanes<L> lanes;
        for (int p = 0; p < Lanes<L>::kParts; ++p)
            lanes.part[p] = to_float(load<I32>(products_ + i * L + p * kWidth));
        return lanes;
    }

private:
    int64_t stride_;
    Buffer<Level> levels_;
    alignas(64) int32_t products_[kTile * 32];
};

// Runs visit(i, cosines) over n rows: each row's product with every lane, times the row's scale.
template <int L, class Isa, class Row, class Visit>
void multiply_rows(const Vectors& vectors, int64_t n, Row row, const Panel<Isa, L>& panel,
                   Tile<Isa>& tile, Visit visit) {
    for (int64_t at = 0; at < n; at += kTile) {
        const int64_t m = std::min(kTile, n - at);
        for (int64_t i = 0; i < m; ++i) {
            prefetch(vectors.row(row(std::min(at + i + kTile, n - 1))), vectors.dim);
            Isa::widen(vectors.row(row(at + i)), vectors.dim, tile.row(i));
        }
        tile.multiply(m, panel);
        for (int64_t i = 0; i < m; ++i) {
            Lanes<L> lanes = tile.template products<L>(i);
            for (F32& part : lanes.part) part *= splat(vectors.scales[row(at + i)]);
            visit(at + i, lanes);
        }
    }
}

}    // namespace
}    // namespace interlace
