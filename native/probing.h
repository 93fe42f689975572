// Which centroids are near a query: probe.
#pragma once

#include "panel.h"

namespace interlace {
namespace {

// The best of each query token among what it has been shown.
class BestOfEach {
public:
    BestOfEach(int64_t n_query, int64_t n, int64_t n_shown_max)
        : n_(n_query), best_(new Best[static_cast<size_t>(n_query)]),
          least_(round_up(n_query, kPanel), kInfinity) {
        for (int64_t q = 0; q < n_; ++q) best_[q] = Best(n, n_shown_max);
        std::fill_n(least_.begin(), n_, n > 0 ? -kInfinity : kInfinity);
    }
    ~BestOfEach() { delete[] best_; }
    BestOfEach(const BestOfEach&) = delete;

    // What is less is no longer among the best; of as many lanes as panels have.
    const float* least() const { return least_.begin(); }
    void push(int64_t q, float score, uint32_t id) {
        best_[q].push(score, id);
        least_[q] = best_[q].least();
    }
    std::span<const uint64_t> sorted(int64_t q) const { return best_[q].sorted(); }

    template <class Visit>
    void each(Visit visit) const {
        for (int64_t q = 0; q < n_; ++q)
            for (uint64_t rank : best_[q].in_any_order()) visit(id_of(rank));
    }

private:
    int64_t n_;
    Best* best_;
    Buffer<float> least_;
};

// Shows centroids to a query: their cosines go into the table as bytes, the best are remembered.
template <class Isa>
class Looker {
public:
    explicit Looker(const Query<Isa>& query)
        : query_(query), tile_(query.dim), width_(Probe::table_width(query.n)) {}

    // row(i) of `centroids` is shown under the name id(i).
    template <class Row, class Id>
    void look(const Vectors& centroids, int64_t n, Row row, Id id, BestOfEach& best,
              uint8_t* table) {
        for (int64_t at = 0; at < n; at += kTile) {
            const int64_t m = std::min(kTile, n - at);
            for (int64_t i = 0; i < m; ++i) {
                prefetch(centroids.row(row(std::min(at + i + 4 * kTile, n - 1))), centroids.dim);
                Isa::widen(centroids.row(row(at + i)), centroids.dim, tile_.row(i));
            }
            for (const QueryPanel<Isa>& panel : query_.panels) {
                tile_.multiply(m, panel);
                for (int part = 0; part < kPanelParts; ++part) {
                    const int64_t first = panel.first + part * kWidth;
                    if (first >= width_) break;    // unused columns before it are 0
                    const F32 scale = load<F32>(panel.scales + part * kWidth);
                    const F32 used = load<F32>(panel.used + part * kWidth);
                    for (int64_t i = 0; i < m; ++i) {
                        const F32 cosines = tile_.products(i, part) *
                                            splat(centroids.scales[row(at + i)]) * scale;
                        store(table + (at + i) * width_ + first,
                              to_bytes((cosines + 1.0f) * 127.0f * used));
                        uint32_t promising = bits_of(cosines >= load<F32>(best.least() + first));
                        if (!promising) continue;
                        alignas(64) float cosine[kWidth];
                        store(cosine, cosines);
                        for (; promising; promising &= promising - 1) {
                            const int l = std::countr_zero(promising);
                            best.push(first + l, cosine[l], id(at + i));
                        }
                    }
                }
            }
        }
    }

private:
    const Query<Isa>& query_;
    Tile<Isa> tile_;
    int64_t width_;
};

// Groups, the cells of the best groups, the leaves of the best cells. What one query token chooses
// is shown to all.
template <class Isa>
void probe(const Vectors& query, const Codec& codec, const Width& width, void* context,
           uint8_t* (*room)(void* context, int64_t n_rows), uint32_t* entries, uint32_t* leaves,
           float* scores) {
    const Query<Isa> panels(query);
    Looker<Isa> looker(panels);
    const int64_t table_width = Probe::table_width(query.n);
    const auto same = [](int64_t i) { return i; };
    const auto number = [](int64_t i) { return static_cast<uint32_t>(i); };

    const int64_t n_groups = codec.groups.n;
    Buffer<uint8_t> of_groups(n_groups * table_width);
    BestOfEach groups(query.n, width.groups, n_groups);
    looker.look(codec.groups, n_groups, same, number, groups, of_groups.begin());
    for (int64_t cell = 0; cell < codec.cells.n; ++cell)
        entries[cell] = codec.cell_groups[cell] << 8;

    Buffer<uint8_t> is_chosen(std::max(n_groups, codec.cells.n), 0);
    groups.each([&](uint32_t group) { is_chosen[group] = 1; });
    Buffer<uint32_t> cells(codec.cells.n);
    int64_t n_cells = 0;
    for (int64_t group = 0; group < n_groups; ++group) {
        if (!is_chosen[group]) continue;
        for (uint32_t cell : codec.by_group.members(group)) {
            entries[cell] = static_cast<uint32_t>(n_groups + n_cells) << 8;
            cells[n_cells++] = cell;
        }
    }
    Buffer<uint8_t> of_cells(n_cells * table_width);
    BestOfEach near(query.n, width.cells, n_cells);
    looker.look(codec.cells, n_cells, [&](int64_t i) { return int64_t{cells[i]}; },
                [&](int64_t i) { return cells[i]; }, near, of_cells.begin());

    std::fill_n(is_chosen.begin(), codec.cells.n, 0);
    near.each([&](uint32_t cell) { is_chosen[cell] = 1; });
    int64_t n_leaves = 0;
    for (int64_t i = 0; i < n_cells; ++i)
        if (is_chosen[cells[i]]) n_leaves += int64_t(codec.by_cell.members(cells[i]).size());
    Buffer<uint32_t> rows(n_leaves), ids(n_leaves);
    n_leaves = 0;
    for (int64_t i = 0; i < n_cells; ++i) {
        const uint32_t cell = cells[i];
        if (!is_chosen[cell]) continue;
        const auto members = codec.by_cell.members(cell);
        if (members.empty()) continue;
        entries[cell] = static_cast<uint32_t>(n_groups + n_cells + n_leaves) << 8 |
                        static_cast<uint32_t>(members.size() - 1);
        for (uint32_t place = 0; place < members.size(); ++place) {
            rows[n_leaves] = members[place];
            ids[n_leaves++] = leaf_id(cell, place);
        }
    }
    uint8_t* table = room(context, n_groups + n_cells + n_leaves);
    std::copy_n(of_groups.begin(), of_groups.size(), table);
    std::copy_n(of_cells.begin(), of_cells.size(), table + of_groups.size());
    BestOfEach best(query.n, width.leaves, n_leaves);
    looker.look(codec.leaves, n_leaves, [&](int64_t i) { return int64_t{rows[i]}; },
                [&](int64_t i) { return ids[i]; }, best,
                table + of_groups.size() + of_cells.size());

    for (int64_t q = 0; q < query.n; ++q, leaves += width.leaves, scores += width.leaves) {
        int64_t n = 0;
        for (uint64_t rank : best.sorted(q)) {
            leaves[n] = id_of(rank);
            scores[n++] = score_of(rank);
        }
        std::fill(leaves + n, leaves + width.leaves, kNoLeaf);
        std::fill(scores + n, scores + width.leaves, -kInfinity);
    }
}

}    // namespace
}    // namespace interlace
