// What answers queries: probe, walk, interact, score, scan, similarities, maxsim.
#pragma once

#include "strip.h"

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

// Cells of some tokens are the codec's, so that they may lead into its tables.
inline void check_cells(const Segment& segment, const Passage& passage) {
    uint16_t top = 0;
    for (int64_t t = passage.begin; t < passage.end; ++t) top = larger(segment.cells[t], top);
    if (passage.begin < passage.end && top >= segment.codec->cells.n)
        damaged(segment.name, "cells", segment.codec->cells.n, top);
}

// --- probe ---------------------------------------------------------------------------------------

// The bytes of two vectors by turns: of their first halves, of their second halves.
#if defined(__SSE2__)
typedef __m128i Bytes;
inline Bytes zip_low(Bytes a, Bytes b) { return _mm_unpacklo_epi8(a, b); }
inline Bytes zip_high(Bytes a, Bytes b) { return _mm_unpackhi_epi8(a, b); }
#elif defined(__aarch64__)
typedef uint8x16_t Bytes;
inline Bytes zip_low(Bytes a, Bytes b) { return vzip1q_u8(a, b); }
inline Bytes zip_high(Bytes a, Bytes b) { return vzip2q_u8(a, b); }
#endif

// Columns of sixteen bytes into rows of `width`, which is a multiple of sixteen.
inline void turn_bytes(const uint8_t* columns, int64_t width, int64_t n_rows, uint8_t* rows) {
    for (int64_t from = 0; from < width; from += 16, columns += 256) {
#if defined(__SSE2__) || defined(__aarch64__)
        Bytes x[16], y[16];
        for (int i = 0; i < 16; ++i) x[i] = load<Bytes>(columns + 16 * i);
        for (int step = 0; step < 4; ++step) {    // each doubles the rows that lie together
            for (int i = 0; i < 8; ++i) {
                y[2 * i] = zip_low(x[i], x[i + 8]);
                y[2 * i + 1] = zip_high(x[i], x[i + 8]);
            }
            std::copy_n(y, 16, x);
        }
        for (int64_t i = 0; i < n_rows; ++i) store(rows + i * width + from, x[i]);
#else
        for (int64_t i = 0; i < n_rows; ++i)
            for (int64_t c = 0; c < 16; ++c) rows[i * width + from + c] = columns[c * 16 + i];
#endif
    }
}

// The best of each query token among what it has been shown.
class BestOfEach {
public:
    BestOfEach(int64_t n_query, int64_t n, int64_t n_shown_max)
        : n_(n_query), best_(new Best[static_cast<size_t>(n_query)]), least_(n_query) {
        for (int64_t q = 0; q < n_; ++q) best_[q] = Best(n, n_shown_max);
        std::fill_n(least_.begin(), n_, n > 0 ? -kInfinity : kInfinity);
    }
    ~BestOfEach() { delete[] best_; }
    BestOfEach(const BestOfEach&) = delete;

    float least(int64_t q) const { return least_[q]; }
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
    explicit Looker(const Weights<Isa>& query)
        : query_(query), strip_(query), width_(Probe::table_width(query.n)),
          columns_(width_ * kLanes, uint8_t{0}) {}

    // row(i) of `centroids` is shown under the name id(i).
    template <class Row, class Id>
    void look(const Vectors& centroids, int64_t n, Row row, Id id, BestOfEach& best,
              uint8_t* table) {
        for (int64_t at = 0; at < n; at += kLanes) {
            const int8_t* levels[kLanes];
            alignas(64) float scales[kLanes];
            for (int64_t lane = 0; lane < kLanes; ++lane) {
                const int64_t i = row(std::min(at + lane, n - 1));
                levels[lane] = centroids.row(i);
                scales[lane] = centroids.scales[i];
                prefetch(centroids.row(row(std::min(at + lane + 2 * kLanes, n - 1))),
                         centroids.dim);
            }
            strip_.fill(levels);
            strip_.multiply();
            const int64_t m = std::min<int64_t>(kLanes, n - at);
            for (int64_t q = 0; q < query_.n; ++q)
                for (int p = 0; p < kLaneParts; ++p) {
                    const F32 cosines = strip_.products(q, p) *
                                        load<F32>(scales + p * kWidth) * splat(query_.scales[q]);
                    store(columns_.begin() + q * kLanes + p * kWidth,
                          to_bytes((cosines + 1.0f) * 127.0f));
                    alignas(64) float cosine[kWidth];
                    store(cosine, cosines);
                    uint32_t promising = bits_of(cosines >= splat(best.least(q)));
                    for (; promising; promising &= promising - 1) {
                        const int l = std::countr_zero(promising);
                        if (p * kWidth + l < m) best.push(q, cosine[l], id(at + p * kWidth + l));
                    }
                }
            turn_bytes(columns_.begin(), width_, m, table + at * width_);
        }
    }

private:
    const Weights<Isa>& query_;
    Strip<Isa> strip_;
    int64_t width_;
    Buffer<uint8_t> columns_;
};

// Groups, the cells of the best groups, the leaves of the best cells. What one query token chooses
// is shown to all.
template <class Isa>
void probe(const Vectors& query, const Codec& codec, const Width& width, void* context,
           uint8_t* (*room)(void* context, int64_t n_rows), uint32_t* entries, uint32_t* leaves,
           float* scores) {
    const Weights<Isa> weights(query);
    Looker<Isa> looker(weights);
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

// --- walk ----------------------------------------------------------------------------------------

// The passages of one block, as the probed lists name them: each a word, of what it has gained and
// of the query token that named it last, so that a block fits a second-level cache.
class Block {
public:
    void begin() {
        std::fill_n(passages_.begin(), kBlock, 0u);
        n_named_ = 0;
    }

    // Without branches, because nothing predicts which passage comes next.
    void add(uint16_t ordinal, uint32_t token, uint32_t gain) {
        const uint32_t passed = passages_[ordinal];
        named_[n_named_] = ordinal;
        n_named_ += passed == 0;
        const bool is_named = (passed & kTokenMask) == token;
        passages_[ordinal] = (passed & ~kTokenMask) + (is_named ? 0 : gain << kTokenBits) + token;
    }

    std::span<const uint16_t> named() const {
        return {named_.begin(), static_cast<size_t>(n_named_)};
    }
    uint32_t gain(uint16_t ordinal) const { return passages_[ordinal] >> kTokenBits; }

private:
    static constexpr int kTokenBits = 9;
    static constexpr uint32_t kTokenMask = (1u << kTokenBits) - 1;
    static_assert(kWalked == int64_t{kTokenMask});
    Buffer<uint32_t> passages_{kBlock};
    Buffer<uint16_t> named_{kBlock + 1};
    int64_t n_named_ = 0;
};

// What a leaf is worth to a passage, in whole steps. All query tokens together stay below 2**23.
inline uint32_t steps(float score, float floor) {
    const float lead = (score - floor) * kSteps;
    return lead > 0 ? static_cast<uint32_t>(round_even(lead < 2 * kSteps ? lead : 2 * kSteps)) : 0;
}

// The ordinals of the probed leaves in one block. Each look-up is four reads that depend on each
// other and lie anywhere, so all look-ups take a step together, and the memory waits once a step.
class Found {
public:
    explicit Found(const Probe& probe) : probe_(probe), spans_(probe.n_tokens * probe.n_leaves) {}

    struct Span {
        const uint16_t* begin;
        const uint16_t* end;
    };

    void find(const Segment& segment, int64_t block) {
        const Lists& lists = segment.lists;
        const auto at = static_cast<size_t>(block);
        const uint32_t* cells = lists.cells + block * (lists.n_cells + 1);
        const uint8_t* places = lists.places + lists.blocks[at];
        const uint32_t* offsets = lists.offsets + lists.blocks[at] + block;
        const uint16_t* ordinals = lists.ordinals + lists.postings[at];
        const int64_t n_lists = lists.blocks[at + 1] - lists.blocks[at];
        const int64_t n_postings = lists.postings[at + 1] - lists.postings[at];

        each(lists, [&](int64_t i, uint32_t cell, uint32_t) {
            __builtin_prefetch(cells + cell);
            spans_[i] = {nullptr, nullptr};
        });
        each(lists, [&](int64_t, uint32_t cell, uint32_t) {
            __builtin_prefetch(places + cells[cell]);
            __builtin_prefetch(offsets + cells[cell]);
        });
        each(lists, [&](int64_t i, uint32_t cell, uint32_t place) {
            const int64_t first = cells[cell], last = cells[cell + 1];
            if (first >= last) return;
            if (last > n_lists) damaged(segment.name, "lists", n_lists + 1, last);
            // Ascending and all different, so the list of a place is at most so far from the first.
            int64_t list = std::min(first + int64_t{place}, last - 1);
            while (list > first && places[list] > place) --list;
            if (places[list] != place) return;
            const int64_t begin = offsets[list], end = offsets[list + 1];
            if (begin > end || end > n_postings)
                damaged(segment.name, "list offsets", n_postings + 1, std::max(begin, end));
            spans_[i] = {ordinals + begin, ordinals + end};
            prefetch(ordinals + begin, std::min<int64_t>(256, 2 * (end - begin)));
        });
    }

    const Span& of(int64_t token, int64_t i) const { return spans_[token * probe_.n_leaves + i]; }

private:
    const Probe& probe_;
    Buffer<Span> spans_;

    template <class Visit>
    void each(const Lists& lists, Visit visit) {
        for (int64_t i = 0; i < spans_.size(); ++i) {
            const uint32_t leaf = probe_.leaves[i];
            if (leaf >> 8 < lists.n_cells) visit(i, leaf >> 8, leaf & 0xff);
            else spans_[i] = {nullptr, nullptr};
        }
    }
};

inline void walk_block(const Probe& probe, const Segment& segment, int64_t number, Found& found,
                       Block& block) {
    const int64_t n_passages = segment.n_passages() - number * kBlock;
    found.find(segment, number);
    block.begin();
    for (int64_t token = 0; token < std::min(probe.n_tokens, kWalked); ++token) {
        const uint32_t* leaves = probe.leaves + token * probe.n_leaves;
        const float* scores = probe.scores + token * probe.n_leaves;
        int64_t n = probe.n_leaves;
        while (n && leaves[n - 1] == kNoLeaf) --n;
        for (int64_t i = 0; i < n; ++i) {
            const Found::Span& span = found.of(token, i);
            if (span.begin == span.end) continue;
            if (n_passages < kBlock)
                if (const int64_t top = *std::max_element(span.begin, span.end); top >= n_passages)
                    damaged(segment.name, "ordinals", segment.n_passages(), top + number * kBlock);
            const uint32_t gain = steps(scores[i], scores[n - 1]);
            for (const uint16_t* at = span.begin; at != span.end; ++at)
                block.add(*at, static_cast<uint32_t>(token) + 1, gain);
        }
    }
}

inline int64_t walk(const Probe& probe, Segments segments, const uint8_t* allowed, int64_t n,
                    uint32_t* rows) {
    Block block;
    Found lists(probe);
    const int64_t n_rows = count_rows(segments);
    Best best(n, n_rows);
    int64_t first = 0;
    for (const Segment* segment : segments) {
        for (int64_t b = 0; b < segment->lists.n_blocks(); ++b) {
            walk_block(probe, *segment, b, lists, block);
            for (uint16_t ordinal : block.named()) {
                const int64_t row = first + b * kBlock + ordinal;
                if (is_allowed(allowed, row))
                    best.push(static_cast<float>(block.gain(ordinal)), static_cast<uint32_t>(row));
            }
        }
        first += segment->n_passages();
    }
    // Ascending: a bit for each row is quicker than sorting, and so is reading them in order.
    Buffer<uint64_t> is_best(ceil_div(n_rows, 64), 0);
    for (uint64_t rank : best.in_any_order())
        is_best[id_of(rank) >> 6] |= uint64_t{1} << (id_of(rank) & 63);
    int64_t found = 0;
    for (int64_t i = 0; i < is_best.size(); ++i)
        for (uint64_t bits = is_best[i]; bits; bits &= bits - 1)
            rows[found++] = static_cast<uint32_t>(i * 64 + std::countr_zero(bits));
    return found;
}

// --- interact ------------------------------------------------------------------------------------

constexpr size_t kAhead = 2;    // passages: they lie anywhere, so their tokens are asked for early
typedef uint8_t U8x16 __attribute__((vector_size(16)));

// Up to P * 16 columns of the probe's table, as the tokens of a passage see them.
template <int P>
class Columns {
public:
    Columns(const Probe& probe, int64_t from) : probe_(probe), table_(probe.table + from) {}

    // The best entry of each column.
    void look(const Segment& segment, const Passage& passage) {
        U8x16 best[P] = {};
        for (int64_t t = passage.begin; t < passage.end; ++t)
            for (int p = 0; p < P; ++p) best[p] = larger(load<U8x16>(row(segment, t) + 16 * p), best[p]);
        std::memcpy(best_, best, sizeof best);
    }

    uint32_t sum() const {    // unused columns are 0
        uint32_t sum = 0;
        for (int l = 0; l < 16 * P; ++l) sum += best_[l];
        return sum;
    }

private:
    const Probe& probe_;
    const uint8_t* table_;
    alignas(16) uint8_t best_[16 * P];

    const uint8_t* row(const Segment& segment, int64_t token) const {
        const uint32_t entry = probe_.entries[segment.cells[token]];
        const uint32_t place = std::min<uint32_t>(segment.places[token], entry & 0xff);
        return table_ + int64_t{(entry >> 8) + place} * probe_.width();
    }
};

// Runs visit(columns) over blocks of columns as wide as the query.
template <class Visit>
void for_columns(const Probe& probe, Visit visit) {
    for (int64_t from = 0; from < probe.width();) {
        const int64_t left = probe.width() - from;
        const auto run = [&]<int P>(std::integral_constant<int, P>) {
            Columns<P> columns(probe, from);
            visit(columns);
            from += 16 * P;
        };
        if (left == 16) run(std::integral_constant<int, 1>{});
        else if (left == 32) run(std::integral_constant<int, 2>{});
        else if (left == 48) run(std::integral_constant<int, 3>{});
        else run(std::integral_constant<int, 4>{});
    }
}

inline void prefetch_tokens(const Segment& segment, const Passage& passage) {
    const int64_t n = passage.end - passage.begin;
    prefetch(segment.cells + passage.begin, 2 * n);
    prefetch(segment.places + passage.begin, n);
}

inline void interact(const Probe& probe, Segments segments, std::span<const uint32_t> rows,
                     int64_t n, uint32_t* best_rows, uint32_t* best_sums) {
    Buffer<uint32_t> sums(static_cast<int64_t>(rows.size()), 0);
    for_segments(segments, rows, [&](const Segment& segment, std::span<const Passage> passages) {
        if (!segment.codec) return;    // only empty passages: the bindings refuse others
        for_columns(probe, [&](auto& columns) {
            for (size_t i = 0; i < passages.size(); ++i) {
                prefetch_tokens(segment, passages[std::min(i + kAhead, passages.size() - 1)]);
                check_cells(segment, passages[i]);
                columns.look(segment, passages[i]);
                sums[passages[i].out] += columns.sum();
            }
        });
    });
    // A sum is an integer below 2**24, so a float holds it.
    Best best(n, sums.size());
    for (int64_t i = 0; i < sums.size(); ++i)
        best.push(static_cast<float>(sums[i]), rows[static_cast<size_t>(i)]);
    for (uint64_t rank : best.sorted()) {
        *best_rows++ = id_of(rank);
        *best_sums++ = static_cast<uint32_t>(score_of(rank));
    }
}

// --- score, scan, similarities ------------------------------------------------------------------

// kLanes tokens of a segment, and which of the codec's leaves each has.
struct Tokens {
    int64_t token[kLanes];
    int64_t leaf[kLanes];
};

// Products of kLanes tokens of a segment with a query.
template <class Isa>
class TokenStrip {
public:
    TokenStrip(const Weights<Isa>& query, const Segment& segment)
        : query_(query), segment_(segment), strip_(query, 8) {}

    // Finds the tokens' leaves, and asks for what will be read of them. Of tokens that follow each
    // other the processor brings the rest unasked, and sooner.
    void find(Tokens& tokens, bool follow) const {
        if (!segment_.codec) {
            if (follow) return;
            for (int64_t token : tokens.token) prefetch(segment_.tokens.row(token), segment_.dim);
            return;
        }
        const Codec& codec = *segment_.codec;
        const uint32_t* offsets = codec.by_cell.offsets.data();
        const uint16_t* cells = segment_.cells;
        const uint8_t* places = segment_.places;
        const auto n_cells = static_cast<uint32_t>(codec.cells.n);
        bool is_sound = true;
        for (int lane = 0; lane < kLanes; ++lane) {
            const uint32_t cell = cells[tokens.token[lane]];
            const uint32_t inside = cell < n_cells ? cell : 0;
            const uint32_t at = offsets[inside] + places[tokens.token[lane]];
            is_sound &= cell == inside && at < offsets[inside + 1];
            tokens.leaf[lane] = at;
        }
        if (!is_sound) complain(tokens);
        const int64_t width = codec.width();
        if (!follow)
            for (int64_t token : tokens.token) prefetch(segment_.codes + token * width, width);
        const uint32_t* order = codec.by_cell.order.data();
        for (int64_t& leaf : tokens.leaf) {
            leaf = order[leaf];
            prefetch(codec.leaves.row(leaf), codec.leaves.dim);
        }
    }

    void multiply(const Tokens& tokens) {
        if (!segment_.codec) {
            const int8_t* rows[kLanes];
            for (int lane = 0; lane < kLanes; ++lane) {
                rows[lane] = segment_.tokens.row(tokens.token[lane]);
                scales_[lane] = segment_.tokens.scales[tokens.token[lane]];
            }
            strip_.fill(rows);
            strip_.multiply();
            return;
        }
        const Codec& codec = *segment_.codec;
        const int64_t width = codec.width();
        strip_.fill_by([&](int lane, typename Isa::Level* row) {
            const int64_t token = tokens.token[lane];
            Isa::join(codec.leaves.row(tokens.leaf[lane]), codec.leaves.dim,
                      segment_.codes + token * width, codec.bits,
                      codec.residual(segment_.norms[token]), row);
            scales_[lane] = codec.factors[segment_.factors[token]];
        });
        strip_.multiply();
    }

    // Runs visit(q, part, products) over all query tokens and lanes; without the query's scales.
    template <class Visit>
    void each(Visit visit) const {
        for (int p = 0; p < kLaneParts; ++p) {
            const F32 scale = load<F32>(scales_ + p * kWidth);
            for (int64_t q = 0; q < query_.n; ++q) visit(q, p, strip_.products(q, p) * scale);
        }
    }

private:
    const Weights<Isa>& query_;
    const Segment& segment_;
    Strip<Isa> strip_;
    alignas(64) float scales_[kLanes];

    void complain(const Tokens& tokens) const {
        const Codec& codec = *segment_.codec;
        for (int64_t token : tokens.token) {
            const int64_t cell = segment_.cells[token], place = segment_.places[token];
            if (cell >= codec.cells.n) damaged(segment_.name, "cells", codec.cells.n, cell);
            const auto n = static_cast<int64_t>(codec.by_cell.members(cell).size());
            if (place >= n) damaged(segment_.name, "leaves of a cell", n, place);
        }
    }
};

// MaxSim of passages whose tokens are pushed one after another. Tokens of several short passages
// share a strip, and a long passage runs through several.
template <class Isa>
class Scorer {
public:
    // `follow`: whether the passages do so in memory.
    Scorer(const Weights<Isa>& query, const Segment& segment, bool follow, float* scores)
        : query_(query), strip_(query, segment), follow_(follow), scores_(scores),
          best_(query.n * kLanes, -kInfinity), values_(query.n * kLanes) {}

    void push(int64_t begin, int64_t end) {
        while (begin < end) {
            Batch& batch = batches_[now_];
            const int n = static_cast<int>(std::min<int64_t>(kLanes - batch.n, end - begin));
            for (int i = 0; i < n; ++i) batch.tokens.token[batch.n + i] = begin + i;
            batch.n += n;
            begin += n;
            if (batch.n == kLanes) next();
        }
    }

    // What was pushed since the last passage ended is one; its score goes to `out`.
    void end(int64_t out) {
        Batch& batch = batches_[now_];
        batch.pieces[batch.n_pieces++] = {batch.begun, batch.n, out};
        batch.begun = batch.n;
        if (batch.n_pieces == kLanes) next();
    }

    void finish() {
        for (int i = 0; i < kBatches; ++i) next();
    }

private:
    struct Piece {
        int begin, end;    // lanes
        int64_t out;       // where a passage ends that ends here, else -1
    };
    struct Batch {
        int n = 0, begun = 0, n_pieces = 0;
        Tokens tokens;
        Piece pieces[kLanes + 1];
    };
    const Weights<Isa>& query_;
    TokenStrip<Isa> strip_;
    bool follow_;
    float* scores_;
    Buffer<float> best_;
    Buffer<float> values_;
    static constexpr int kBatches = 8;    // on the way from memory
    Batch batches_[kBatches];
    int now_ = 0;

    // Asks for what a batch needs, and works on an earlier one, which memory has brought by now.
    void next() {
        Batch& batch = batches_[now_];
        if (batch.begun < batch.n) batch.pieces[batch.n_pieces++] = {batch.begun, batch.n, -1};
        if (batch.n) {
            for (int lane = batch.n; lane < kLanes; ++lane)
                batch.tokens.token[lane] = batch.tokens.token[0];
            strip_.find(batch.tokens, follow_);
        }
        now_ = (now_ + 1) % kBatches;
        work(batches_[now_]);
    }

    void work(Batch& batch) {
        const bool is_whole = batch.n_pieces && batch.pieces[0].begin < batch.pieces[0].end &&
                              batch.pieces[0].end == kLanes;    // all lanes are one passage's
        if (batch.n) {
            strip_.multiply(batch.tokens);
            strip_.each([&](int64_t q, int p, F32 values) {
                float* best = best_.begin() + q * kLanes + p * kWidth;
                if (is_whole) store(best, larger(values, load<F32>(best)));
                else store(values_.begin() + q * kLanes + p * kWidth, values);
            });
        }
        for (int i = 0; i < batch.n_pieces; ++i) {
            const Piece& piece = batch.pieces[i];
            if (!is_whole && piece.begin < piece.end) raise(piece);
            if (piece.out >= 0) total(piece.out);
        }
        batch.n = batch.begun = batch.n_pieces = 0;
    }

    void raise(const Piece& piece) {
        alignas(64) float ceilings[kLanes];    // what a lane counts at most
        for (int lane = 0; lane < kLanes; ++lane)
            ceilings[lane] = piece.begin <= lane && lane < piece.end ? kInfinity : -kInfinity;
        for (int p = 0; p < kLaneParts; ++p) {
            const F32 ceiling = load<F32>(ceilings + p * kWidth);
            for (int64_t q = 0; q < query_.n; ++q) {
                const F32 value = load<F32>(values_.begin() + q * kLanes + p * kWidth);
                float* best = best_.begin() + q * kLanes + p * kWidth;
                store(best, larger(value < ceiling ? value : ceiling, load<F32>(best)));
            }
        }
    }

    void total(int64_t out) {
        float total = 0;
        for (int64_t q = 0; q < query_.n; ++q)
            total += largest_of(best_.begin() + q * kLanes) * query_.scales[q];
        scores_[out] = total;
        std::fill_n(best_.begin(), best_.size(), -kInfinity);
    }

    static float largest_of(const float* lanes) {
        F32 best = load<F32>(lanes);
        for (int p = 1; p < kLaneParts; ++p) best = larger(load<F32>(lanes + p * kWidth), best);
#if defined(__AVX512F__)
        return _mm512_reduce_max_ps(reinterpret_cast<__m512>(best));
#else
        float top = best[0];
        for (int l = 1; l < kWidth; ++l) top = larger(best[l], top);
        return top;
#endif
    }
};

// A task of fewer tokens is done before another thread has started.
constexpr int64_t kTokensPerTask = 16'384;

// Scores passages of one segment; a task takes neighbours, and each costs what its tokens cost.
template <class Isa>
void score_passages(const Weights<Isa>& query, const Segment& segment,
                    std::span<const Passage> passages, float* scores, int n_threads) {
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

    const bool follow =
        !passages.empty() && passages.back().end - passages.front().begin == n_tokens;
    parallel(n_tasks, n_threads, [&](int64_t task) {
        const auto from = static_cast<size_t>(cuts[task]), to = static_cast<size_t>(cuts[task + 1]);
        Scorer<Isa> scorer(query, segment, follow, scores);
        for (size_t i = from; i < to; ++i) {
            if (segment.codec) prefetch_tokens(segment, passages[std::min(i + kAhead, to - 1)]);
            scorer.push(passages[i].begin, passages[i].end);
            scorer.end(passages[i].out);
        }
        scorer.finish();
    });

    for (const Passage& passage : passages)
        scores[passage.out] = passage.begin == passage.end
                                  ? static_cast<float>(-query.n)
                                  : scores[passage.out] * segment.fairness();
}

template <class Isa>
void score(const Vectors& query, Segments segments, std::span<const uint32_t> rows, float* scores,
           int n_threads) {
    const Weights<Isa> weights(query);
    for_segments(segments, rows, [&](const Segment& segment, std::span<const Passage> passages) {
        score_passages<Isa>(weights, segment, passages, scores, n_threads);
    });
}

template <class Isa>
void scan(const Vectors& query, Segments segments, const uint8_t* allowed, float* scores,
          int n_threads) {
    const Weights<Isa> weights(query);
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
        score_passages<Isa>(weights, *segment, {passages.begin(), n}, scores, n_threads);
        first += segment->n_passages();
    }
}

template <class Isa>
void similarities(const Vectors& query, const Segment& segment, int64_t ordinal, float* out) {
    const auto at = static_cast<size_t>(ordinal);
    const int64_t begin = segment.offsets[at], end = segment.offsets[at + 1];
    const Weights<Isa> weights(query);
    TokenStrip<Isa> strip(weights, segment);
    for (int64_t first = begin; first < end; first += kLanes) {
        Tokens tokens;
        for (int64_t lane = 0; lane < kLanes; ++lane)
            tokens.token[lane] = std::min(first + lane, end - 1);
        strip.find(tokens, false);
        strip.multiply(tokens);
        const int64_t n = std::min<int64_t>(kLanes, end - first);
        strip.each([&](int64_t q, int p, F32 products) {
            for (int l = 0; l < kWidth && p * kWidth + l < n; ++l)
                out[(first - begin + p * kWidth + l) * query.n + q] =
                    products[l] * query.scales[q] * segment.fairness();
        });
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
