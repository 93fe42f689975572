// A BERT in integers: token ids in, one unit vector a token out. The C++ side of
// src/interlace/models/backends/native.py, which reads the weights.
//
// Products are of bytes and exact, with a scale for each token and each column of the weights. What is
// between them is float32 in a written order: no contraction, sums of 64 lanes, polynomials for
// exp and GELU. So a text has the same embeddings on every machine. tests/unit/models/twin.py says the
// same in NumPy, to the last bit.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace interlace::encoding {

// Columns of weights that are multiplied at once; an attention head is as wide.
constexpr int64_t kColumns = 32;

// Weights stay within this, so that two products of an unsigned and a signed byte fit 16 bits: that
// is how processors without VNNI add them. Keys do too, which are weights to the queries.
constexpr int kWeightMax = 64;

// What stands for zero among the codes of a token. GELU reaches down to -0.17 only: with a largest
// value of 1 or more, 38 can stand for 0 and nearly all others for what is above.
constexpr int kZero = 128;
constexpr int kZeroOfGelu = 38;

// Hidden states and embeddings are a multiple of this wide, and sums over them have so many lanes.
constexpr int64_t kLanes = 64;

struct alignas(64) Line {
    int8_t bytes[64];
};

// Integer weights, (inputs, outputs), in panels of kColumns outputs; a panel has, for each four
// inputs, the four bytes of each output side by side.
struct Weights {
    int64_t n_inputs = 0;
    int64_t n_outputs = 0;
    std::vector<Line> lines;
    std::vector<float> scales;      // of each output
    std::vector<int32_t> totals;    // of each output's codes
    int zero = 0;                   // among the codes of the inputs

    Weights() = default;
    Weights(const int8_t* codes, std::span<const float> scales, int64_t n_inputs, int zero);

    int64_t n_panels() const { return n_outputs / kColumns; }
    const int8_t* panel(int64_t i) const {
        return lines.data()->bytes + i * n_inputs * kColumns;
    }
};

struct Layer {
    Weights qkv, out, wide, narrow;
    std::vector<float> qkv_bias, wide_bias;
    std::vector<float> middle_gain, middle_bias;    // the layer norm before the wide product
    std::vector<float> end_gain, end_bias;          // and the one after the narrow product
};

struct Model {
    int64_t hidden = 0;
    int64_t dim = 0;
    int64_t n_words = 0;
    int64_t n_positions = 0;
    const int8_t* words = nullptr;    // (n_words, hidden): the file's own bytes
    std::vector<float> word_scales;
    std::vector<float> positions;    // (n_positions, hidden)
    std::vector<float> gain, bias;
    std::vector<Layer> layers;
    std::vector<float> projection;    // (hidden, dim)

    int64_t n_heads() const { return hidden / kColumns; }
    int64_t n_inner() const { return layers.empty() ? 0 : layers[0].wide.n_outputs; }
};

// One instruction set: out is (n ids, dim); ids and their number have been checked.
struct Table {
    const char* name;
    void (*run)(const Model& model, std::span<const int64_t> ids, float* out);
};

// Those that this machine can run, best first.
std::span<const Table* const> tables();

}    // namespace interlace::encoding
