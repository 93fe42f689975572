// Checks every table against the portable one on a small random model, for texts of lengths that break
// things. Runs under the sanitizers without Python:
//
//     check_encoder
//     check_encoder count    every table once, for benchmarks/instructions.py
//
// The seed is fixed, and the digest of all outputs is the same on every machine and with every compiler.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "model.h"

namespace interlace::encoding {
namespace {

constexpr int64_t kHidden = 128, kInner = 192, kDim = 64, kWords = 97, kPositions = 240;
constexpr int kLayers = 2;

std::mt19937_64 random_bits(20'240'229);

int64_t below(int64_t n) { return static_cast<int64_t>(random_bits() % static_cast<uint64_t>(n)); }

std::vector<float> floats(int64_t n, float middle, float width) {
    std::vector<float> found(static_cast<size_t>(n));
    for (float& x : found) x = middle + width * static_cast<float>(below(2'001) - 1'000) / 1'000;
    return found;
}

std::vector<int8_t> codes(int64_t n, int most) {
    std::vector<int8_t> found(static_cast<size_t>(n));
    for (int8_t& code : found) code = static_cast<int8_t>(below(2 * most + 1) - most);
    return found;
}

Weights weights(int64_t n_inputs, int64_t n_outputs, int zero) {
    return {codes(n_inputs * n_outputs, kWeightMax).data(), floats(n_outputs, 0.002f, 0.001f),
            n_inputs, zero};
}

Layer layer() {
    return {
        .qkv = weights(kHidden, 3 * kHidden, kZero),
        .out = weights(kHidden, kHidden, kZero),
        .wide = weights(kHidden, kInner, kZero),
        .narrow = weights(kInner, kHidden, kZeroOfGelu),
        .qkv_bias = floats(3 * kHidden, 0, 0.5f),
        .wide_bias = floats(kInner, 0, 0.5f),
        .middle_gain = floats(kHidden, 1, 0.5f),
        .middle_bias = floats(kHidden, 0, 0.5f),
        .end_gain = floats(kHidden, 1, 0.5f),
        .end_bias = floats(kHidden, 0, 0.5f),
    };
}

Model random_model(const std::vector<int8_t>& words) {
    Model model{
        .hidden = kHidden,
        .dim = kDim,
        .n_words = kWords,
        .n_positions = kPositions,
        .words = words.data(),
        .word_scales = floats(kWords, 0.01f, 0.005f),
        .positions = floats(kPositions * kHidden, 0, 0.1f),
        .gain = floats(kHidden, 1, 0.5f),
        .bias = floats(kHidden, 0, 0.5f),
        .layers = {},
        .projection = floats(kHidden * kDim, 0, 0.1f),
    };
    for (int i = 0; i < kLayers; ++i) model.layers.push_back(layer());
    return model;
}

std::vector<int64_t> random_text(int64_t n) {
    std::vector<int64_t> ids(static_cast<size_t>(n));
    for (int64_t& id : ids) id = below(kWords);
    return ids;
}

int check(const Model& model) {
    uint64_t digest = 14'695'981'039'346'656'037u;    // FNV-1a
    int n_texts = 0;
    for (int64_t n = 1; n <= kPositions; n += n < 70 ? 1 : 17, ++n_texts) {
        const std::vector<int64_t> ids = random_text(n);
        std::vector<float> expected(static_cast<size_t>(n * kDim)), found(expected.size());
        tables().back()->run(model, ids, expected.data());
        for (const Table* table : tables()) {
            std::fill(found.begin(), found.end(), 0.0f);
            table->run(model, ids, found.data());
            if (std::memcmp(found.data(), expected.data(), found.size() * sizeof(float))) {
                std::printf("%s differs from portable: %lld tokens\n", table->name,
                            static_cast<long long>(n));
                return 1;
            }
        }
        const auto* bytes = reinterpret_cast<const uint8_t*>(expected.data());
        for (size_t i = 0; i < expected.size() * sizeof(float); ++i)
            digest = (digest ^ bytes[i]) * 1'099'511'628'211u;
    }
    std::printf("%d texts on %zu tables, digest %016llx\n", n_texts, tables().size(),
                static_cast<unsigned long long>(digest));
    return 0;
}

// A function of its own, because its instructions are counted.
[[gnu::noinline]] void counted(const Model& model, const Table& table,
                               const std::vector<int64_t>& ids, std::vector<float>& out) {
    table.run(model, ids, out.data());
}

int count(const Model& model) {
    const std::vector<int64_t> ids = random_text(200);
    std::vector<float> out(ids.size() * kDim);
    for (const Table* table : tables()) {
        counted(model, *table, ids, out);
        std::printf("%s,encoder,%zu\n", table->name, ids.size());
    }
    return 0;
}

}    // namespace
}    // namespace interlace::encoding

int main(int argc, char** argv) {
    using namespace interlace::encoding;
    const std::vector<int8_t> words = codes(kWords * kHidden, 127);
    const Model model = random_model(words);
    return argc > 1 && !std::strcmp(argv[1], "count") ? count(model) : check(model);
}
