// Integer dot products of many rows with a few: the one hot loop.
//
// A *panel* holds up to kPanel rows side by side, a lane each: a query's, or tokens that look for
// their centroids. A *tile* holds rows that are multiplied with it, in the form that the
// instruction set wants. An Isa says what that form is:
//
//     Level, kBias    a level in a tile is stored as Level(level + kBias)
//     Weight, kGroup  a level in a panel; kGroup coordinates of a lane lie together
//     dots()          out[i][l] = start[l] + the sum over k of tile[i][k] * (lane l's level k), for
//                     the first n_lanes lanes, a multiple of kLaneStep
//     widen()         int8 levels to Levels
//     Join            int8 levels, and what packed codes add to each (reference.unpack), to Levels
#pragma once

#include "lanes.h"

namespace interlace {
namespace {

constexpr int kPanel = 32;
constexpr int kPanelParts = kPanel / kWidth;
constexpr int kLaneStep = 8;
constexpr int64_t kTile = 8;    // a multiple of the rows that dots() takes at once

template <class Isa>
struct Panel {
    using Weight = typename Isa::Weight;
    static constexpr int G = Isa::kGroup;

    int64_t dim;
    int64_t n_groups;
    int n = 0;    // lanes in use; the others hold zeros
    Buffer<Weight> weights;
    alignas(64) int32_t start[kPanel];    // takes back what the tile's bias adds

    explicit Panel(int64_t dim)
        : dim(dim), n_groups(ceil_div(dim, G)), weights(n_groups * kPanel * G) {}

    // Lane l gets the levels at row(l).
    template <class Row>
    void fill(int64_t n_rows, Row row) {
        n = static_cast<int>(n_rows);
        std::fill_n(start, kPanel, 0);
        if (n < kPanel || dim % G) std::fill_n(weights.begin(), weights.size(), Weight{0});
        for (int64_t l = 0; l < n; ++l) {
            const int8_t* levels = row(l);
            Weight* lane = weights.begin() + l * G;
            for (int64_t g = 0; g < dim / G; ++g) {
                Weight group[G];    // one store of a group is much faster than one of each level
                for (int j = 0; j < G; ++j) group[j] = levels[g * G + j];
                std::memcpy(lane + g * kPanel * G, group, sizeof group);
            }
            for (int64_t k = dim / G * G; k < dim; ++k)
                lane[k / G * kPanel * G + k % G] = levels[k];
            if constexpr (Isa::kBias != 0) {
                int32_t sum = 0;
                for (int64_t k = 0; k < dim; ++k) sum += levels[k];
                start[l] = -Isa::kBias * sum;
            }
        }
    }

    int n_parts() const { return (n + kWidth - 1) / kWidth; }    // vectors of lanes in use
};

// A query's rows, in panels; unused lanes have scales of 0.
template <class Isa>
struct QueryPanel : Panel<Isa> {
    int64_t first;    // row
    alignas(64) float scales[kPanel] = {};

    QueryPanel(const Vectors& query, int64_t first) : Panel<Isa>(query.dim), first(first) {
        this->fill(std::min<int64_t>(kPanel, query.n - first),
                   [&](int64_t l) { return query.row(first + l); });
        std::copy_n(query.scales + first, this->n, scales);
    }
};

template <class Isa>
struct Query {
    int64_t n;
    int64_t dim;
    std::vector<QueryPanel<Isa>> panels;

    explicit Query(const Vectors& query) : n(query.n), dim(query.dim) {
        for (int64_t first = 0; first < n; first += kPanel) panels.emplace_back(query, first);
    }
};

template <class Isa>
class Tile {
public:
    using Level = typename Isa::Level;

    explicit Tile(int64_t dim)
        : stride_(round_up(dim, 64)), levels_(kTile * stride_ + 64, Level{0}) {
        std::fill_n(products_, kTile * kPanel, 0);
    }

    // What is written past a row's end must be written before the next row.
    Level* row(int64_t i) { return levels_.begin() + i * stride_; }

    void multiply(int64_t n, const Panel<Isa>& panel) {
        const int n_lanes = (panel.n + kLaneStep - 1) / kLaneStep * kLaneStep;
        Isa::dots(levels_.begin(), stride_, n, panel.weights.begin(), panel.n_groups, n_lanes,
                  panel.start, products_);
    }

    // Of row i with the lanes of one part; what unused lanes hold means nothing.
    F32 products(int64_t i, int part) const {
        return to_float(load<I32>(products_ + i * kPanel + part * kWidth));
    }

private:
    int64_t stride_;
    Buffer<Level> levels_;
    alignas(64) int32_t products_[kTile * kPanel];
};

}    // namespace
}    // namespace interlace
