// Checks every table against the portable one over odd sizes, then times it on the same calls.
// Runs under the sanitizers without Python:
//
//     check            every function, every table, sizes that break things
//     check bench [name [n]]    millions of tokens a second, n (32) query tokens x 128 dims
//     check count      every function, every table once, for benchmarks/instructions.py
//
// Outputs lie between canaries. The seed is fixed: a failure can be run again, and the digest of
// all outputs is the same on every machine and with every compiler.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <random>

#include "kernels.h"

namespace interlace {
namespace {

std::mt19937_64 random_bits(20'240'229);

int64_t below(int64_t n) { return static_cast<int64_t>(random_bits() % static_cast<uint64_t>(n)); }

template <class T>
std::vector<T> numbers(int64_t n, int64_t low, int64_t high) {
    std::vector<T> found(static_cast<size_t>(n));
    for (T& value : found) value = static_cast<T>(low + below(high - low + 1));
    return found;
}

// --- what a call writes --------------------------------------------------------------------------

using Bytes = std::vector<uint8_t>;

// Exactly n elements, so that the sanitizer sees one more; outside it, canaries do.
class Output {
public:
    template <class T>
    T* room(int64_t n) {
        parts_.emplace_back(static_cast<size_t>(n) * sizeof(T) + 2 * kCanary, kMark);
        return reinterpret_cast<T*>(parts_.back().data() + kCanary);
    }

    Bytes read() const {
        Bytes all;
        for (const Bytes& part : parts_) {
            const auto marked = [](uint8_t byte) { return byte == kMark; };
            if (!std::all_of(part.begin(), part.begin() + kCanary, marked) ||
                !std::all_of(part.end() - kCanary, part.end(), marked)) {
                std::printf("wrote outside its output\n");
                std::exit(1);
            }
            all.insert(all.end(), part.begin() + kCanary, part.end() - kCanary);
        }
        return all;
    }

private:
    static constexpr int kCanary = 64;
    static constexpr uint8_t kMark = 0xA5;
    std::vector<Bytes> parts_;
};

// --- random collections --------------------------------------------------------------------------

struct Rows {
    std::vector<int8_t> codes;
    std::vector<float> scales;
    Vectors view;

    Rows(int64_t n, int64_t dim) : codes(numbers<int8_t>(n * dim, -127, 127)) {
        for (int64_t i = 0; i < n; ++i) scales.push_back(0.001f + float(below(1000)) * 1e-6f);
        view = {codes.data(), scales.data(), n, dim};
    }
};

std::vector<int64_t> some_offsets(int64_t n, int64_t longest) {
    std::vector<int64_t> offsets{0};
    for (int64_t i = 0; i < n; ++i) offsets.push_back(offsets.back() + below(longest + 1));
    return offsets;
}

struct World {
    int64_t dim, n_query;
    Rows query, groups, cells;
    std::vector<uint32_t> cell_groups, leaf_cells;
    Rows leaves;
    std::vector<float> levels, norms, factors;
    Codec codec;
    std::vector<int64_t> offsets;
    Rows tokens;
    std::vector<uint32_t> token_leaves;
    std::vector<uint32_t> heads;
    std::vector<uint8_t> codes;
    std::vector<uint32_t> list_cells;
    std::vector<uint8_t> list_places;
    std::vector<int64_t> list_offsets;
    std::vector<uint16_t> list_gaps;
    Segment fresh, settled;
    std::vector<const Segment*> segments;
    std::vector<uint8_t> allowed;

    World(int64_t dim, int64_t n_query, int bits, int64_t n_passages, int64_t longest,
          int64_t n_cells)
        : dim(dim), n_query(n_query), query(n_query, dim), groups(1 + n_cells / 5, dim),
          cells(n_cells, dim),
          cell_groups(numbers<uint32_t>(n_cells, 0, int64_t(groups.view.n) - 1)),
          leaf_cells(numbers<uint32_t>(4 * n_cells + 1, 0, n_cells - 1)),
          leaves(int64_t(leaf_cells.size()), dim), offsets(some_offsets(n_passages, longest)),
          tokens(offsets.back(), dim) {
        // Levels even in ±127 have a deviation of 73, as the random ones of leaves.
        for (int i = 0; i < 2 << bits; ++i)
            levels.push_back((float(i) + 0.5f - float(1 << bits)) / float(1 << bits) * 127);
        for (int i = 0; i < 16; ++i) norms.push_back(float(i) / 12);
        for (int i = 0; i < 256; ++i)
            factors.push_back((0.75f + float(i) / 512) / (73 * std::sqrt(float(dim))));
        codec = {bits, groups.view, cells.view, leaves.view, cell_groups.data(),
                 Grouped(cell_groups.data(), n_cells, groups.view.n),
                 Grouped(leaf_cells.data(), leaves.view.n, n_cells), 1.05f, norms.data(),
                 residuals_of(levels.data(), bits, norms.data()), factors.data(), 1.02f};

        const int64_t n = offsets.back();
        token_leaves = numbers<uint32_t>(n, 0, leaves.view.n - 1);
        for (uint32_t leaf : token_leaves) {
            const auto members = codec.by_cell.members(leaf_cells[leaf]);
            const auto at = std::lower_bound(members.begin(), members.end(), leaf);
            const auto place = uint32_t(at - members.begin());
            heads.push_back(leaf_cells[leaf] << 16 | place << 8 | uint32_t(below(256)));
        }
        codes = numbers<uint8_t>(n * codec.width(), 0, 255);
        make_lists(n_passages);

        fresh.offsets = settled.offsets = offsets;
        fresh.dim = settled.dim = dim;
        fresh.tokens = tokens.view;
        settled.codec = &codec;
        settled.heads = heads.data();
        settled.codes = codes.data();
        settled.lists = {list_cells.data(),           n_cells,
                         list_places.data(),          int64_t(list_places.size()),
                         list_offsets.data(),         list_gaps.data(),
                         int64_t(list_gaps.size())};
        segments = {&settled, &fresh, &settled};
        allowed = numbers<uint8_t>((3 * n_passages + 7) / 8, 0, 255);
    }

    int64_t n_rows() const { return 3 * settled.n_passages(); }

private:
    void make_lists(int64_t n_passages) {
        std::vector<std::pair<uint32_t, int64_t>> postings;    // leaf, passage
        for (int64_t p = 0; p < n_passages; ++p)
            for (int64_t t = offsets[size_t(p)]; t < offsets[size_t(p) + 1]; ++t)
                postings.emplace_back(heads[size_t(t)] >> 8, p);
        std::sort(postings.begin(), postings.end());
        postings.erase(std::unique(postings.begin(), postings.end()), postings.end());
        int64_t cell = 0, last = 0;
        for (size_t i = 0; i < postings.size(); ++i) {
            const auto [leaf, passage] = postings[i];
            for (; cell <= leaf >> 8; ++cell) list_cells.push_back(uint32_t(list_places.size()));
            if (i == 0 || leaf != postings[i - 1].first) {
                list_places.push_back(uint8_t(leaf));
                list_offsets.push_back(int64_t(list_gaps.size()));
                last = 0;
            }
            if (const int64_t far = (passage - last) / kGaps; far)
                list_gaps.push_back(uint16_t(kGaps + far - 1));
            list_gaps.push_back(uint16_t((passage - last) % kGaps));
            last = passage;
        }
        for (; cell <= cells.view.n; ++cell) list_cells.push_back(uint32_t(list_places.size()));
        list_offsets.push_back(int64_t(list_gaps.size()));
    }
};

// --- the calls -----------------------------------------------------------------------------------

struct Call {
    const char* name;
    int64_t n_tokens;    // the work of one call, for timing
    std::function<void(const Table&, Output&)> run;
};

// Rows that are hoped to be good, the first most; three neighbours have one owner.
struct Hopes {
    std::vector<uint32_t> rows;
    std::vector<float> expected;
    std::vector<int64_t> owners;

    Hopes(const std::vector<uint32_t>& some, int64_t n_query) : rows(some) {
        for (size_t i = 0; i < rows.size(); ++i) {
            expected.push_back(float(n_query) * float(rows.size() - i) / float(rows.size()));
            owners.push_back(rows[i] / 3);
        }
    }
    Ranked ranked() const { return {rows, expected.data(), owners.data(), 5, 3}; }
};

std::vector<Call> calls(const World& w, int n_threads) {
    const int64_t n = w.tokens.view.n, dim = w.dim, n_query = w.n_query;
    auto probed = [&w, n_query](const Table& table, Output& out) {
        const int64_t n_leaves = 3;
        auto* entries = out.room<uint32_t>(w.cells.view.n);
        const Width width{2, 5, n_leaves};
        const int64_t most = width.most_leaves(w.leaves.view.n);
        auto* leaves = out.room<uint32_t>(n_query * most);
        auto* scores = out.room<float>(n_query * most);
        const uint8_t* rows = nullptr;
        int64_t n_rows = 0;
        auto room = [&](int64_t n) {
            n_rows = n;
            auto* made = out.room<uint8_t>(n * Probe::table_width(n_query));
            rows = made;
            return made;
        };
        table.probe(
            w.query.view, w.codec, width, &room,
            [](void* context, int64_t n) { return (*static_cast<decltype(room)*>(context))(n); },
            entries, leaves, scores);
        return Probe{rows, entries, leaves, scores, n_rows, w.cells.view.n, n_query, most};
    };
    auto some_rows = [&w](int64_t count) {
        return numbers<uint32_t>(w.settled.n_passages() ? count : 0, 0,
                                 std::max<int64_t>(0, w.settled.n_passages() - 1));
    };
    return {
        {"quantise", n, [=, &w](const Table& table, Output& out) {
            std::vector<float> matrix(w.tokens.codes.begin(), w.tokens.codes.end());
            std::vector<int8_t> signs(size_t(2 * dim));
            for (size_t i = 0; i < signs.size(); ++i) signs[i] = i * 7 % 3 ? 1 : -1;
            auto* codes = out.room<int8_t>(n * dim);
            table.quantise(matrix.data(), n, dim, signs, codes, out.room<float>(n), n_threads);
        }},
        {"cluster", n, [=, &w](const Table& table, Output& out) {
            const int64_t third = n / 3;
            if (third < 1) return;
            const std::vector<int64_t> groups{0, third, n};
            const std::vector<int64_t> k{std::min<int64_t>(third, 40), std::min<int64_t>(third, 3)};
            auto* centroids = out.room<int8_t>((k[0] + k[1]) * dim);
            table.cluster(w.tokens.codes.data(), dim, groups.data(), k, 3, 16, centroids,
                          out.room<float>(k[0] + k[1]), n_threads);
        }},
        {"assign", n, [=, &w](const Table& table, Output& out) {
            std::vector<int64_t> first(static_cast<size_t>(n)), last(static_cast<size_t>(n));
            for (size_t i = 0; i < first.size(); ++i) {
                first[i] = int64_t(i) * 37 % w.leaves.view.n / 50 * 50;
                last[i] = std::min(w.leaves.view.n, first[i] + 50);
            }
            table.assign(w.tokens.codes.data(), n, first.data(), last.data(), w.leaves.view,
                         out.room<uint32_t>(n), n_threads);
        }},
        {"encode", n, [=, &w](const Table& table, Output& out) {
            auto* codes = out.room<uint8_t>(n * w.codec.width());
            table.encode(w.tokens.view, w.token_leaves.data(), w.codec, codes,
                         out.room<uint8_t>(n), n_threads);
        }},
        {"probe", w.cells.view.n, [=](const Table& table, Output& out) { probed(table, out); }},
        {"walk", n, [=, &w](const Table& table, Output& out) {
            const Probe probe = probed(table, out);
            const int64_t best = std::min<int64_t>(50, w.n_rows());
            auto* rows = out.room<uint32_t>(best);
            *out.room<int64_t>(1) = table.walk(probe, w.segments, w.allowed.data(), best, rows);
        }},
        {"interact", n, [=, &w, rows = some_rows(30)](const Table& table, Output& out) {
            const Probe probe = probed(table, out);
            const auto best = std::min<int64_t>(10, int64_t(rows.size()));
            auto* found = out.room<uint32_t>(best);
            table.interact(probe, w.segments, rows, 10, found, out.room<uint32_t>(best));
        }},
        {"score", n, [=, &w, rows = some_rows(60)](const Table& table, Output& out) {
            table.score(w.query.view, w.segments, rows, out.room<float>(int64_t(rows.size())),
                        n_threads);
        }},
        {"refine", n, [=, &w, rows = some_rows(90)](const Table& table, Output& out) {
            const Probe probe = probed(table, out);
            const Hopes hopes(rows, n_query);
            auto* scores = out.room<float>(int64_t(rows.size()));
            std::fill_n(scores, rows.size(), 0.0f);
            *out.room<int64_t>(1) =
                table.refine(w.query.view, probe, w.segments, hopes.ranked(), scores, n_threads);
        }},
        {"score best", n, [=, &w, rows = some_rows(90)](const Table& table, Output& out) {
            const Hopes hopes(rows, n_query);
            auto* scores = out.room<float>(int64_t(rows.size()));
            std::fill_n(scores, rows.size(), 0.0f);
            *out.room<int64_t>(1) =
                table.score_best(w.query.view, w.segments, hopes.ranked(), scores, n_threads);
        }},
        {"scan fresh", n, [=, &w](const Table& table, Output& out) {
            table.scan(w.query.view, {&w.segments[1], 1}, nullptr,
                       out.room<float>(w.fresh.n_passages()), n_threads);
        }},
        {"scan settled", n, [=, &w](const Table& table, Output& out) {
            table.scan(w.query.view, {&w.segments[0], 1}, nullptr,
                       out.room<float>(w.settled.n_passages()), n_threads);
        }},
        {"scan some", n, [=, &w](const Table& table, Output& out) {
            table.scan(w.query.view, w.segments, w.allowed.data(), out.room<float>(w.n_rows()),
                       n_threads);
        }},
        {"similarities", n, [=, &w](const Table& table, Output& out) {
            for (size_t p = 0; p < std::min<size_t>(3, size_t(w.settled.n_passages())); ++p)
                for (const Segment* segment : {&w.fresh, &w.settled})
                    table.similarities(w.query.view, *segment, int64_t(p), out.room<float>(
                        (w.offsets[p + 1] - w.offsets[p]) * n_query));
        }},
        {"maxsim", n, [=, &w](const Table& table, Output& out) {
            const std::vector<float> query(w.query.codes.begin(), w.query.codes.end());
            const std::vector<float> tokens(w.tokens.codes.begin(), w.tokens.codes.end());
            table.maxsim(query.data(), n_query, tokens.data(), dim, w.offsets,
                         out.room<float>(w.settled.n_passages()), n_threads);
        }},
    };
}

int check() {
    const Table& plain = *tables().back();
    int64_t n_checked = 0;
    uint64_t digest = 14'695'981'039'346'656'037u;    // FNV-1a
    for (int64_t dim : {1, 3, 15, 32, 48, 64, 96, 127, 128, 200, 256, 768})
        for (int64_t n_query : {0, 1, 16, 17, 32, 33, 70})
            for (int bits : {1, 2, 4}) {
                const int64_t n_passages = below(40), longest = below(2) ? 5 : 140;
                const World world(dim, n_query, bits, n_passages, longest, 1 + below(60));
                for (const Call& call : calls(world, 1 + int(below(3)))) {
                    Output expected;
                    call.run(plain, expected);
                    for (uint8_t byte : expected.read())
                        digest = (digest ^ byte) * 1'099'511'628'211u;
                    for (const Table* table : tables()) {
                        Output found;
                        call.run(*table, found);
                        ++n_checked;
                        if (found.read() == expected.read()) continue;
                        std::printf("%s: %s differs: dim %d, %d query tokens, %d bits\n",
                                    table->name, call.name, int(dim), int(n_query), bits);
                        return 1;
                    }
                }
            }
    std::printf("%lld calls agree, digest %016llx\n", static_cast<long long>(n_checked),
                static_cast<unsigned long long>(digest));
    return 0;
}

int bench(const char* name, int64_t n_query) {
    for (int bits : {4, 2, 1}) {
        const World world(128, n_query, bits, 1000, 320, 1250);
        std::printf("\n%d bits, million tokens/s", bits);
        for (const Table* table : tables()) std::printf("%12s", table->name);
        for (const Call& call : calls(world, 1)) {
            if (!std::strstr(call.name, name)) continue;
            std::printf("\n%24s", call.name);
            for (const Table* table : tables()) {
                double best = 1e9;
                for (int run = 0; run < 5; ++run) {
                    Output out;
                    const std::clock_t start = std::clock();    // CPU time: others may run too
                    call.run(*table, out);
                    best = std::min(best, double(std::clock() - start) / CLOCKS_PER_SEC);
                }
                std::printf("%12.2f", double(call.n_tokens) / best / 1e6);
            }
        }
    }
    std::printf("\n");
    return 0;
}

// A function of its own, because its instructions are counted.
[[gnu::noinline]] void counted(const Call& call, const Table& table) {
    Output out;
    call.run(table, out);
}

int count() {
    for (int bits : {4, 2, 1}) {
        const World world(128, 32, bits, 100, 320, 125);
        for (const Call& call : calls(world, 1))
            for (const Table* table : tables()) {
                counted(call, *table);
                std::printf("%s,%s,%lld\n", table->name, call.name,
                            static_cast<long long>(call.n_tokens));
            }
    }
    return 0;
}

}    // namespace
}    // namespace interlace

int main(int argc, char** argv) {
    const char* mode = argc > 1 ? argv[1] : "";
    if (!std::strcmp(mode, "count")) return interlace::count();
    if (std::strcmp(mode, "bench")) return interlace::check();
    return interlace::bench(argc > 2 ? argv[2] : "", argc > 3 ? std::atoi(argv[3]) : 32);
}
