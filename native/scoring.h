// What passages are worth to a query: score, scan, similarities, maxsim.
#pragma once

#include "panel.h"
#include "rows.h"

namespace interlace {
namespace {

// --- score, scan, similarities ------------------------------------------------------------------

// kTile tokens of a segment, and which of the codec's leaves each has.
struct Tokens {
    int n = 0;
    int64_t token[kTile];
    const int8_t* leaf[kTile];
};

// The tokens of a segment, as rows of a tile.
template <class Isa>
class TokenTile {
public:
    explicit TokenTile(const Segment& segment)
        : segment_(segment), tile_(segment.dim),
          join_{segment.dim, segment.codec ? segment.codec->bits : 1} {}

    // Finds the tokens' leaves, and asks for what will be read of them. Codes too: of those that
    // follow each other the processor brings the next page's late.
    [[gnu::noinline]] void find(Tokens& tokens) const {
        if (!segment_.codec) return;
        const Codec& codec = *segment_.codec;
        const uint32_t* offsets = codec.by_cell.offsets.data();
        const auto n_cells = static_cast<uint32_t>(codec.cells.n);
        uint32_t at[kTile];
        bool is_sound = true;
        for (int i = 0; i < tokens.n; ++i) {
            const uint32_t head = segment_.heads[tokens.token[i]], cell = head >> 16;
            const uint32_t inside = cell < n_cells ? cell : 0;
            at[i] = offsets[inside] + (head >> 8 & 0xff);
            is_sound &= (cell == inside) & (at[i] < offsets[inside + 1]);
        }
        if (!is_sound) complain(tokens);
        const int64_t width = codec.width(), dim = codec.leaves.dim;
        if (!codec.by_cell.is_sorted)    // else a look-up less, which lies anywhere
            for (int i = 0; i < tokens.n; ++i) at[i] = codec.by_cell.order[at[i]];
        for (int i = 0; i < tokens.n; ++i) {
            tokens.leaf[i] = codec.leaves.codes + at[i] * dim;
            prefetch(tokens.leaf[i], dim);
            prefetch(segment_.codes + tokens.token[i] * width, width);
        }
    }

    [[gnu::noinline]] void fill(const Tokens& tokens) {
        if (!segment_.codec) {
            for (int i = 0; i < tokens.n; ++i) {
                Isa::widen(segment_.tokens.row(tokens.token[i]), segment_.dim, tile_.row(i));
                scales_[i] = segment_.tokens.scales[tokens.token[i]];
            }
            return;
        }
        const Codec& codec = *segment_.codec;
        const int64_t width = codec.width();
        const uint8_t* codes = segment_.codes;
        const Join join = join_;
        for (int i = 0; i < tokens.n; ++i) {
            const int64_t token = tokens.token[i];
            join(tokens.leaf[i], codes + token * width,
                 codec.residual(segment_.heads[token] & 15), tile_.row(i));
        }
        for (int i = 0; i < tokens.n; ++i)
            scales_[i] = codec.factors[segment_.heads[tokens.token[i]] & 0xff];
    }

    void multiply(int64_t n, const Panel<Isa>& panel) { tile_.multiply(n, panel); }

    // Without the query's scales.
    F32 products(int i, int part) const { return tile_.products(i, part) * splat(scales_[i]); }

private:
    using Join = typename Isa::Join;
    const Segment& segment_;
    Tile<Isa> tile_;
    Join join_;
    float scales_[kTile];

    void complain(const Tokens& tokens) const {
        const Codec& codec = *segment_.codec;
        for (int i = 0; i < tokens.n; ++i) {
            const uint32_t head = segment_.heads[tokens.token[i]];
            const int64_t cell = head >> 16, place = head >> 8 & 0xff;
            if (cell >= codec.cells.n) damaged(segment_.name, "cells", codec.cells.n, cell);
            const auto n = static_cast<int64_t>(codec.by_cell.members(cell).size());
            if (place >= n) damaged(segment_.name, "leaves of a cell", n, place);
        }
    }
};

// MaxSim of passages whose tokens are pushed one after another. Tokens of several short passages
// share a tile, and a long passage runs through several.
template <class Isa>
class Scorer {
public:
    // Scores are added to what is there. A query token is worth as much as `least` says, anyhow.
    Scorer(const Query<Isa>& query, const Segment& segment, const float* least, float* scores)
        : query_(query), tile_(segment), least_(least), scores_(scores),
          best_(round_up(query.n, kPanel), -kInfinity) {}

    // n tokens, the i-th at token(i).
    template <class Token>
    void push(int64_t n, Token token) {
        for (int64_t at = 0; at < n;) {
            Batch& batch = batches_[now_];
            Tokens& tokens = batch.tokens;
            const auto some = static_cast<int>(std::min<int64_t>(kTile - tokens.n, n - at));
            for (int i = 0; i < some; ++i) tokens.token[tokens.n + i] = token(at + i);
            tokens.n += some;
            at += some;
            if (tokens.n == kTile) next();
        }
    }

    // What was pushed since the last passage ended is one; its score goes to `out`.
    void end(int64_t out) {
        Batch& batch = batches_[now_];
        batch.pieces[batch.n_pieces++] = {batch.begun, batch.tokens.n, out};
        batch.begun = batch.tokens.n;
        if (batch.n_pieces == kTile) next();
    }

    void finish() {
        for (int i = 0; i < kBatches; ++i) next();
    }

private:
    struct Piece {
        int begin, end;    // of the batch's tokens
        int64_t out;       // where a passage ends that ends here, else -1
    };
    struct Batch {
        int begun = 0, n_pieces = 0;
        Tokens tokens;
        Piece pieces[kTile + 1];
    };
    const Query<Isa>& query_;
    TokenTile<Isa> tile_;
    const float* least_;
    float* scores_;
    Buffer<float> best_;
    static constexpr int kBatches = 4;    // on the way from memory
    Batch batches_[kBatches];
    int now_ = 0;

    // Asks for what a batch needs, and works on an earlier one, which memory has brought by now.
    void next() {
        Batch& batch = batches_[now_];
        if (batch.begun < batch.tokens.n)
            batch.pieces[batch.n_pieces++] = {batch.begun, batch.tokens.n, -1};
        tile_.find(batch.tokens);
        now_ = (now_ + 1) % kBatches;
        work(batches_[now_]);
    }

    void work(Batch& batch) {
        tile_.fill(batch.tokens);
        for (const QueryPanel<Isa>& panel : query_.panels) {
            tile_.multiply(batch.tokens.n, panel);
            float* best = best_.begin() + panel.first;
            for (int i = 0; i < batch.n_pieces; ++i) {
                raise(batch.pieces[i], panel, best);
                if (batch.pieces[i].out >= 0) total(panel, best, scores_[batch.pieces[i].out]);
            }
        }
        batch.tokens.n = batch.begun = batch.n_pieces = 0;
    }

    void raise(const Piece& piece, const QueryPanel<Isa>& panel, float* best) const {
        for (int part = 0; part < panel.n_parts(); ++part, best += kWidth) {
            F32 top = load<F32>(best);
            for (int i = piece.begin; i < piece.end; ++i)
                top = larger(tile_.products(i, part), top);
            store(best, top);
        }
    }

    void total(const QueryPanel<Isa>& panel, float* best, float& score) const {
        const float* least = least_ + panel.first;
        float total = score;
        for (int q = 0; q < panel.n; ++q) {
            const float value = best[q] * panel.scales[q];    // no number where there was no token
            total += value > least[q] ? value : least[q];
        }
        score = total;
        std::fill_n(best, kPanel, -kInfinity);
    }
};

// A task of fewer tokens is done before another thread has started.
constexpr int64_t kTokensPerTask = 16'384;

// Scores passages of one segment, by all their tokens or by those that were `seen`; a task takes
// neighbours, and each costs what its tokens cost.
template <class Isa>
void score_passages(const Query<Isa>& query, const Segment& segment, const SeenCells* seen,
                    const float* least, std::span<const Passage> passages, float* scores,
                    int n_threads) {
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

    for (const Passage& passage : passages) scores[passage.out] = 0;
    parallel(n_tasks, n_threads, [&](int64_t task) {
        const auto from = static_cast<size_t>(cuts[task]), to = static_cast<size_t>(cuts[task + 1]);
        Scorer<Isa> scorer(query, segment, least, scores);
        Buffer<uint32_t> room;
        for (size_t i = from; i < to; ++i) {
            const auto [begin, end, out] = passages[i];
            if (segment.codec) prefetch_tokens(segment, passages[std::min(i + kAhead, to - 1)]);
            if (seen) {
                const auto tokens = seen->tokens(segment, passages[i], room);
                scorer.push(int64_t(tokens.size()), [&](int64_t at) { return begin + tokens[at]; });
            } else {
                scorer.push(end - begin, [&](int64_t at) { return begin + at; });
            }
            scorer.end(out);
        }
        scorer.finish();
    });

    for (const Passage& passage : passages)
        scores[passage.out] = passage.begin == passage.end
                                  ? static_cast<float>(-query.n)
                                  : scores[passage.out] * segment.fairness();
}

// MaxSim by all tokens.
template <class Isa>
class Whole {
public:
    explicit Whole(const Vectors& query)
        : query_(query), least_(query_.n, -kInfinity) {}

    void operator()(const Segment& segment, std::span<const Passage> passages, float* scores,
                    int n_threads) const {
        score_passages<Isa>(query_, segment, nullptr, least_.begin(), passages, scores, n_threads);
    }

private:
    Query<Isa> query_;
    Buffer<float> least_;
};

// MaxSim by those that a probe has seen; what it has not is worth what the probe says.
template <class Isa>
class Near {
public:
    Near(const Vectors& query, const Probe& probe) : query_(query), seen_(probe), least_(query_.n) {
        for (int64_t q = 0; q < query_.n; ++q) least_[q] = float(probe.table[q]) / kSeen;
    }

    void operator()(const Segment& segment, std::span<const Passage> passages, float* scores,
                    int n_threads) const {
        score_passages<Isa>(query_, segment, &seen_, least_.begin(), passages, scores, n_threads);
    }

private:
    Query<Isa> query_;
    SeenCells seen_;
    Buffer<float> least_;
};

template <class Isa>
void score(const Vectors& query, Segments segments, std::span<const uint32_t> rows, float* scores,
           int n_threads) {
    const Whole<Isa> whole(query);
    for_segments(segments, rows, [&](const Segment& segment, std::span<const Passage> passages) {
        whole(segment, passages, scores, n_threads);
    });
}

// The k best owners of scores, each by its best.
class Leaders {
public:
    explicit Leaders(int64_t k) : k_(static_cast<size_t>(k)) {}

    void push(float score, int64_t owner) {
        if (score > least_) some_.push_back({score, owner});
    }

    // The last one's score; -inf where there are fewer.
    float least() {
        std::ranges::sort(some_, [](const Leader& a, const Leader& b) {
            return a.owner != b.owner ? a.owner < b.owner : a.score > b.score;
        });
        const auto same = std::ranges::unique(some_, {}, &Leader::owner);
        some_.erase(same.begin(), same.end());
        if (some_.size() >= k_) {
            std::ranges::nth_element(some_, some_.begin() + std::ptrdiff_t(k_) - 1,
                                     std::greater<>(), &Leader::score);
            some_.resize(k_);
            least_ = some_.back().score;
        }
        return least_;
    }

private:
    struct Leader {
        float score;
        int64_t owner;
    };
    size_t k_;
    float least_ = -kInfinity;
    std::vector<Leader> some_;
};

// Scores the first `first`, and then some more as long as the next may be among the best. What a
// score adds to what was expected is much alike for the passages of one query.
template <class Score>
int64_t while_it_pays(const Score& score, Segments segments, const Ranked& ranked, int64_t first,
                      float* scores, int n_threads) {
    const auto n_rows = static_cast<int64_t>(ranked.rows.size());
    Leaders leaders(ranked.k);
    double sum = 0, squares = 0;
    for (int64_t n = 0, step = std::max(first, 2 * ranked.k);; step = std::max<int64_t>(8, n / 8)) {
        step = std::min(step, n_rows - n);
        for_segments(segments, ranked.rows.subspan(size_t(n), size_t(step)),
                     [&](const Segment& segment, std::span<const Passage> passages) {
                         score(segment, passages, scores + n, n_threads);
                     });
        for (const int64_t last = n + step; n < last; ++n) {
            const double added = scores[n] - ranked.expected[n];
            sum += added;
            squares += added * added;
            leaders.push(scores[n], ranked.owners[n]);
        }
        if (n == n_rows) return n;
        const double mean = sum / double(n), variance = squares / double(n) - mean * mean;
        const double possible = ranked.expected[n] + mean +
                                double(ranked.spread) / 10 * std::sqrt(std::max(variance, 0.0));
        if (possible < leaders.least()) return n;
    }
}

template <class Isa>
int64_t refine(const Vectors& query, const Probe& probe, Segments segments, const Ranked& ranked,
               float* scores, int n_threads) {
    return while_it_pays(Near<Isa>(query, probe), segments, ranked, kRefinedFirst, scores,
                         n_threads);
}

template <class Isa>
int64_t score_best(const Vectors& query, Segments segments, const Ranked& ranked, float* scores,
                   int n_threads) {
    return while_it_pays(Whole<Isa>(query), segments, ranked, kScoredFirst, scores, n_threads);
}

template <class Isa>
void scan(const Vectors& query, Segments segments, const uint8_t* allowed, float* scores,
          int n_threads) {
    const Whole<Isa> whole(query);
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
        whole(*segment, {passages.begin(), n}, scores, n_threads);
        first += segment->n_passages();
    }
}

template <class Isa>
void similarities(const Vectors& query, const Segment& segment, int64_t ordinal, float* out) {
    const auto at = static_cast<size_t>(ordinal);
    const int64_t begin = segment.offsets[at], end = segment.offsets[at + 1];
    const Query<Isa> panels(query);
    TokenTile<Isa> tile(segment);
    for (int64_t first = begin; first < end; first += kTile) {
        Tokens tokens;
        for (; tokens.n < std::min(kTile, end - first); ++tokens.n)
            tokens.token[tokens.n] = first + tokens.n;
        tile.find(tokens);
        tile.fill(tokens);
        for (const QueryPanel<Isa>& panel : panels.panels) {
            tile.multiply(tokens.n, panel);
            for (int i = 0; i < tokens.n; ++i)
                for (int q = 0; q < panel.n; ++q)
                    out[(first - begin + i) * query.n + panel.first + q] =
                        tile.products(i, q / kWidth)[q % kWidth] * panel.scales[q] *
                        segment.fairness();
        }
    }
}

// --- maxsim --------------------------------------------------------------------------------------

// A float panel: coordinate k of 2 * kWidth query rows lies together.
constexpr int kFloatLanes = 2 * kWidth;
struct FloatLanes {
    F32 part[2];
};
constexpr int kRows = 4;    // tokens at once: as many sums as hide an addition's latency

inline void best_products(const float* tokens, int64_t n, int64_t dim, const float* panel,
                          FloatLanes& best) {
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
                FloatLanes best{{splat(-kInfinity), splat(-kInfinity)}};
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
