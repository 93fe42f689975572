// Integer dot products of many document rows with all rows of a query: the hot loop of searching.
//
// A *strip* holds kLanes document rows side by side, a lane each. So the work grows with the query's
// rows exactly, whatever their number, and the maximum over tokens needs no shuffling before a
// passage ends. Besides what panel.h names, an Isa says:
//
//     kStripGroup    coordinates of a lane that lie together
//     across()       out[q][lane] = start[q] + the sum over k of strip[k][lane] * query[q][k]
//     join()         a row of int8 levels, and what packed codes add to each, as Levels
//     lay()          rows of Levels, one after another, into a strip
//
// and, where it has a shorter way for most dims, lay_rows().
#pragma once

#include "panel.h"

namespace interlace {
namespace {

constexpr int kLanes = 16;
constexpr int kLaneParts = kLanes / kWidth;

// A query as strips are multiplied with it: a group of coordinates of all its rows lies together.
template <class Isa>
struct Weights {
    using Weight = typename Isa::Weight;
    static constexpr int G = Isa::kStripGroup;

    int64_t n;
    int64_t dim;
    int64_t n_groups;
    const float* scales;
    Buffer<Weight> levels;
    Buffer<int32_t> start;    // takes back what the documents' bias adds

    explicit Weights(const Vectors& query)
        : n(query.n), dim(query.dim), n_groups(ceil_div(dim, G)), scales(query.scales),
          levels(n_groups * n * G, Weight{0}), start(n) {
        for (int64_t q = 0; q < n; ++q) {
            const int8_t* row = query.row(q);
            int32_t sum = 0;
            for (int64_t k = 0; k < dim; ++k) {
                levels[(k / G * n + q) * G + k % G] = row[k];
                sum += row[k];
            }
            start[q] = -Isa::kBias * sum;
        }
    }
};

template <class Isa>
class Strip {
public:
    using Level = typename Isa::Level;
    static constexpr int G = Isa::kStripGroup;

    // `slack`: how many levels beyond dim Isa::join() may write in a row.
    Strip(const Weights<Isa>& query, int64_t slack = 0)
        : query_(query), stride_(round_up(query.dim + slack, 64)),
          rows_(kLanes * stride_ + 64, Level{0}), levels_(kLanes * stride_, Level{0}),
          products_(query.n * kLanes) {}

    // Lanes of int8 levels.
    void fill(const int8_t* const* rows) {
        if constexpr (requires { &Isa::lay_rows; })
            if (Isa::lay_rows(rows, query_.dim, levels_.begin())) return;
        for (int64_t lane = 0; lane < kLanes; ++lane)
            Isa::widen(rows[lane], query_.dim, rows_.begin() + lane * stride_);
        Isa::lay(rows_.begin(), stride_, query_.n_groups, levels_.begin());
    }

    // Lane by lane join(lane, row) puts the Levels of one into its row.
    template <class Join>
    void fill_by(Join join) {
        for (int lane = 0; lane < kLanes; ++lane) join(lane, rows_.begin() + lane * stride_);
        Isa::lay(rows_.begin(), stride_, query_.n_groups, levels_.begin());
    }

    void multiply() {
        Isa::across(levels_.begin(), query_.n_groups, query_.levels.begin(), query_.n,
                    query_.start.begin(), products_.begin());
    }

    // The products of some lanes with row q of the query.
    F32 products(int64_t q, int part) const {
        return to_float(load<I32>(products_.begin() + q * kLanes + part * kWidth));
    }

private:
    const Weights<Isa>& query_;
    int64_t stride_;
    Buffer<Level> rows_;      // on the way into the strip, where there is no shorter one
    Buffer<Level> levels_;
    Buffer<int32_t> products_;
};

}    // namespace
}    // namespace interlace
