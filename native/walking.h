// Which passages have tokens there: walk, interact.
#pragma once

#include "rows.h"

namespace interlace {
namespace {

// --- walk ----------------------------------------------------------------------------------------

// The passages of one block, as the probed lists name them: each a word, of what it has gained and
// of the query token that named it last, so that a block fits a second-level cache.
class Block {
public:
    void begin() { std::fill_n(passages_.begin(), kBlock, 0u); }

    // Without branches, because nothing predicts which passage comes next.
    void add(const uint16_t* ordinal, const uint16_t* end, uint32_t token, uint32_t gain) {
        const uint32_t raised = gain << kTokenBits | token;
        for (; ordinal < end; ++ordinal) {
            const uint32_t passed = passages_[*ordinal], last = passed & kTokenMask;
            const uint32_t is_new = -uint32_t{last != token};    // all bits, or none
            passages_[*ordinal] = passed + ((raised - last) & is_new);
        }
    }

    // Runs visit(ordinal, gain) for those that were named, and gained as much as least() tells.
    template <class Least, class Visit>
    void named(int64_t n_passages, Least least, Visit visit) const {
        uint32_t lowest = std::max(least() << kTokenBits, 1u);
        for (int64_t at = 0; at < n_passages; at += kWidth) {
            const U32 words = load<U32>(passages_.begin() + at);
            uint32_t bits = bits_of(reinterpret_cast<I32>(words >= lowest));
            if (!bits) continue;
            for (; bits; bits &= bits - 1) {
                const int64_t ordinal = at + std::countr_zero(bits);
                visit(ordinal, passages_[ordinal] >> kTokenBits);
            }
            lowest = std::max(least() << kTokenBits, 1u);
        }
    }

    // The last that was named beyond those that there are, or -1.
    int64_t stray(int64_t n_passages) const {
        uint32_t any = 0;
        for (int64_t i = n_passages; i < kBlock; ++i) any |= passages_[i];
        if (!any) return -1;
        int64_t last = kBlock - 1;
        while (!passages_[last]) --last;
        return last;
    }

private:
    typedef uint32_t U32 __attribute__((vector_size(4 * kWidth)));
    static constexpr int kTokenBits = 9;
    static constexpr uint32_t kTokenMask = (1u << kTokenBits) - 1;
    static_assert(kWalked == int64_t{kTokenMask});
    Buffer<uint32_t> passages_{kBlock};
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
            const uint32_t gain = steps(scores[i], scores[n - 1]);
            block.add(span.begin, span.end, static_cast<uint32_t>(token) + 1, gain);
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
            const int64_t n_passages = std::min(segment->n_passages() - b * kBlock, kBlock);
            if (const int64_t stray = block.stray(n_passages); stray >= 0)
                damaged(segment->name, "ordinals", segment->n_passages(), stray + b * kBlock);
            const auto least = [&] { return static_cast<uint32_t>(std::max(best.least(), 0.0f)); };
            block.named(n_passages, least, [&](int64_t ordinal, uint32_t gain) {
                const int64_t row = first + b * kBlock + ordinal;
                if (is_allowed(allowed, row))
                    best.push(static_cast<float>(gain), static_cast<uint32_t>(row));
            });
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

// Up to P * 16 columns of the probe's table, as the tokens of a passage see them.
template <int P>
class Columns {
public:
    Columns(const Probe& probe, int64_t from) : probe_(probe), table_(probe.table + from) {}

    // The sum of the best entries; unused columns are 0.
    uint32_t look(std::span<const uint32_t> heads) const {
        U8x16 best[P];
        for (int p = 0; p < P; ++p) best[p] = load<U8x16>(table_ + 16 * p);
        for (const uint32_t head : heads)
            for (int p = 0; p < P; ++p)
                best[p] = larger(load<U8x16>(row(head) + 16 * p), best[p]);
        alignas(16) uint8_t bytes[16 * P];
        std::memcpy(bytes, best, sizeof best);
        uint32_t sum = 0;
        for (uint8_t byte : bytes) sum += byte;
        return sum;
    }

private:
    const Probe& probe_;
    const uint8_t* table_;

    const uint8_t* row(uint32_t head) const {
        const uint32_t entry = probe_.entries[head >> 16];
        const uint32_t place = std::min(head >> 8 & 0xff, entry & 0xff);
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

inline void interact(const Probe& probe, Segments segments, std::span<const uint32_t> rows,
                     int64_t n, uint32_t* best_rows, uint32_t* best_sums) {
    Buffer<uint32_t> sums(static_cast<int64_t>(rows.size()), 0);
    const SeenCells seen(probe);
    Buffer<uint32_t> room;
    for_segments(segments, rows, [&](const Segment& segment, std::span<const Passage> passages) {
        for (size_t i = 0; i < passages.size(); ++i) {
            const Passage& passage = passages[i];
            if (segment.codec)
                prefetch_tokens(segment, passages[std::min(i + kAhead, passages.size() - 1)]);
            const auto heads = seen.heads(segment, passage, room);
            for_columns(probe, [&](const auto& columns) {
                sums[passage.out] += columns.look(heads);
            });
        }
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

}    // namespace
}    // namespace interlace
