// What a kernel table does: the C++ side of src/interlace/kernels/api.py, which tells the arrays.
// The arithmetic is specified by src/interlace/kernels/reference.py, to the last bit.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace interlace {

constexpr uint32_t kGaps = 65'280;            // words of a posting list below it are gaps
constexpr uint32_t kNoLeaf = 0xFFFF'FFFFu;    // an unused place among the probed leaves

constexpr int64_t kNearLeaves = 16;           // times as many leaves as asked for, where near
constexpr int kNearShare = 5;                 // 32nds from the best leaf to what was not seen
constexpr int64_t kWalked = 511;              // query tokens that walk posting lists
constexpr float kSteps = 8192;                // in which a walk counts what a cosine gains
constexpr int64_t kRefinedFirst = 32;         // before it is asked whether more would pay
constexpr int64_t kScoredFirst = 16;
constexpr float kSeen = 254;                  // a cosine's step in the probe's table
constexpr float kCentroidDeviation = 32;      // of a centroid's int8 levels
constexpr int64_t kCells = 65'536;            // of a codec, at most
constexpr int64_t kPlaces = 256;              // leaves of a cell, at most
constexpr int kOdd = 16;                      // where a norm's odd levels begin: residuals_of()

// A leaf is known by its cell and its place among the cell's leaves, which growing never changes.
constexpr uint32_t leaf_id(uint32_t cell, uint32_t place) { return cell << 8 | place; }

// Rows of int8 levels, each with its scale. Like every struct here it only points into arrays; the
// bindings keep those alive and have checked their shapes.
struct Vectors {
    const int8_t* codes = nullptr;
    const float* scales = nullptr;
    int64_t n = 0;
    int64_t dim = 0;

    const int8_t* row(int64_t i) const { return codes + i * dim; }
};

// Things sorted by the one of n groups that each is in.
struct Grouped {
    std::vector<uint32_t> order;      // members of a group, ascending, from its offset on
    std::vector<uint32_t> offsets;    // n + 1
    bool is_sorted = false;           // as they came: order[i] == i

    Grouped() = default;
    Grouped(const uint32_t* group_of, int64_t n_members, int64_t n_groups);    // codec.cpp
    std::span<const uint32_t> members(int64_t group) const {
        const auto at = static_cast<size_t>(group);
        return {order.data() + offsets[at], order.data() + offsets[at + 1]};
    }
};

struct Codec {
    int bits = 0;
    Vectors groups;
    Vectors cells;
    Vectors leaves;
    const uint32_t* cell_groups = nullptr;
    Grouped by_group;    // cells
    Grouped by_cell;     // leaves
    float stretch = 1;                 // of residuals, before they are coded
    const float* norms = nullptr;      // 16, ascending
    std::vector<int8_t> residuals;     // what each level adds to a leaf's: residuals_of()
    const float* factors = nullptr;    // 256: of each norm sixteen, equally far apart
    float fairness = 1;

    int64_t width() const { return (leaves.dim * bits + 7) / 8; }
    const int8_t* residual(int norm) const { return residuals.data() + 2 * kOdd * norm; }
};

// (16, 2, kOdd) of 2**(bits + 1) ascending levels and 16 norms: for each norm the even levels, then
// the odd ones, each of these repeated until there are sixteen: a look-up need not know how many.
// codec.cpp.
std::vector<int8_t> residuals_of(const float* levels, int bits, const float* norms);

// Posting lists: a cell leads to its lists, a list to the words that tell its passages.
struct Lists {
    const uint32_t* cells = nullptr;     // n_cells + 1: where each cell's lists begin
    int64_t n_cells = 0;
    const uint8_t* places = nullptr;     // of each list's leaf in its cell, ascending
    int64_t n = 0;
    const int64_t* offsets = nullptr;    // n + 1: where each list's words begin
    const uint16_t* gaps = nullptr;
    int64_t n_gaps = 0;
};

// A fresh segment has `tokens`; a settled one has a codec and what follows it.
struct Segment {
    std::string name;
    std::span<const int64_t> offsets;    // n_passages + 1
    int64_t dim = 0;
    Vectors tokens;

    const Codec* codec = nullptr;
    const uint32_t* heads = nullptr;    // of each token cell << 16 | place << 8 | scale code
    const uint8_t* codes = nullptr;
    Lists lists;

    int64_t n_passages() const { return static_cast<int64_t>(offsets.size()) - 1; }
    float fairness() const { return codec ? codec->fairness : 1.0f; }
};

using Segments = std::span<const Segment* const>;

// What a query has looked at, and where a token of each cell finds itself there: api.Probe.
struct Probe {
    const uint8_t* table = nullptr;      // (n_rows, width)
    const uint32_t* entries = nullptr;   // (n_cells,)
    const uint32_t* leaves = nullptr;    // (n_tokens, n_leaves)
    const float* scores = nullptr;
    int64_t n_rows = 0;
    int64_t n_cells = 0;
    int64_t n_tokens = 0;
    int64_t n_leaves = 0;

    int64_t width() const { return table_width(n_tokens); }
    static int64_t table_width(int64_t n_tokens) { return (n_tokens + 15) / 16 * 16; }
};

// How much a probe looks at, for each query token; of leaves up to kNearLeaves times as many.
struct Width {
    int64_t groups = 0;
    int64_t cells = 0;
    int64_t leaves = 0;

    // Leaves of a query token at most, of n that there are.
    int64_t most_leaves(int64_t n) const { return std::min(kNearLeaves * std::min(leaves, n), n); }
};

// Rows in the order in which they are expected to be good, of which the k best owners are wanted.
struct Ranked {
    std::span<const uint32_t> rows;
    const float* expected = nullptr;
    const int64_t* owners = nullptr;
    int64_t k = 0;
    int64_t spread = 0;
};

struct Table {
    const char* name;

    void (*quantise)(const float* matrix, int64_t n, int64_t dim, std::span<const int8_t> signs,
                     int8_t* codes, float* scales, int n_threads);
    void (*cluster)(const int8_t* codes, int64_t dim, const int64_t* group_offsets,
                    std::span<const int64_t> n_centroids, int n_iterations, int64_t sample,
                    int8_t* centroids, float* scales, int n_threads);
    void (*assign)(const int8_t* codes, int64_t n, const int64_t* first, const int64_t* last,
                   const Vectors& centroids, uint32_t* found, int n_threads);
    void (*encode)(const Vectors& tokens, const uint32_t* leaves, const Codec& codec,
                   uint8_t* codes, uint8_t* scale_codes, int n_threads);

    // How long the table is turns out on the way: `room` makes it, of so many rows.
    void (*probe)(const Vectors& query, const Codec& codec, const Width& width, void* context,
                  uint8_t* (*room)(void* context, int64_t n_rows), uint32_t* entries,
                  uint32_t* leaves, float* scores);
    int64_t (*walk)(const Probe& probe, Segments segments, const uint8_t* allowed, int64_t n,
                    uint32_t* rows);    // returns how many it found
    void (*interact)(const Probe& probe, Segments segments, std::span<const uint32_t> rows,
                     int64_t n, uint32_t* best, uint32_t* sums);
    void (*score)(const Vectors& query, Segments segments, std::span<const uint32_t> rows,
                  float* scores, int n_threads);
    // These two return how many they scored.
    int64_t (*refine)(const Vectors& query, const Probe& probe, Segments segments,
                      const Ranked& ranked, float* scores, int n_threads);
    int64_t (*score_best)(const Vectors& query, Segments segments, const Ranked& ranked,
                          float* scores, int n_threads);
    void (*scan)(const Vectors& query, Segments segments, const uint8_t* allowed, float* scores,
                 int n_threads);
    void (*similarities)(const Vectors& query, const Segment& segment, int64_t ordinal, float* out);
    void (*maxsim)(const float* query, int64_t n_query, const float* tokens, int64_t dim,
                   std::span<const int64_t> offsets, float* scores, int n_threads);
};

// dispatch.cpp: the tables that this machine can run, best first.
std::span<const Table* const> tables();

// pool.cpp: run(context, i) for every i below n, on n_threads threads that live as long as the call
// (a pool that outlives it would not survive a fork). What a task throws is thrown here.
void parallel_for(int64_t n, int n_threads, void* context, void (*run)(void* context, int64_t i));

// damage.cpp: a segment or codec holds something that no writer wrote.
struct Damaged {
    std::string name;
    std::string expected;
    std::string found;
};
[[noreturn]] void damaged(const std::string& name, const char* what, int64_t below, int64_t found);
[[noreturn]] void no_such_list(const std::string& name, int64_t last, int64_t begin, int64_t end);
[[noreturn]] void no_such_row(int64_t row, int64_t n_rows);    // std::out_of_range

}    // namespace interlace
