// Rows of several segments: passages, numbered through.
#pragma once

#include "lanes.h"

namespace interlace {
namespace {

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

constexpr size_t kAhead = 2;    // passages: they lie anywhere, so their tokens are asked for early

inline void prefetch_tokens(const Segment& segment, const Passage& passage) {
    const int64_t n = passage.end - passage.begin;
    prefetch(segment.heads + passage.begin, 4 * n);
}

// Cells of some tokens are the codec's, so that they may lead into its tables.
inline void check_cells(const Segment& segment, const Passage& passage) {
    uint32_t top = 0;
    for (int64_t t = passage.begin; t < passage.end; ++t) top = larger(segment.heads[t], top);
    if (passage.begin < passage.end && top >> 16 >= segment.codec->cells.n)
        damaged(segment.name, "cells", segment.codec->cells.n, top >> 16);
}

// Which cells a probe has seen: few, and in a bitmap that fits a first-level cache.
class SeenCells {
public:
    explicit SeenCells(const Probe& probe) : bits_(ceil_div(probe.n_cells, 64), 0) {
        int64_t cell = 0;
        for (; cell + kWidth <= probe.n_cells; cell += kWidth)
            bits_[cell >> 6] |= uint64_t{bits_of(load<I32>(probe.entries + cell) != 0)}
                                << (cell & 63);
        for (; cell < probe.n_cells; ++cell)
            bits_[cell >> 6] |= uint64_t{probe.entries[cell] != 0} << (cell & 63);
    }

    // Of a passage the heads of the tokens that it has seen, in `room`; or these tokens, counted
    // from the passage's first.
    std::span<const uint32_t> heads(const Segment& segment, const Passage& passage,
                                    Buffer<uint32_t>& room) const {
        return those(segment, passage, room, [](int64_t, uint32_t head) { return head; });
    }
    std::span<const uint32_t> tokens(const Segment& segment, const Passage& passage,
                                     Buffer<uint32_t>& room) const {
        return those(segment, passage, room, [](int64_t i, uint32_t) { return uint32_t(i); });
    }

private:
    Buffer<uint64_t> bits_;

    // Without branches, because nothing predicts which token has been seen.
    template <class Keep>
    std::span<const uint32_t> those(const Segment& segment, const Passage& passage,
                                    Buffer<uint32_t>& room, Keep keep) const {
        if (!segment.codec) return {};
        check_cells(segment, passage);
        const int64_t n_tokens = passage.end - passage.begin;
        if (n_tokens > room.size()) room = Buffer<uint32_t>(2 * n_tokens);
        const uint32_t* heads = segment.heads + passage.begin;
        int64_t n = 0;
        for (int64_t i = 0; i < n_tokens; ++i) {
            room[n] = keep(i, heads[i]);
            n += bits_[heads[i] >> 22] >> (heads[i] >> 16 & 63) & 1;
        }
        return {room.begin(), static_cast<size_t>(n)};
    }
};

}    // namespace
}    // namespace interlace
