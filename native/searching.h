// What answers queries: probe, walk, interact, score, scan, similarities, maxsim.
#pragma once

#include "panel.h"

namespace interlace {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// --- rows of several segments --------------------------------------------------------------------

inline int64_t count_rows(Segments segments) {
    int64_t n = 0;
    for (const Segment* segment : segments) n += segment->n_passages();
    return n;
}

inline bool is_allowed(const uint8_t* allowed, int64_t row) {
    return !allowed || (allowed[row >> 3] >> (row & 7) & 1);
}

// The run of tokens of one passage, and where its answer goes.
struct Passage {
    int64_t begin;
    int64_t end;
    int64_t out;
};

// Runs visit(segment, passages) for each segment that holds some of the rows.
template <class Visit>
void for_segments(Segments segments, std::span<const uint32_t> rows, Visit visit) {
    const int64_t n_rows = count_rows(segments);
    for (uint32_t row : rows)
        if (row >= n_rows) no_such_row(row, n_rows);

    Buffer<Passage> passages(static_cast<int64_t>(rows.size()));
    int64_t first = 0;
    for (const Segment* segment : segments) {
        const int64_t last = first + segment->n_passages();
        int64_t n = 0;
        for (size_t i = 0; i < rows.size(); ++i) {
            if (rows[i] < first || rows[i] >= last) continue;
            const auto ordinal = static_cast<size_t>(rows[i] - first);
            passages[n++] = {segment->offsets[ordinal], segment->offsets[ordinal + 1],
                             static_cast<int64_t>(i)};
        }
        if (n) visit(*segment, std::span<const Passage>(passages.begin(), static_cast<size_t>(n)));
        first = last;
    }
}

inline int64_t count_tokens(std::span<const Passage> passages) {
    int64_t n = 0;
    for (const Passage& passage : passages) n += passage.end - passage.begin;
    return n;
}

// Every leaf id of some passages is below n_leaves, or it is an error of the first bad passage.
inline void check_leaves(const Segment& segment, std::span<const Passage> passages) {
    for (const Passage& passage : passages) {
        uint32_t top = 0;
        for (int64_t t = passage.begin; t < passage.end; ++t) top = larger(segment.leaves[t], top);
        if (passage.begin < passage.end && top >= segment.codec->leaves.n)
            damaged(segment.name, "leaf ids", segment.codec->leaves.n, top);
    }
}

// --- probe ---------------------------------------------------------------------------------------

template <class Isa, int L>
void probe_cells(const Panel<Isa, L>& panel, const Codec& codec, int64_t n_query, Best* best,
                 uint8_t* table) {
    Tile<Isa> tile(codec.cells.dim);
    alignas(64) float least[L];    // what a cosine must reach to be among the best of its lane
    std::fill_n(least, L, kInfinity);
    std::fill_n(least, panel.n, -kInfinity);
    const int64_t n_direct = n_query <= L ? codec.cells.n - L : 0;
    multiply_rows<L>(
        codec.cells, codec.cells.n, [](int64_t i) { return i; }, panel, tile,
        [&](int64_t cell, Lanes<L> cosines) {
            alignas(64) float cosine[L];
            // Of a query of one panel a row may run over into the next one, which comes after it.
            uint8_t spilled[L];
            uint8_t* row = table + cell * n_query;
            uint8_t* entry = cell < n_direct ? row : spilled;
            uint32_t promising = 0;
            for (int p = 0; p < Lanes<L>::kParts; ++p) {
                const F32 part = cosines.part[p] * load<F32>(panel.scales + p * kWidth);
                promising |= bits_of(part >= load<F32>(least + p * kWidth)) << (p * kWidth);
                store(cosine + p * kWidth, part);
                store(entry + p * kWidth, to_bytes((part + 1.0f) * 127.0f));
            }
            if (cell >= n_direct) std::memcpy(row, spilled, static_cast<size_t>(panel.n));
            for (; promising; promising &= promising - 1) {
                const int l = std::countr_zero(promising);
                best[l].push(cosine[l], static_cast<uint32_t>(cell));
                least[l] = best[l].least();
            }
        });
}

// The best leaves of each lane among those of its best cells. Lanes share cells, so each leaf is
// multiplied with all of them once.
template <class Isa, int L>
void probe_leaves(const Panel<Isa, L>& panel, const Codec& codec, Best* cells, int64_t n_leaves,
                  uint32_t* leaves, float* scores) {
    Buffer<uint32_t> lanes_of(codec.cells.n, 0);    // a bit for each lane that chose the cell
    for (int64_t l = 0; l < panel.n; ++l)
        for (const Candidate& cell : cells[l].sorted()) lanes_of[cell.id] |= 1u << l;

    Buffer<uint32_t> near(codec.leaves.n), lanes(codec.leaves.n);
    int64_t n_near = 0;
    for (int64_t cell = 0; cell < codec.cells.n; ++cell) {
        if (!lanes_of[cell]) continue;
        const int64_t* ends = codec.cell_offsets.data() + cell;
        for (int64_t i = ends[0]; i < ends[1]; ++i) {
            near[n_near] = codec.cell_leaves.data()[i];
            lanes[n_near++] = lanes_of[cell];
        }
    }

    Best best[L];
    for (int64_t l = 0; l < panel.n; ++l) best[l] = Best(n_leaves, n_near);
    Tile<Isa> tile(codec.leaves.dim);
    multiply_rows<L>(
        codec.leaves, n_near, [&](int64_t i) { return int64_t{near[i]}; }, panel, tile,
        [&](int64_t i, const Lanes<L>& products) {
            alignas(64) float product[L];
            std::memcpy(product, products.part, sizeof product);
            for (uint32_t left = lanes[i]; left; left &= left - 1) {
                const int l = std::countr_zero(left);
                best[l].push(product[l] * panel.scales[l], near[i]);
            }
        });
    for (int64_t l = 0; l < panel.n; ++l, leaves += n_leaves, scores += n_leaves) {
        int64_t n = 0;
        for (const Candidate& leaf : best[l].sorted()) {
            leaves[n] = leaf.id;
            scores[n++] = leaf.score;
        }
        std::fill(leaves + n, leaves + n_leaves, kNoLeaf);
        std::fill(scores + n, scores + n_leaves, -kInfinity);
    }
}

template <class Isa>
void probe(const Vectors& query, const Codec& codec, int64_t n_cells, int64_t n_leaves,
           uint8_t* table, uint32_t* leaves, float* scores) {
    for_panels<Isa>(query, [&](const auto& panel, int64_t from) {
        Best best[32];
        for (int64_t l = 0; l < panel.n; ++l) best[l] = Best(n_cells, codec.cells.n);
        probe_cells(panel, codec, query.n, best, table + from);
        probe_leaves(panel, codec, best, n_leaves, leaves + from * n_leaves,
                     scores + from * n_leaves);
    });
}

// --- walk ----------------------------------------------------------------------------------------

// The passages of one block, as the probed lists name them. A passage's mark tells when it was last
// named, counting through blocks and query tokens, so that nothing has to be cleared.
class Block {
public:
    void begin() {
        before_ = now_;
        n_named_ = 0;
    }
    void next_token() { ++now_; }

    // Without branches, because nothing predicts which passage comes next.
    void add(uint16_t ordinal, float gain) {
        Passed& passed = passages_[ordinal];
        const bool is_new = passed.mark <= before_;
        named_[n_named_] = ordinal;
        n_named_ += is_new;
        passed.gain = (is_new ? 0 : passed.gain) + (passed.mark == now_ ? 0 : gain);
        passed.mark = now_;
    }

    std::span<const uint16_t> named() const {
        return {named_.begin(), static_cast<size_t>(n_named_)};
    }
    float gain(uint16_t ordinal) const { return passages_[ordinal].gain; }

private:
    struct Passed {
        float gain;
        uint32_t mark;
    };
    Buffer<Passed> passages_{kBlock, {0, 0}};
    Buffer<uint16_t> named_{kBlock + 1};
    int64_t n_named_ = 0;
    uint32_t before_ = 0;
    uint32_t now_ = 0;
};

inline void walk_list(const Segment& segment, int64_t list, int64_t number, float gain,
                      Block& block) {
    const uint16_t* begin = segment.list_ordinals + segment.list_offsets[list];
    const uint16_t* end = segment.list_ordinals + segment.list_offsets[list + 1];
    const int64_t n_passages = segment.n_passages() - number * kBlock;
    if (begin == end) return;
    if (n_passages < kBlock) {
        const int64_t top = *std::max_element(begin, end);
        if (top >= n_passages)
            damaged(segment.name, "ordinals", segment.n_passages(), top + number * kBlock);
    }
    for (; begin != end; ++begin) block.add(*begin, gain);
}

// Where the lists of the probed leaves stand among those of a block. Leaves are looked for in the
// order of their ids, each from where the last one was found on.
class Lists {
public:
    explicit Lists(const Probe& probe)
        : n_leaves_(probe.n_leaves), lists_(probe.n_tokens * n_leaves_, kNone),
          wanted_(lists_.size()) {
        for (int64_t place = 0; place < lists_.size(); ++place)
            if (probe.leaves[place] != kNoLeaf) wanted_[n_wanted_++] = {probe.leaves[place], place};
        std::sort(wanted_.begin(), wanted_.begin() + n_wanted_);
    }

    void find(const uint32_t* lists, const uint32_t* end, int64_t first) {
        const uint32_t* at = lists;
        for (int64_t i = 0; i < n_wanted_; ++i) {
            at = reach(at, end, wanted_[i].leaf);
            const bool is_there = at != end && *at == wanted_[i].leaf;
            lists_[wanted_[i].place] = is_there ? first + (at - lists) : kNone;
        }
    }

    // The list of the i-th leaf of a token; kNone where the block has none.
    int64_t of(int64_t token, int64_t i) const { return lists_[token * n_leaves_ + i]; }

    static constexpr int64_t kNone = -1;

private:
    struct Wanted {
        uint32_t leaf;
        int64_t place;

        bool operator<(const Wanted& other) const { return leaf < other.leaf; }
    };
    int64_t n_leaves_;
    Buffer<int64_t> lists_;
    Buffer<Wanted> wanted_;
    int64_t n_wanted_ = 0;

    // The first of some ascending ids that is not below one, in steps that double.
    static const uint32_t* reach(const uint32_t* at, const uint32_t* end, uint32_t leaf) {
        int64_t step = 1;
        while (step < end - at && at[step] < leaf) {
            at += step;
            step *= 2;
        }
        return std::lower_bound(at, at + std::min<int64_t>(step + 1, end - at), leaf);
    }
};

inline void walk_block(const Probe& probe, const Segment& segment, int64_t number, Lists& lists,
                       Block& block) {
    const auto at = static_cast<size_t>(number);
    const int64_t first = segment.block_offsets[at];
    lists.find(segment.list_leaves + first, segment.list_leaves + segment.block_offsets[at + 1],
               first);
    block.begin();
    for (int64_t token = 0; token < probe.n_tokens; ++token) {
        const uint32_t* leaves = probe.leaves + token * probe.n_leaves;
        const float* scores = probe.scores + token * probe.n_leaves;
        int64_t n = probe.n_leaves;
        while (n && leaves[n - 1] == kNoLeaf) --n;
        block.next_token();
        for (int64_t i = 0; i < n; ++i)
            if (const int64_t list = lists.of(token, i); list != Lists::kNone)
                walk_list(segment, list, number, scores[i] - scores[n - 1], block);
    }
}

inline int64_t walk(const Probe& probe, Segments segments, const uint8_t* allowed, int64_t n,
                    uint32_t* rows, float* gains) {
    Block block;
    Lists lists(probe);
    Best best(n, count_rows(segments));
    int64_t first = 0;
    for (const Segment* segment : segments) {
        for (int64_t b = 0; b + 1 < static_cast<int64_t>(segment->block_offsets.size()); ++b) {
            walk_block(probe, *segment, b, lists, block);
            for (uint16_t ordinal : block.named()) {
                const int64_t row = first + b * kBlock + ordinal;
                if (is_allowed(allowed, row))
                    best.push(block.gain(ordinal), static_cast<uint32_t>(row));
            }
        }
        first += segment->n_passages();
    }
    int64_t found = 0;
    for (const Candidate& candidate : best.sorted()) {
        rows[found] = candidate.id;
        gains[found++] = candidate.score;
    }
    return found;
}

// --- interact ------------------------------------------------------------------------------------

constexpr int kBytes = 32;
constexpr size_t kAhead = 2;    // passages: they lie anywhere, so their leaf ids are asked for early
typedef uint8_t U8x32 __attribute__((vector_size(kBytes)));

// The probe's table, readable kBytes at a time: the last rows are copied to where the bytes after
// them are readable too.
class PaddedTable {
public:
    explicit PaddedTable(const Probe& probe)
        : table_(probe.table), width_(probe.n_tokens),
          n_direct_(std::max<int64_t>(0, probe.n_cells - kBytes)),
          tail_((probe.n_cells - n_direct_) * width_ + kBytes, uint8_t{0}) {
        std::copy(table_ + n_direct_ * width_, table_ + probe.n_cells * width_, tail_.begin());
    }

    const uint8_t* row(int64_t cell) const {
        return cell < n_direct_ ? table_ + cell * width_
                                : tail_.begin() + (cell - n_direct_) * width_;
    }

private:
    const uint8_t* table_;
    int64_t width_;
    int64_t n_direct_;    // kBytes rows of at least one byte follow
    Buffer<uint8_t> tail_;
};

inline uint32_t interact_one(const Passage& passage, const Segment& segment, int64_t n_tokens,
                             const PaddedTable& table) {
    uint32_t sum = 0;
    for (int64_t from = 0; from < n_tokens; from += kBytes) {
        U8x32 best{};
        for (int64_t t = passage.begin; t < passage.end; ++t) {
            const uint32_t cell = segment.codec->leaf_cells[segment.leaves[t]];
            best = larger(load<U8x32>(table.row(cell) + from), best);
        }
        for (int64_t l = 0; l < std::min<int64_t>(kBytes, n_tokens - from); ++l) sum += best[l];
    }
    return sum;
}

inline void interact(const Probe& probe, Segments segments, std::span<const uint32_t> rows,
                     int64_t n, uint32_t* best_rows) {
    const PaddedTable table(probe);
    Buffer<uint32_t> sums(static_cast<int64_t>(rows.size()), 0);
    for_segments(segments, rows, [&](const Segment& segment, std::span<const Passage> passages) {
        if (!segment.codec) return;    // only empty passages: the bindings refuse others
        for (size_t i = 0; i < passages.size(); ++i) {
            const Passage& ahead = passages[std::min(i + kAhead, passages.size() - 1)];
            prefetch(segment.leaves + ahead.begin, 4 * (ahead.end - ahead.begin));
            check_leaves(segment, passages.subspan(i, 1));
            sums[passages[i].out] = interact_one(passages[i], segment, probe.n_tokens, table);
        }
    });
    // A sum is an integer below 2**24, so a float holds it.
    Best best(n, sums.size());
    for (int64_t i = 0; i < sums.size(); ++i)
        best.push(static_cast<float>(sums[i]), rows[static_cast<size_t>(i)]);
    for (const Candidate& candidate : best.sorted()) *best_rows++ = candidate.id;
}

// --- score, scan, similarities -------------------------------------------------------------------

// The products of leaves with the lanes of a panel, each leaf once a call however many tokens share
// it: a slot a leaf where most leaves occur, else a slot for each that does.
class Leaves {
public:
    Leaves(const Segment& segment, std::span<const Passage> passages)
        : codec_(*segment.codec), n_(codec_.leaves.n) {
        check_leaves(segment, passages);
        const int64_t n_tokens = count_tokens(passages);
        all_ = n_ <= n_tokens / 4;
        if (all_) return;

        int64_t size = 1;
        while (size < std::min(n_, 2 * n_tokens)) size *= 2;
        mask_ = size - 1;
        keys_ = Buffer<uint32_t>(size, kNoLeaf);
        slots_ = Buffer<uint32_t>(size);
        chosen_ = Buffer<uint32_t>(std::min(n_, n_tokens));
        n_ = 0;
        for (const Passage& passage : passages)
            for (int64_t t = passage.begin; t < passage.end; ++t) insert(segment.leaves[t]);
    }

    template <class Isa, int L>
    void multiply(const Panel<Isa, L>& panel, int n_threads) {
        if (products_.size() == 0) products_ = Buffer<float>(n_ * L);
        parallel_ranges(n_, 4096, n_threads, [&](int64_t begin, int64_t end) {
            Tile<Isa> tile(panel.dim);
            multiply_rows<L>(
                codec_.leaves, end - begin,
                [&](int64_t i) { return all_ ? begin + i : int64_t{chosen_[begin + i]}; }, panel,
                tile, [&](int64_t i, const Lanes<L>& products) {
                    std::memcpy(products_.begin() + (begin + i) * L, products.part,
                                sizeof products.part);
                });
        });
    }

    template <int L>
    const float* products(uint32_t leaf) const {
        return products_.begin() + int64_t{all_ ? leaf : slots_[find(leaf)]} * L;
    }

private:
    const Codec& codec_;
    int64_t n_;
    bool all_;
    int64_t mask_ = 0;
    Buffer<uint32_t> keys_, slots_, chosen_;
    Buffer<float> products_;

    // Leaves of one token type are neighbours, so their own low bits spread them well.
    int64_t find(uint32_t leaf) const {
        int64_t at = leaf & mask_;
        while (keys_[at] != leaf && keys_[at] != kNoLeaf) at = (at + 1) & mask_;
        return at;
    }

    void insert(uint32_t leaf) {
        const int64_t at = find(leaf);
        if (keys_[at] == leaf) return;
        keys_[at] = leaf;
        slots_[at] = static_cast<uint32_t>(n_);
        chosen_[n_++] = leaf;
    }
};

// Up to kTile tokens of a segment against a panel.
template <class Isa, int L>
class TokenTile {
public:
    TokenTile(const Segment& segment, const Leaves* leaves)
        : segment_(segment), leaves_(leaves), tile_(segment.dim, segment.codec ? 8 : 0) {
        if (segment.codec)
            for (int code = 0; code < 16; ++code)
                lookup_[code] = static_cast<typename Isa::Level>(
                    segment.codec->levels[code & ((1 << segment.codec->bits) - 1)] + Isa::kBias);
    }

    // Puts a token at place i.
    void put(int64_t i, int64_t token) {
        if (!segment_.codec) {
            const int8_t* row = segment_.tokens.row(token);
            prefetch(row + kTile * segment_.dim, segment_.dim);
            Isa::widen(row, segment_.dim, tile_.row(i));
            scale_[i] = segment_.tokens.scales[token];
            return;
        }
        const Codec& codec = *segment_.codec;
        const int64_t width = codec.width();
        const uint8_t* packed = segment_.codes + token * width;
        prefetch(packed + kTile * width, width);
        Isa::expand(packed, width, codec.bits, lookup_, tile_.row(i));
        scale_[i] = codec.norms[segment_.norms[token]];
        factor_[i] = codec.factors[segment_.factors[token]];
        near_[i] = leaves_->template products<L>(segment_.leaves[token]);
        prefetch(near_[i], L * 4);
    }

    void multiply(int64_t n, const Panel<Isa, L>& panel) { tile_.multiply(n, panel); }

    // The product of the token at place i with each lane, without the query's scales.
    Lanes<L> product(int64_t i) const {
        Lanes<L> lanes = tile_.template products<L>(i);
        if (!segment_.codec) {
            for (F32& part : lanes.part) part *= splat(scale_[i]);
        } else {
            for (int p = 0; p < Lanes<L>::kParts; ++p)
                lanes.part[p] = splat(factor_[i]) * (load<F32>(near_[i] + p * kWidth) +
                                                     lanes.part[p] * splat(scale_[i]));
        }
        return lanes;
    }

private:
    const Segment& segment_;
    const Leaves* leaves_;
    Tile<Isa> tile_;
    alignas(64) typename Isa::Level lookup_[16];
    float scale_[kTile];
    float factor_[kTile];
    const float* near_[kTile];
};

// Adds each passage's MaxSim with one panel to scores[passage.out]. Tokens of several short
// passages share a tile, and a long passage runs through several.
template <class Isa, int L>
void add_scores(const Segment& segment, const Leaves* leaves, const Panel<Isa, L>& panel,
                std::span<const Passage> passages, float* scores) {
    struct Piece {
        int64_t begin, end;    // places in the tile
        int64_t out;           // where a passage ends that ends here, else -1
    };
    Piece pieces[kTile];
    int64_t n_pieces = 0, filled = 0;
    TokenTile<Isa, L> tile(segment, leaves);
    Lanes<L> best = Lanes<L>::filled(-kInfinity);

    auto finish = [&](int64_t out) {
        alignas(64) float terms[L];
        for (int p = 0; p < Lanes<L>::kParts; ++p)
            store(terms + p * kWidth, best.part[p] * load<F32>(panel.scales + p * kWidth));
        float total = scores[out];
        for (int64_t l = 0; l < panel.n; ++l) total += terms[l];
        scores[out] = total;
        best = Lanes<L>::filled(-kInfinity);
    };
    auto flush = [&] {
        tile.multiply(filled, panel);
        for (int64_t piece = 0; piece < n_pieces; ++piece) {
            Lanes<L> highest = best;
            for (int64_t i = pieces[piece].begin; i < pieces[piece].end; ++i) {
                const Lanes<L> product = tile.product(i);
                for (int p = 0; p < Lanes<L>::kParts; ++p)
                    highest.part[p] = larger(product.part[p], highest.part[p]);
            }
            best = highest;
            if (pieces[piece].out >= 0) finish(pieces[piece].out);
        }
        n_pieces = filled = 0;
    };

    for (const Passage& passage : passages) {
        for (int64_t token = passage.begin; token < passage.end;) {
            const int64_t n = std::min(passage.end - token, kTile - filled);
            for (int64_t i = 0; i < n; ++i) tile.put(filled + i, token + i);
            token += n;
            pieces[n_pieces++] = {filled, filled + n, token == passage.end ? passage.out : -1};
            filled += n;
            if (filled == kTile) flush();
        }
    }
    if (filled) flush();
}

// A task of fewer tokens is done before another thread has started.
constexpr int64_t kTokensPerTask = 16'384;

// Scores passages of one segment; a task takes neighbours, and each costs what its tokens cost.
template <class Isa>
void score_passages(const Vectors& query, const Segment& segment,
                    std::span<const Passage> passages, float* scores, int n_threads) {
    for (const Passage& passage : passages) scores[passage.out] = 0;
    const int64_t n_tokens = count_tokens(passages);
    const int64_t share =
        n_threads > 1 ? std::max(kTokensPerTask, n_tokens / (8 * n_threads)) : n_tokens;
    Buffer<int64_t> cuts(static_cast<int64_t>(passages.size()) + 1);
    int64_t n_tasks = 0, due = share;
    cuts[0] = 0;
    for (size_t i = 0; i < passages.size(); ++i) {
        due -= passages[i].end - passages[i].begin;
        if (due > 0 && i + 1 < passages.size()) continue;
        cuts[++n_tasks] = static_cast<int64_t>(i) + 1;
        due = share;
    }

    auto with = [&](Leaves* leaves) {
        for_panels<Isa>(query, [&](const auto& panel, int64_t) {
            if (leaves) leaves->multiply(panel, n_threads);
            parallel(n_tasks, n_threads, [&](int64_t task) {
                const auto from = static_cast<size_t>(cuts[task]);
                const auto n = static_cast<size_t>(cuts[task + 1]) - from;
                add_scores(segment, leaves, panel, passages.subspan(from, n), scores);
            });
        });
    };
    if (segment.codec) {
        Leaves leaves(segment, passages);
        with(&leaves);
    } else {
        with(nullptr);
    }

    for (const Passage& passage : passages)
        scores[passage.out] = passage.begin == passage.end
                                  ? static_cast<float>(-query.n)
                                  : scores[passage.out] * segment.fairness();
}

template <class Isa>
void score(const Vectors& query, Segments segments, std::span<const uint32_t> rows, float* scores,
           int n_threads) {
    for_segments(segments, rows, [&](const Segment& segment, std::span<const Passage> passages) {
        score_passages<Isa>(query, segment, passages, scores, n_threads);
    });
}

template <class Isa>
void scan(const Vectors& query, Segments segments, const uint8_t* allowed, float* scores,
          int n_threads) {
    int64_t first = 0;
    for (const Segment* segment : segments) {
        Buffer<Passage> passages(segment->n_passages());
        size_t n = 0;
        for (int64_t i = 0; i < segment->n_passages(); ++i) {
            const auto ordinal = static_cast<size_t>(i);
            if (is_allowed(allowed, first + i)) {
                passages[static_cast<int64_t>(n++)] = {segment->offsets[ordinal],
                                                       segment->offsets[ordinal + 1], first + i};
            } else {
                scores[first + i] = -kInfinity;
            }
        }
        score_passages<Isa>(query, *segment, {passages.begin(), n}, scores, n_threads);
        first += segment->n_passages();
    }
}

template <class Isa>
void similarities(const Vectors& query, const Segment& segment, int64_t ordinal, float* out) {
    const auto at = static_cast<size_t>(ordinal);
    const Passage passage{segment.offsets[at], segment.offsets[at + 1], 0};
    auto with = [&](Leaves* leaves) {
        for_panels<Isa>(query, [&]<int L>(const Panel<Isa, L>& panel, int64_t from) {
            if (leaves) leaves->multiply(panel, 1);
            TokenTile<Isa, L> tile(segment, leaves);
            for (int64_t token = passage.begin; token < passage.end; token += kTile) {
                const int64_t n = std::min(kTile, passage.end - token);
                for (int64_t i = 0; i < n; ++i) tile.put(i, token + i);
                tile.multiply(n, panel);
                for (int64_t i = 0; i < n; ++i) {
                    alignas(64) float values[L];
                    const Lanes<L> product = tile.product(i);
                    std::memcpy(values, product.part, sizeof values);
                    float* row = out + (token - passage.begin + i) * query.n + from;
                    for (int64_t l = 0; l < panel.n; ++l)
                        row[l] = values[l] * panel.scales[l] * segment.fairness();
                }
            }
        });
    };
    if (segment.codec) {
        Leaves leaves(segment, {&passage, 1});
        with(&leaves);
    } else {
        with(nullptr);
    }
}

// --- maxsim --------------------------------------------------------------------------------------

// A float panel: coordinate k of 2 * kWidth query rows lies together.
constexpr int kFloatLanes = 2 * kWidth;
constexpr int kRows = 4;    // tokens at once: as many sums as hide an addition's latency

inline void best_products(const float* tokens, int64_t n, int64_t dim, const float* panel,
                          Lanes<kFloatLanes>& best) {
    for (int64_t t = 0; t < n; t += kRows) {
        const float* row[kRows];    // past the end the last token is taken again: no new maximum
        for (int r = 0; r < kRows; ++r) row[r] = tokens + std::min(t + r, n - 1) * dim;
        F32 sums[kRows][2] = {};
        for (int64_t k = 0; k < dim; ++k)
            for (int r = 0; r < kRows; ++r)
                for (int p = 0; p < 2; ++p)
                    sums[r][p] +=
                        splat(row[r][k]) * load<F32>(panel + k * kFloatLanes + p * kWidth);
        for (int r = 0; r < kRows; ++r)
            for (int p = 0; p < 2; ++p) best.part[p] = larger(sums[r][p], best.part[p]);
    }
}

inline void maxsim(const float* query, int64_t n_query, const float* tokens, int64_t dim,
                   std::span<const int64_t> offsets, float* scores, int n_threads) {
    const auto n_docs = static_cast<int64_t>(offsets.size()) - 1;
    const int64_t n_panels = ceil_div(n_query, kFloatLanes);
    Buffer<float> panels(n_panels * dim * kFloatLanes, 0.0f);
    for (int64_t q = 0; q < n_query; ++q)
        for (int64_t k = 0; k < dim; ++k)
            panels[(q / kFloatLanes * dim + k) * kFloatLanes + q % kFloatLanes] =
                query[q * dim + k];

    parallel_ranges(n_docs, 16, n_threads, [&](int64_t begin, int64_t end) {
        for (int64_t d = begin; d < end; ++d) {
            const int64_t first = offsets[static_cast<size_t>(d)];
            const int64_t n = offsets[static_cast<size_t>(d) + 1] - first;
            float total = 0;
            for (int64_t q = 0; n && q < n_query; q += kFloatLanes) {
                auto best = Lanes<kFloatLanes>::filled(-kInfinity);
                best_products(tokens + first * dim, n, dim,
                              panels.begin() + q / kFloatLanes * dim * kFloatLanes, best);
                alignas(64) float terms[kFloatLanes];
                std::memcpy(terms, best.part, sizeof terms);
                for (int64_t l = 0; l < std::min<int64_t>(kFloatLanes, n_query - q); ++l)
                    total += terms[l];
            }
            scores[d] = n ? total : static_cast<float>(-n_query);
        }
    });
}

}    // namespace
}    // namespace interlace
