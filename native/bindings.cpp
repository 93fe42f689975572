// The door between Python and the kernels: checks shapes, types and contiguity, keeps arrays alive,
// drops the GIL. No arithmetic.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <stdexcept>

#include "kernels.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace interlace {
namespace {

// Read-only too, so that memory-mapped files need no copy.
template <class T, int N>
using In = nb::ndarray<const T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;

template <class T>
int64_t length(const T& array) {
    return static_cast<int64_t>(array.shape(0));
}

template <class T>
std::span<const T> span(const In<T, 1>& array) {
    return {array.data(), array.shape(0)};
}

void require(bool holds, const char* what) {
    if (!holds) throw nb::value_error(what);
}

// An array for Python, not cleared.
template <class T>
class Out {
public:
    explicit Out(std::initializer_list<int64_t> shape) : shape_(shape.begin(), shape.end()) {
        size_t n = 1;
        for (size_t side : shape_) n *= side;
        data_ = std::make_unique_for_overwrite<T[]>(n);
    }

    T* data() const { return data_.get(); }
    void cut(int64_t n) { shape_[0] = static_cast<size_t>(n); }

    nb::object array() {
        T* data = data_.release();
        nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
        return nb::ndarray<nb::numpy, T>(data, shape_.size(), shape_.data(), owner).cast();
    }

private:
    std::vector<size_t> shape_;
    std::unique_ptr<T[]> data_;
};

// --- handles -------------------------------------------------------------------------------------

void check_offsets(const In<int64_t, 1>& offsets, int64_t n, const std::string& name) {
    const auto at = span(offsets);
    std::string found;
    if (at.empty()) {
        found = "none";
    } else if (at.front() != 0 || at.back() != n) {
        found = std::to_string(at.front()) + " … " + std::to_string(at.back());
    } else {
        const auto fall = std::adjacent_find(at.begin(), at.end(), std::greater<>());
        if (fall == at.end()) return;
        found = std::to_string(fall[1]) + " after " + std::to_string(fall[0]) + ", at index " +
                std::to_string(fall + 1 - at.begin());
    }
    throw Damaged{name, "rising offsets 0 … " + std::to_string(n), found};
}

Vectors vectors(const In<int8_t, 2>& codes, const In<float, 1>& scales) {
    require(codes.shape(0) == scales.shape(0), "codes and scales must have one length");
    return {codes.data(), scales.data(), length(codes), static_cast<int64_t>(codes.shape(1))};
}

// A struct of pointers, and the Python objects that own what they point to.
template <class T>
struct Handle {
    T view;
    std::vector<nb::object> owners;

    template <class... Arrays>
    void keep(const Arrays&... arrays) {
        (owners.push_back(nb::cast(arrays)), ...);
    }
};

using CodecHandle = Handle<Codec>;
using SegmentHandle = Handle<Segment>;

SegmentHandle load_fresh(In<int64_t, 1> offsets, In<int8_t, 2> codes, In<float, 1> scales,
                         std::string name) {
    SegmentHandle handle;
    Segment& segment = handle.view;
    segment.tokens = vectors(codes, scales);
    check_offsets(offsets, segment.tokens.n, name);
    segment.name = std::move(name);
    segment.offsets = span(offsets);
    segment.dim = segment.tokens.dim;
    handle.keep(offsets, codes, scales);
    return handle;
}

void check_groups(const In<uint32_t, 1>& group_of, int64_t n_groups, const char* what,
                  const std::string& name) {
    for (uint32_t group : span(group_of))
        if (group >= n_groups) damaged(name, what, n_groups, group);
}

bool is_finite(float x) { return std::isfinite(x); }

CodecHandle load_codec(int bits, In<int8_t, 2> groups, In<float, 1> group_scales,
                       In<int8_t, 2> cells, In<float, 1> cell_scales, In<uint32_t, 1> cell_groups,
                       In<int8_t, 2> leaves, In<float, 1> leaf_scales, In<uint32_t, 1> leaf_cells,
                       In<float, 1> levels, float stretch, In<float, 1> norms,
                       In<float, 1> factors, float fairness, const std::string& name) {
    require(bits == 1 || bits == 2 || bits == 4, "bits must be 1, 2 or 4");
    require(length(levels) == 2 << bits, "levels must be (2**(bits + 1),)");
    require(length(norms) == 16, "norms must be (16,)");
    require(std::isfinite(stretch) && std::ranges::all_of(span(levels), is_finite) &&
                std::ranges::all_of(span(norms), is_finite),
            "levels, stretch and norms must be finite");
    require(length(factors) == 256, "factors must be (256,)");
    require(cells.shape(1) == leaves.shape(1) && cells.shape(1) == groups.shape(1),
            "groups, cells and leaves must have one dim");
    require(cell_groups.shape(0) == cells.shape(0), "cell_groups must be (n_cells,)");
    require(leaf_cells.shape(0) == leaves.shape(0), "leaf_cells must be (n_leaves,)");
    require(length(cells) <= kCells, "there must be at most 65,536 cells");
    check_groups(cell_groups, length(groups), "groups", name);
    check_groups(leaf_cells, length(cells), "cells", name);

    CodecHandle handle;
    Codec& codec = handle.view;
    codec.bits = bits;
    codec.groups = vectors(groups, group_scales);
    codec.cells = vectors(cells, cell_scales);
    codec.leaves = vectors(leaves, leaf_scales);
    codec.cell_groups = cell_groups.data();
    codec.by_group = Grouped(cell_groups.data(), length(cells), length(groups));
    codec.by_cell = Grouped(leaf_cells.data(), length(leaves), length(cells));
    for (int64_t cell = 0; cell < length(cells); ++cell)
        if (const auto n = static_cast<int64_t>(codec.by_cell.members(cell).size()); n > kPlaces)
            damaged(name, "leaves of a cell", kPlaces + 1, n);
    codec.stretch = stretch;
    codec.norms = norms.data();
    codec.residuals = residuals_of(levels.data(), bits, codec.norms);
    codec.factors = factors.data();
    codec.fairness = fairness;
    handle.keep(groups, group_scales, cells, cell_scales, cell_groups, leaves, leaf_scales,
                leaf_cells, norms, factors);
    return handle;
}

SegmentHandle load_settled(In<int64_t, 1> offsets, In<uint32_t, 1> heads, In<uint8_t, 2> codes,
                           In<uint32_t, 1> list_cells, In<uint8_t, 1> list_places,
                           In<int64_t, 1> list_offsets, In<uint16_t, 1> list_gaps,
                           nb::handle codec, std::string name) {
    SegmentHandle handle;
    Segment& segment = handle.view;
    segment.codec = &nb::cast<const CodecHandle&>(codec).view;
    require(codes.shape(0) == heads.shape(0), "heads and codes must have one length");
    require(static_cast<int64_t>(codes.shape(1)) == segment.codec->width(),
            "codes must be (n_tokens, ceil(dim * bits / 8))");
    require(length(list_cells) > 0, "list_cells must be (n + 1,)");
    require(length(list_offsets) == length(list_places) + 1, "list_offsets must be (n_lists + 1,)");
    check_offsets(offsets, length(heads), name);

    segment.name = std::move(name);
    segment.offsets = span(offsets);
    segment.dim = segment.codec->leaves.dim;
    segment.heads = heads.data();
    segment.codes = codes.data();
    segment.lists = {list_cells.data(),   length(list_cells) - 1, list_places.data(),
                     length(list_places), list_offsets.data(),    list_gaps.data(),
                     length(list_gaps)};
    handle.keep(offsets, heads, codes, list_cells, list_places, list_offsets, list_gaps);
    handle.owners.push_back(nb::borrow(codec));
    return handle;
}

using Handles = std::vector<const SegmentHandle*>;

std::vector<const Segment*> views(const Handles& handles) {
    std::vector<const Segment*> segments;
    for (const SegmentHandle* handle : handles) {
        if (!handle) throw nb::type_error("segments must not hold None");
        segments.push_back(&handle->view);
    }
    return segments;
}

int64_t count_rows(Segments segments) {
    int64_t n = 0;
    for (const Segment* segment : segments) n += segment->n_passages();
    return n;
}

void check_dims(const Vectors& query, Segments segments) {
    for (const Segment* segment : segments)
        require(segment->dim == query.dim, "query and segments must have one dim");
}

using Bitmap = std::optional<In<uint8_t, 1>>;

const uint8_t* bits(const Bitmap& allowed, int64_t n_rows) {
    if (!allowed) return nullptr;
    require(length(*allowed) * 8 >= n_rows, "allowed must have a bit for every row");
    return allowed->data();
}

// The parts of api.Probe, in order.
Probe probe_view(const In<uint8_t, 2>& table, const In<uint32_t, 1>& entries,
                 const In<uint32_t, 2>& leaves, const In<float, 2>& scores) {
    const Probe probe{table.data(), entries.data(), leaves.data(), scores.data(), length(table),
                      length(entries), length(leaves), static_cast<int64_t>(leaves.shape(1))};
    require(static_cast<int64_t>(table.shape(1)) == probe.width() &&
                scores.shape(0) == leaves.shape(0) && scores.shape(1) == leaves.shape(1),
            "the parts of a probe must agree in shape");
    require(probe.n_rows > 0, "a probe's table must have a row for what was not seen");
    return probe;
}

void check_probe(const Probe& probe, Segments segments) {
    for (const Segment* segment : segments)
        require(!segment->codec || segment->codec->cells.n <= probe.n_cells,
                "the probe is of another codec");
}

// --- the functions -------------------------------------------------------------------------------

nb::tuple quantise(const Table& table, In<float, 2> matrix, In<int8_t, 2> signs, int n_threads) {
    require(matrix.shape(1) == signs.shape(1), "matrix and signs must have one dim");
    const int64_t n = length(matrix), dim = static_cast<int64_t>(matrix.shape(1));
    Out<int8_t> codes{{n, dim}};
    Out<float> scales{{n}};
    {
        nb::gil_scoped_release release;
        table.quantise(matrix.data(), n, dim, {signs.data(), signs.size()}, codes.data(),
                       scales.data(), n_threads);
    }
    return nb::make_tuple(codes.array(), scales.array());
}

nb::tuple cluster(const Table& table, In<int8_t, 2> codes, In<int64_t, 1> group_offsets,
                  In<int64_t, 1> n_centroids, int n_iterations, int64_t sample, int n_threads) {
    require(group_offsets.shape(0) == n_centroids.shape(0) + 1,
            "group_offsets must be (n_groups + 1,)");
    require(sample > 0, "sample must be positive");
    const auto offsets = span(group_offsets);
    require(offsets.front() >= 0 && offsets.back() <= length(codes), "groups must lie in codes");
    int64_t total = 0;
    for (size_t g = 0; g < n_centroids.shape(0); ++g) {
        const int64_t k = n_centroids.data()[g];
        require(k >= 1 && k <= offsets[g + 1] - offsets[g],
                "a group gets at least one centroid and at most its rows");
        total += k;
    }
    const auto dim = static_cast<int64_t>(codes.shape(1));
    Out<int8_t> centroids{{total, dim}};
    Out<float> scales{{total}};
    {
        nb::gil_scoped_release release;
        table.cluster(codes.data(), dim, group_offsets.data(), span(n_centroids), n_iterations,
                      sample, centroids.data(), scales.data(), n_threads);
    }
    return nb::make_tuple(centroids.array(), scales.array());
}

nb::object assign(const Table& table, In<int8_t, 2> codes, In<int64_t, 1> first,
                  In<int64_t, 1> last, In<int8_t, 2> centroids, In<float, 1> scales,
                  int n_threads) {
    require(first.shape(0) == codes.shape(0) && last.shape(0) == codes.shape(0),
            "first and last must be (n,)");
    const Vectors choice = vectors(centroids, scales);
    require(codes.shape(1) == centroids.shape(1), "codes and centroids must have one dim");
    for (size_t i = 0; i < codes.shape(0); ++i)
        require(0 <= first.data()[i] && first.data()[i] < last.data()[i] &&
                    last.data()[i] <= choice.n,
                "ranges must lie in the centroids and not be empty");
    Out<uint32_t> found{{length(codes)}};
    {
        nb::gil_scoped_release release;
        table.assign(codes.data(), length(codes), first.data(), last.data(), choice, found.data(),
                     n_threads);
    }
    return found.array();
}

nb::tuple encode(const Table& table, In<int8_t, 2> codes, In<float, 1> scales,
                 In<uint32_t, 1> leaves, const CodecHandle& codec, int n_threads) {
    const Vectors tokens = vectors(codes, scales);
    require(tokens.dim == codec.view.leaves.dim, "tokens and codec must have one dim");
    require(length(leaves) == tokens.n, "leaves must be (n,)");
    for (uint32_t leaf : span(leaves))
        if (leaf >= codec.view.leaves.n) throw nb::index_error("leaf id beyond the codec's leaves");
    Out<uint8_t> packed{{tokens.n, codec.view.width()}};
    Out<uint8_t> scale_codes{{tokens.n}};
    {
        nb::gil_scoped_release release;
        table.encode(tokens, leaves.data(), codec.view, packed.data(),
                     scale_codes.data(), n_threads);
    }
    return nb::make_tuple(packed.array(), scale_codes.array());
}

nb::tuple probe(const Table& table, In<int8_t, 2> codes, In<float, 1> scales,
                const CodecHandle& codec, int64_t n_groups, int64_t n_cells, int64_t n_leaves) {
    const Vectors query = vectors(codes, scales);
    require(query.dim == codec.view.cells.dim, "query and codec must have one dim");
    require(n_groups >= 0 && n_cells >= 0 && n_leaves >= 0,
            "n_groups, n_cells and n_leaves must not be negative");
    std::optional<Out<uint8_t>> cosines;
    auto room = [&](int64_t n_rows) {
        cosines.emplace({n_rows, Probe::table_width(query.n)});
        return cosines->data();
    };
    Out<uint32_t> entries{{codec.view.cells.n}};
    const Width width{n_groups, n_cells, n_leaves};
    const int64_t most = width.most_leaves(codec.view.leaves.n);
    Out<uint32_t> leaves{{query.n, most}};
    Out<float> best{{query.n, most}};
    {
        nb::gil_scoped_release release;
        table.probe(
            query, codec.view, width, &room,
            [](void* context, int64_t n) { return (*static_cast<decltype(room)*>(context))(n); },
            entries.data(), leaves.data(), best.data());
    }
    return nb::make_tuple(cosines->array(), entries.array(), leaves.array(), best.array());
}

nb::object walk(const Table& table, In<uint8_t, 2> cosines, In<uint32_t, 1> entries,
               In<uint32_t, 2> leaves, In<float, 2> scores, const Handles& handles, Bitmap allowed,
               int64_t n) {
    const auto segments = views(handles);
    const Probe probe = probe_view(cosines, entries, leaves, scores);
    const int64_t n_rows = count_rows(segments);
    require(n >= 0, "n must not be negative");
    const uint8_t* bitmap = bits(allowed, n_rows);
    Out<uint32_t> rows{{std::min(n, n_rows)}};
    int64_t found = 0;
    {
        nb::gil_scoped_release release;
        found = table.walk(probe, segments, bitmap, n, rows.data());
    }
    rows.cut(found);
    return rows.array();
}

nb::tuple interact(const Table& table, In<uint8_t, 2> cosines, In<uint32_t, 1> entries,
                    In<uint32_t, 2> leaves, In<float, 2> scores, const Handles& handles,
                    In<uint32_t, 1> rows, int64_t n) {
    const auto segments = views(handles);
    const Probe probe = probe_view(cosines, entries, leaves, scores);
    require(n >= 0, "n must not be negative");
    check_probe(probe, segments);
    int64_t first = 0;
    for (const Segment* segment : segments) {
        const int64_t last = first + segment->n_passages();
        const auto inside = [&](uint32_t row) { return first <= row && row < last; };
        require(segment->codec || segment->tokens.n == 0 ||
                    std::ranges::none_of(span(rows), inside),
                "interact needs rows of settled segments");
        first = last;
    }
    Out<uint32_t> best{{std::min(n, length(rows))}}, sums{{std::min(n, length(rows))}};
    {
        nb::gil_scoped_release release;
        table.interact(probe, segments, span(rows), n, best.data(), sums.data());
    }
    return nb::make_tuple(best.array(), sums.array());
}

nb::object score(const Table& table, In<int8_t, 2> codes, In<float, 1> scales,
                 const Handles& handles, In<uint32_t, 1> rows, int n_threads) {
    const Vectors query = vectors(codes, scales);
    const auto segments = views(handles);
    check_dims(query, segments);
    Out<float> scores{{length(rows)}};
    {
        nb::gil_scoped_release release;
        table.score(query, segments, span(rows), scores.data(), n_threads);
    }
    return scores.array();
}

Ranked ranked_view(const In<uint32_t, 1>& rows, const In<float, 1>& expected,
                   const In<int64_t, 1>& owners, int64_t k, int64_t spread) {
    require(length(expected) == length(rows) && length(owners) == length(rows),
            "expected and owners must be (n,)");
    require(k > 0, "k must be positive");
    return {span(rows), expected.data(), owners.data(), k, spread};
}

nb::object refine(const Table& table, In<int8_t, 2> codes, In<float, 1> scales,
                  In<uint8_t, 2> cosines, In<uint32_t, 1> entries, In<uint32_t, 2> leaves,
                  In<float, 2> best, const Handles& handles, In<uint32_t, 1> rows,
                  In<float, 1> expected, In<int64_t, 1> owners, int64_t k, int64_t spread,
                  int n_threads) {
    const Vectors query = vectors(codes, scales);
    const auto segments = views(handles);
    check_dims(query, segments);
    const Probe probe = probe_view(cosines, entries, leaves, best);
    check_probe(probe, segments);
    require(probe.n_tokens == query.n, "the probe is of another query");
    const Ranked ranked = ranked_view(rows, expected, owners, k, spread);
    Out<float> scores{{length(rows)}};
    {
        nb::gil_scoped_release release;
        scores.cut(table.refine(query, probe, segments, ranked, scores.data(), n_threads));
    }
    return scores.array();
}

nb::object score_best(const Table& table, In<int8_t, 2> codes, In<float, 1> scales,
                      const Handles& handles, In<uint32_t, 1> rows, In<float, 1> expected,
                      In<int64_t, 1> owners, int64_t k, int64_t spread, int n_threads) {
    const Vectors query = vectors(codes, scales);
    const auto segments = views(handles);
    check_dims(query, segments);
    const Ranked ranked = ranked_view(rows, expected, owners, k, spread);
    Out<float> scores{{length(rows)}};
    {
        nb::gil_scoped_release release;
        scores.cut(table.score_best(query, segments, ranked, scores.data(), n_threads));
    }
    return scores.array();
}

nb::object scan(const Table& table, In<int8_t, 2> codes, In<float, 1> scales,
                const Handles& handles, Bitmap allowed, int n_threads) {
    const Vectors query = vectors(codes, scales);
    const auto segments = views(handles);
    check_dims(query, segments);
    const int64_t n_rows = count_rows(segments);
    const uint8_t* bitmap = bits(allowed, n_rows);
    Out<float> scores{{n_rows}};
    {
        nb::gil_scoped_release release;
        table.scan(query, segments, bitmap, scores.data(), n_threads);
    }
    return scores.array();
}

nb::object similarities(const Table& table, In<int8_t, 2> codes, In<float, 1> scales,
                        const Handles& handles, int64_t row) {
    const Vectors query = vectors(codes, scales);
    const auto segments = views(handles);
    check_dims(query, segments);
    int64_t ordinal = row;
    for (const Segment* segment : segments) {
        if (row >= 0 && ordinal < segment->n_passages()) {
            const auto at = static_cast<size_t>(ordinal);
            Out<float> cosines{{segment->offsets[at + 1] - segment->offsets[at], query.n}};
            {
                nb::gil_scoped_release release;
                table.similarities(query, *segment, ordinal, cosines.data());
            }
            return cosines.array();
        }
        ordinal -= segment->n_passages();
    }
    no_such_row(row, count_rows(segments));
}

nb::object maxsim(const Table& table, In<float, 2> query, In<float, 2> tokens,
                  In<int64_t, 1> offsets, int n_threads) {
    require(query.shape(1) == tokens.shape(1), "query and tokens must have one dim");
    const auto at = span(offsets);
    require(!at.empty() && at.front() >= 0 && at.back() <= length(tokens),
            "offsets must lie in tokens");
    for (size_t i = 1; i < at.size(); ++i) require(at[i - 1] <= at[i], "offsets must not fall");
    Out<float> scores{{length(offsets) - 1}};
    {
        nb::gil_scoped_release release;
        table.maxsim(query.data(), length(query), tokens.data(),
                     static_cast<int64_t>(query.shape(1)), at, scores.data(), n_threads);
    }
    return scores.array();
}

// --- the module ----------------------------------------------------------------------------------

template <class T>
constexpr bool is_array = false;
template <class... Traits>
constexpr bool is_array<nb::ndarray<Traits...>> = true;

// An array of another type or order is an error: converting it would hide what it costs.
template <class T>
auto argument() {
    if constexpr (is_array<T>) {
        return nb::arg().noconvert();
    } else if constexpr (std::is_same_v<T, Bitmap>) {
        return nb::arg().noconvert().none();
    } else {
        return nb::arg();
    }
}

template <class R, class... Args>
void define(nb::module_& m, const char* name, R (*function)(Args...)) {
    m.def(name, function, argument<std::remove_cvref_t<Args>>()...);
}

template <class R, class... Args>
void define(nb::class_<Table>& table, const char* name, R (*method)(const Table&, Args...)) {
    table.def(name, method, argument<std::remove_cvref_t<Args>>()...);
}

}    // namespace

NB_MODULE(_native, m) {
    m.doc() = "The kernels in C++; use them through interlace.kernels.";
    nb::set_leak_warnings(false);    // tables are cached until the process ends, on purpose

    // The one place that words the error is interlace.kernels.api.
    nb::register_exception_translator([](const std::exception_ptr& thrown, void*) {
        try {
            std::rethrow_exception(thrown);
        } catch (const Damaged& damage) {
            nb::object error = nb::module_::import_("interlace.kernels.api")
                                   .attr("damaged")(damage.name, damage.expected, damage.found);
            PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
        }
    });

    nb::class_<CodecHandle>(m, "Codec");
    nb::class_<SegmentHandle>(m, "Segment");
    define(m, "load_fresh", load_fresh);
    define(m, "load_codec", load_codec);
    define(m, "load_settled", load_settled);

    nb::class_<Table> table(m, "Table");
    table.def_prop_ro("name", [](const Table& self) { return self.name; });
    define(table, "quantise", quantise);
    define(table, "cluster", cluster);
    define(table, "assign", assign);
    define(table, "encode", encode);
    define(table, "probe", probe);
    define(table, "walk", walk);
    define(table, "interact", interact);
    define(table, "score", score);
    define(table, "refine", refine);
    define(table, "score_best", score_best);
    define(table, "scan", scan);
    define(table, "similarities", similarities);
    define(table, "maxsim", maxsim);

    nb::list all;
    for (const Table* each : tables()) all.append(nb::cast(each, nb::rv_policy::reference));
    m.attr("tables") = nb::tuple(all);
}

}    // namespace interlace
