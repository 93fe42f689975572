// Which centroids are near a query: probe.
#pragma once

#include "panel.h"

namespace interlace {
namespace {

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

// Sixteen columns of sixteen rows become rows of sixteen.
inline void turn_bytes(const uint8_t* from, int64_t stride, uint8_t* to, int64_t to_stride) {
#if defined(__SSE2__) || defined(__aarch64__)
    Bytes x[16], y[16];
    for (int i = 0; i < 16; ++i) x[i] = load<Bytes>(from + i * stride);
    for (int step = 0; step < 4; ++step) {    // each doubles the rows that lie together
        for (int i = 0; i < 8; ++i) {
            y[2 * i] = zip_low(x[i], x[i + 8]);
            y[2 * i + 1] = zip_high(x[i], x[i + 8]);
        }
        std::copy_n(y, 16, x);
    }
    for (int i = 0; i < 16; ++i) store(to + i * to_stride, x[i]);
#else
    for (int i = 0; i < 16; ++i)
        for (int c = 0; c < 16; ++c) to[c * to_stride + i] = from[i * stride + c];
#endif
}

// A bit for each of 64 bytes that is so large.
inline uint64_t at_least(const uint8_t* bytes, int least) {
#if defined(__AVX512BW__)
    return _mm512_cmpge_epu8_mask(load<__m512i>(bytes), _mm512_set1_epi8(static_cast<char>(least)));
#else
    uint64_t bits = 0;
    for (int at = 0; at < 64; at += 16) {
#if defined(__SSE2__)
        const __m128i some = load<__m128i>(bytes + at);
        const __m128i larger = _mm_max_epu8(some, _mm_set1_epi8(static_cast<char>(least)));
        const auto sixteen = static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(larger, some)));
#elif defined(__aarch64__)
        const uint8x16_t weights{1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
        const uint8x16_t holds = vandq_u8(
            vcgeq_u8(load<uint8x16_t>(bytes + at), vdupq_n_u8(static_cast<uint8_t>(least))), weights);
        const uint32_t sixteen = vaddv_u8(vget_low_u8(holds)) | vaddv_u8(vget_high_u8(holds)) << 8;
#else
        uint32_t sixteen = 0;
        for (int i = 0; i < 16; ++i) sixteen |= uint32_t{bytes[at + i] >= least} << i;
#endif
        bits |= uint64_t{sixteen} << at;
    }
    return bits;
#endif
}

// What a query has seen of some centroids, n rows of bytes, by query tokens: a byte is compared for
// 64 centroids at once, which no number of its own for each of the best would be.
class Seen {
public:
    Seen(const uint8_t* table, int64_t width, int64_t n)
        : n_(n), stride_(round_up(n, 64)), columns_(width * stride_), chosen_(n) {
        alignas(16) uint8_t rows[256] = {};    // the last ones, and zeros
        for (int64_t at = 0; at < stride_; at += 16) {
            const int64_t m = std::clamp<int64_t>(n - at, 0, 16);
            for (int64_t c = 0; c < width; c += 16) {
                const uint8_t* from = table + at * width + c;
                if (m < 16) {
                    std::fill_n(rows, 256, uint8_t{0});
                    for (int64_t i = 0; i < m; ++i) std::copy_n(from + i * width, 16, rows + 16 * i);
                }
                turn_bytes(m < 16 ? rows : from, m < 16 ? 16 : width,
                           columns_.begin() + c * stride_ + at, stride_);
            }
        }
    }

    uint8_t byte(int64_t q, uint32_t row) const { return columns_[q * stride_ + row]; }

    uint8_t largest(int64_t q) const {
        U8x16 top{};
        for (int64_t at = 0; at < stride_; at += 16)
            top = larger(load<U8x16>(columns_.begin() + q * stride_ + at), top);
        uint8_t largest = 0;
        for (int i = 0; i < 16; ++i) largest = std::max<uint8_t>(largest, top[i]);
        return largest;
    }

    // How many rows a query token sees at least so well.
    int64_t count(int64_t q, int least) const {
        return count(columns_.begin() + q * stride_, least);
    }

    // The best rows of a query token, ascending; of equal ones those that come first.
    std::span<const uint32_t> best(int64_t q, int64_t n) const {
        const uint8_t* column = columns_.begin() + q * stride_;
        n = std::min(n, n_);
        int low = 0, high = 256;    // at least n bytes are as large as `low`, and fewer as `high`
        while (high - low > 1) {
            const int middle = (low + high) / 2;
            (count(column, middle) >= n ? low : high) = middle;
        }
        int64_t n_equal = n - (low < 255 ? count(column, low + 1) : 0), found = 0;
        for (int64_t at = 0; at < stride_ && found < n; at += 64) {
            const uint64_t larger = low < 255 ? at_least(column + at, low + 1) : 0;
            uint64_t equal = at_least(column + at, low) & ~larger;
            while (std::popcount(equal) > n_equal) equal &= ~std::bit_floor(equal);
            n_equal -= std::popcount(equal);
            for (uint64_t bits = larger | equal; bits; bits &= bits - 1)
                chosen_[found++] = static_cast<uint32_t>(at + std::countr_zero(bits));
        }
        return {chosen_.begin(), static_cast<size_t>(found)};
    }

private:
    int64_t n_, stride_;
    Buffer<uint8_t> columns_;
    Buffer<uint32_t> chosen_;

    int64_t count(const uint8_t* column, int least) const {
        int64_t n = 0;
        for (int64_t at = 0; at < stride_; at += 64) n += std::popcount(at_least(column + at, least));
        return n;
    }
};

// Shows centroids to a query: their cosines become a table of bytes.
template <class Isa>
class Looker {
public:
    explicit Looker(const Query<Isa>& query)
        : query_(query), tile_(query.dim), width_(Probe::table_width(query.n)) {}

    // Row i of the table is what is seen of centroid row(i).
    template <class Row>
    void look(const Vectors& centroids, int64_t n, Row row, uint8_t* table) {
        for (int64_t at = 0; at < n; at += kTile) {
            const int64_t m = std::min(kTile, n - at);
            for (int64_t i = 0; i < m; ++i) {
                const int64_t ahead = row(std::min(at + i + 4 * kTile, n - 1));
                prefetch(centroids.row(ahead), centroids.dim);
                __builtin_prefetch(centroids.scales + ahead);
                Isa::widen(centroids.row(row(at + i)), centroids.dim, tile_.row(i));
            }
            for (const QueryPanel<Isa>& panel : query_.panels) {
                tile_.multiply(m, panel);
                for (int part = 0; part < kPanelParts; ++part) {
                    const int64_t first = panel.first + part * kWidth;
                    if (first >= width_) break;    // unused columns before it are 0
                    const F32 scale = load<F32>(panel.scales + part * kWidth);
                    for (int64_t i = 0; i < m; ++i) {
                        const F32 cosines = tile_.products(i, part) *
                                            splat(centroids.scales[row(at + i)]) * scale;
                        store(table + (at + i) * width_ + first, to_bytes(cosines * kSeen));
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
    const auto choose = [&](const Buffer<uint8_t>& rows, int64_t n, int64_t n_best, auto visit) {
        const Seen seen(rows.begin(), table_width, n);
        for (int64_t q = 0; q < query.n; ++q)
            for (uint32_t row : seen.best(q, n_best)) visit(row);
    };

    const int64_t n_groups = codec.groups.n;
    Buffer<uint8_t> of_groups(n_groups * table_width);
    looker.look(codec.groups, n_groups, [](int64_t i) { return i; }, of_groups.begin());
    std::fill_n(entries, codec.cells.n, 0u);

    Buffer<uint8_t> is_chosen(std::max(n_groups, codec.cells.n), 0);
    choose(of_groups, n_groups, width.groups, [&](uint32_t group) { is_chosen[group] = 1; });
    Buffer<uint8_t> unseen(table_width, 0);
    Buffer<uint32_t> cells(codec.cells.n);
    int64_t n_cells = 0;
    for (int64_t group = 0; group < n_groups; ++group) {
        if (!is_chosen[group]) {
            const uint8_t* row = of_groups.begin() + group * table_width;
            for (int64_t q = 0; q < table_width; q += 16)
                store(unseen.begin() + q,
                      larger(load<U8x16>(unseen.begin() + q), load<U8x16>(row + q)));
            continue;
        }
        for (uint32_t cell : codec.by_group.members(group)) {
            cells[n_cells++] = cell;
            entries[cell] = static_cast<uint32_t>(n_cells) << 8;    // after the row of the unseen
        }
    }
    Buffer<uint8_t> of_cells(n_cells * table_width);
    looker.look(codec.cells, n_cells, [&](int64_t i) { return int64_t{cells[i]}; },
                of_cells.begin());

    std::fill_n(is_chosen.begin(), n_cells, 0);
    choose(of_cells, n_cells, width.cells, [&](uint32_t row) { is_chosen[row] = 1; });
    int64_t n_leaves = 0;
    for (int64_t i = 0; i < n_cells; ++i)
        if (is_chosen[i]) n_leaves += int64_t(codec.by_cell.members(cells[i]).size());
    Buffer<uint32_t> rows(n_leaves), ids(n_leaves);
    n_leaves = 0;
    for (int64_t i = 0; i < n_cells; ++i) {
        if (!is_chosen[i]) continue;
        const uint32_t cell = cells[i];
        const auto members = codec.by_cell.members(cell);
        if (members.empty()) continue;
        entries[cell] = static_cast<uint32_t>(1 + n_cells + n_leaves) << 8 |
                        static_cast<uint32_t>(members.size() - 1);
        for (uint32_t place = 0; place < members.size(); ++place) {
            rows[n_leaves] = members[place];
            ids[n_leaves++] = leaf_id(cell, place);
        }
    }
    uint8_t* table = room(context, 1 + n_cells + n_leaves);
    std::copy_n(unseen.begin(), table_width, table);
    std::copy_n(of_cells.begin(), of_cells.size(), table + table_width);
    uint8_t* of_leaves = table + table_width + of_cells.size();
    looker.look(codec.leaves, n_leaves, [&](int64_t i) { return int64_t{rows[i]}; }, of_leaves);

    const Seen seen(of_leaves, table_width, n_leaves);
    const int64_t most = width.most_leaves(codec.leaves.n);
    for (int64_t q = 0; q < query.n; ++q, leaves += most, scores += most) {
        const int largest = seen.largest(q), far = std::max(0, largest - unseen[q]);
        const int64_t n_near = seen.count(q, std::max(1, largest - far * kNearShare / 32));
        int64_t places[257] = {};    // of the largest bytes first
        const auto best = seen.best(q, std::clamp(n_near, std::min(width.leaves, most), most));
        for (uint32_t row : best) ++places[256 - seen.byte(q, row)];
        for (int i = 0; i < 256; ++i) places[i + 1] += places[i];
        for (uint32_t row : best) {
            const uint8_t byte = seen.byte(q, row);
            const int64_t place = places[255 - byte]++;
            leaves[place] = ids[row];
            scores[place] = float(byte) / kSeen;
        }
        const auto n = static_cast<int64_t>(best.size());
        std::fill(leaves + n, leaves + most, kNoLeaf);
        std::fill(scores + n, scores + most, -kInfinity);
    }
}

}    // namespace
}    // namespace interlace
