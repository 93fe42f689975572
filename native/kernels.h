// What a kernel table does: the C++ side of src/interlace/kernels/api.py, which tells the arrays.
// The arithmetic is specified by src/interlace/kernels/reference.py, to the last bit.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace interlace {

constexpr int64_t kBlock = 65'536;            // passages of a block of posting lists
constexpr uint32_t kNoLeaf = 0xFFFF'FFFFu;    // an unused place among the probed leaves

// Rows of int8 levels, each with its scale. Like every struct here it only points into arrays; the
// bindings keep those alive and have checked their shapes.
struct Vectors {
    const int8_t* codes = nullptr;
    const float* scales = nullptr;
    int64_t n = 0;
    int64_t dim = 0;

    const int8_t* row(int64_t i) const { return codes + i * dim; }
};

struct Codec {
    int bits = 0;
    Vectors cells;
    Vectors leaves;
    const uint32_t* leaf_cells = nullptr;
    std::vector<uint32_t> cell_leaves;    // the leaves of each cell, ascending, from its offset on
    std::vector<int64_t> cell_offsets;
    const int8_t* levels = nullptr;
    const float* norms = nullptr;
    const float* factors = nullptr;
    float fairness = 1;

    int64_t width() const { return (leaves.dim * bits + 7) / 8; }
    void group_leaves();    // codec.cpp: cell_leaves and cell_offsets from leaf_cells
};

// A fresh segment has `tokens`; a settled one has a codec and what follows it.
struct Segment {
    std::string name;
    std::span<const int64_t> offsets;    // n_passages + 1
    int64_t dim = 0;
    Vectors tokens;

    const Codec* codec = nullptr;
    const uint32_t* leaves = nullptr;
    const uint8_t* codes = nullptr;
    const uint8_t* norms = nullptr;
    const uint8_t* factors = nullptr;
    std::span<const int64_t> block_offsets;
    const uint32_t* list_leaves = nullptr;
    const int64_t* list_offsets = nullptr;
    const uint16_t* list_ordinals = nullptr;

    int64_t n_passages() const { return static_cast<int64_t>(offsets.size()) - 1; }
    float fairness() const { return codec ? codec->fairness : 1.0f; }
};

using Segments = std::span<const Segment* const>;

struct Probe {
    const uint8_t* table = nullptr;      // (n_cells, n_tokens)
    const uint32_t* leaves = nullptr;    // (n_tokens, n_leaves)
    const float* scores = nullptr;
    int64_t n_cells = 0;
    int64_t n_tokens = 0;
    int64_t n_leaves = 0;
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
                   const float* cuts, uint8_t* codes, uint8_t* norms, uint8_t* factors,
                   int n_threads);

    void (*probe)(const Vectors& query, const Codec& codec, int64_t n_cells, int64_t n_leaves,
                  uint8_t* table, uint32_t* leaves, float* scores);
    int64_t (*walk)(const Probe& probe, Segments segments, const uint8_t* allowed, int64_t n,
                    uint32_t* rows, float* gains);    // returns how many it found
    void (*interact)(const Probe& probe, Segments segments, std::span<const uint32_t> rows,
                     int64_t n, uint32_t* best);
    void (*score)(const Vectors& query, Segments segments, std::span<const uint32_t> rows,
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
[[noreturn]] void no_such_row(int64_t row, int64_t n_rows);    // std::out_of_range

}    // namespace interlace
