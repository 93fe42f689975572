// Which passages have tokens there: walk, interact.
#pragma once

#include "rows.h"

namespace interlace {
namespace {

// --- walk ----------------------------------------------------------------------------------------

constexpr int kTokenBits = 9;
constexpr uint32_t kTokenMask = (1u << kTokenBits) - 1;
static_assert(kWalked == int64_t{kTokenMask});

// What a leaf is worth to a passage, in whole steps. All query tokens together stay below 2**23.
inline uint32_t steps(float score, float floor) {
    const float lead = (score - floor) * kSteps;
    return lead > 0 ? static_cast<uint32_t>(round_even(lead < 2 * kSteps ? lead : 2 * kSteps)) : 0;
}

// A probed leaf, and what is left to read of its list in a segment.
struct Probed {
    uint32_t leaf;
    uint32_t raised;    // what it is worth, and which query token says so
    int64_t list;
    const uint16_t* word;
    const uint16_t* end;
    int64_t ordinal;    // that the words so far have come to, from the block's first passage on
};

// How far a word leads.
inline int64_t far_of(uint32_t word) {
    return word < kGaps ? word : int64_t{word - kGaps + 1} * kGaps;
}

// Some passages that follow each other, as the probed lists name them: each a word, of what it has
// gained and of the query token that named it last, so that all fit a second-level cache.
class Block {
public:
    static constexpr int64_t kPassages = 65'536;

    void begin() { std::fill_n(passages_.begin(), kPassages, 0u); }

    // The words of a list that lead to the first `n` passages. Branches are of what is rare; nothing
    // predicts which passage has been named by the same query token.
    void add(Probed& probed, int64_t n) {
        const uint32_t raised = probed.raised, token = raised & kTokenMask;
        const uint16_t* word = probed.word;
        int64_t ordinal = probed.ordinal;
        for (; word < probed.end; ++word) {
            const int64_t next = ordinal + far_of(*word);
            if (next >= n) break;
            ordinal = next;
            if (*word >= kGaps) [[unlikely]] continue;
            const uint32_t passed = passages_[ordinal], last = passed & kTokenMask;
            const uint32_t is_new = -uint32_t{last != token};    // all bits, or none
            passages_[ordinal] = passed + ((raised - last) & is_new);
        }
        probed.word = word;
        probed.ordinal = ordinal - kPassages;    // from the next block's first on
    }

    // Runs visit(ordinal, gain) for those that were named, and gained as much as least() tells.
    template <class Least, class Visit>
    void named(int64_t n, Least least, Visit visit) const {
        uint32_t lowest = std::max(least() << kTokenBits, 1u);
        for (int64_t at = 0; at < n; at += kWidth) {
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

private:
    typedef uint32_t U32 __attribute__((vector_size(4 * kWidth)));
    Buffer<uint32_t> passages_{kPassages};
};

// The leaves that are probed, a query token's best first, with what each is worth to it.
inline std::vector<Probed> probed_leaves(const Probe& probe) {
    std::vector<Probed> all;
    for (int64_t token = 0; token < std::min(probe.n_tokens, kWalked); ++token) {
        const uint32_t* leaves = probe.leaves + token * probe.n_leaves;
        const float* scores = probe.scores + token * probe.n_leaves;
        int64_t n = probe.n_leaves;
        while (n && leaves[n - 1] == kNoLeaf) --n;
        // What no probed list names is worth less than the last leaf probed, and may be worth as
        // much as the best of the groups that were not seen, if there are such.
        const float last = n ? scores[n - 1] : 0, unseen = float(probe.table[token]) / kSeen;
        const float floor = unseen > 0 && unseen < last ? (last + unseen) * 0.5f : last;
        for (int64_t i = 0; i < n; ++i) {
            const uint32_t gain = steps(scores[i], floor);
            all.push_back({leaves[i], gain << kTokenBits | uint32_t(token + 1), -1, nullptr,
                           nullptr, 0});
        }
    }
    return all;
}

// Leads each leaf to its list. A look-up is four reads that depend on each other and lie anywhere,
// so all look-ups take a step together, and the memory waits once a step.
inline void find_lists(std::span<Probed> all, const Segment& segment) {
    const Lists& lists = segment.lists;
    for (Probed& one : all)
        __builtin_prefetch(lists.cells + std::min<int64_t>(one.leaf >> 8, lists.n_cells));
    for (Probed& one : all) {
        const int64_t cell = one.leaf >> 8;
        one.list = -1;
        if (cell >= lists.n_cells || lists.cells[cell] >= lists.cells[cell + 1]) continue;
        one.list = lists.cells[cell];
        if (lists.cells[cell + 1] > lists.n)
            damaged(segment.name, "lists", lists.n + 1, lists.cells[cell + 1]);
        __builtin_prefetch(lists.places + one.list);
        __builtin_prefetch(lists.offsets + one.list);
    }
    for (Probed& one : all) {
        one.word = one.end = nullptr;
        one.ordinal = 0;
        if (one.list < 0) continue;
        // Ascending and all different, so the list of a place is at most so far from the first.
        const uint32_t place = one.leaf & 0xff;
        const int64_t first = one.list, last = lists.cells[(one.leaf >> 8) + 1];
        int64_t list = std::min(first + int64_t{place}, last - 1);
        while (list > first && lists.places[list] > place) --list;
        if (lists.places[list] != place) continue;
        const int64_t begin = lists.offsets[list], end = lists.offsets[list + 1];
        if (begin < 0 || begin > end || end > lists.n_gaps)
            no_such_list(segment.name, lists.n_gaps, begin, end);
        one.word = lists.gaps + begin;
        one.end = lists.gaps + end;
        prefetch(one.word, std::min<int64_t>(256, 2 * (end - begin)));
    }
}

// All lists were read to their ends, or lead beyond the passages that there are.
inline void check_ends(std::span<const Probed> all, const Segment& segment) {
    const int64_t n = segment.n_passages(), n_blocks = ceil_div(n, Block::kPassages);
    for (const Probed& one : all)
        if (one.word < one.end)
            damaged(segment.name, "ordinals", n,
                    n_blocks * Block::kPassages + one.ordinal + far_of(*one.word));
}

inline int64_t walk(const Probe& probe, Segments segments, const uint8_t* allowed, int64_t n,
                    uint32_t* rows) {
    std::vector<Probed> all = probed_leaves(probe);
    Block block;
    const int64_t n_rows = count_rows(segments);
    Best best(n, n_rows);
    int64_t first = 0;
    for (const Segment* segment : segments) {
        if (segment->codec) find_lists(all, *segment);
        const int64_t n_passages = segment->codec ? segment->n_passages() : 0;
        for (int64_t from = 0; from < n_passages; from += Block::kPassages) {
            const int64_t some = std::min(n_passages - from, Block::kPassages);
            block.begin();
            for (Probed& one : all) block.add(one, some);
            const auto least = [&] { return static_cast<uint32_t>(std::max(best.least(), 0.0f)); };
            block.named(some, least, [&](int64_t ordinal, uint32_t gain) {
                const int64_t row = first + from + ordinal;
                if (is_allowed(allowed, row))
                    best.push(static_cast<float>(gain), static_cast<uint32_t>(row));
            });
        }
        if (segment->codec) check_ends(all, *segment);
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
