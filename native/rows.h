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

}    // namespace
}    // namespace interlace
