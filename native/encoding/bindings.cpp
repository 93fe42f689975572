// The door between Python and the encoder: checks shapes and types, drops the GIL. No arithmetic.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <memory>
#include <string>

#include "model.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace interlace::encoding {
namespace {

template <class T, int N>
using In = nb::ndarray<const T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;

void require(bool holds, const char* what) {
    if (!holds) throw nb::value_error(what);
}

// Arrays by name, as their file has them.
class Arrays {
public:
    explicit Arrays(nb::dict arrays) : arrays_(std::move(arrays)) {}

    template <class T, int N>
    In<T, N> get(const std::string& name) const {
        return nb::cast<In<T, N>>(arrays_[name.c_str()], false);
    }

    std::vector<float> floats(const std::string& name, int64_t n) const {
        const auto found = get<float, 1>(name);
        require(static_cast<int64_t>(found.shape(0)) == n, name.c_str());
        return {found.data(), found.data() + n};
    }

    std::vector<float> floats(const std::string& name, int64_t n, int64_t width) const {
        const auto found = get<float, 2>(name);
        require(static_cast<int64_t>(found.shape(0)) == n &&
                    static_cast<int64_t>(found.shape(1)) == width,
                name.c_str());
        return {found.data(), found.data() + n * width};
    }

    Weights weights(const std::string& name, int64_t n_inputs, int64_t n_outputs, int zero) const {
        const auto codes = get<int8_t, 2>(name);
        require(static_cast<int64_t>(codes.shape(0)) == n_inputs &&
                    static_cast<int64_t>(codes.shape(1)) == n_outputs &&
                    n_inputs % kColumns == 0 && n_outputs % kColumns == 0,
                name.c_str());
        const int8_t* end = codes.data() + codes.size();
        require(std::none_of(codes.data(), end,
                             [](int code) { return code < -kWeightMax || code > kWeightMax; }),
                name.c_str());
        return {codes.data(), floats(name + ".scales", n_outputs), n_inputs, zero};
    }

private:
    nb::dict arrays_;
};

Layer layer(const Arrays& arrays, const std::string& prefix, int64_t hidden) {
    const auto inner = static_cast<int64_t>(arrays.get<int8_t, 2>(prefix + "wide").shape(1));
    const std::string middle = prefix + "attention.output.LayerNorm";
    const std::string end = prefix + "output.LayerNorm";
    return {
        .qkv = arrays.weights(prefix + "qkv", hidden, 3 * hidden, kZero),
        .out = arrays.weights(prefix + "out", hidden, hidden, kZero),
        .wide = arrays.weights(prefix + "wide", hidden, inner, kZero),
        .narrow = arrays.weights(prefix + "narrow", inner, hidden, kZeroOfGelu),
        .qkv_bias = arrays.floats(prefix + "qkv.bias", 3 * hidden),
        .wide_bias = arrays.floats(prefix + "wide.bias", inner),
        .middle_gain = arrays.floats(middle + ".gain", hidden),
        .middle_bias = arrays.floats(middle + ".bias", hidden),
        .end_gain = arrays.floats(end + ".gain", hidden),
        .end_bias = arrays.floats(end + ".bias", hidden),
    };
}

// A model, and the array of its words, which is not copied.
class Encoder {
public:
    Encoder(const std::string& table, int n_layers, nb::dict named) {
        const auto all = tables();
        const auto found = std::find_if(all.begin(), all.end(),
                                        [&](const Table* one) { return one->name == table; });
        require(found != all.end(), "no such table on this machine");
        table_ = *found;
        const Arrays arrays(std::move(named));
        words_ = arrays.get<int8_t, 2>("words");
        model_.words = words_.data();
        model_.n_words = static_cast<int64_t>(words_.shape(0));
        model_.hidden = static_cast<int64_t>(words_.shape(1));
        model_.n_positions = static_cast<int64_t>(arrays.get<float, 2>("positions").shape(0));
        model_.dim = static_cast<int64_t>(arrays.get<float, 2>("projection").shape(1));
        require(model_.hidden % kLanes == 0, "words");
        require(model_.dim % kLanes == 0, "projection");
        model_.word_scales = arrays.floats("words.scales", model_.n_words);
        model_.positions = arrays.floats("positions", model_.n_positions, model_.hidden);
        model_.gain = arrays.floats("embeddings.gain", model_.hidden);
        model_.bias = arrays.floats("embeddings.bias", model_.hidden);
        model_.projection = arrays.floats("projection", model_.hidden, model_.dim);
        for (int i = 0; i < n_layers; ++i)
            model_.layers.push_back(
                layer(arrays, "encoder.layer." + std::to_string(i) + ".", model_.hidden));
        for (const Layer& each : model_.layers)
            require(each.wide.n_outputs == model_.n_inner(), "layers differ in width");
    }

    nb::object run(In<int64_t, 1> ids) const {
        const std::span<const int64_t> given(ids.data(), ids.size());
        require(static_cast<int64_t>(given.size()) <= model_.n_positions, "too many tokens");
        require(std::all_of(given.begin(), given.end(),
                            [&](int64_t id) { return id >= 0 && id < model_.n_words; }),
                "no such token");
        const size_t dim = static_cast<size_t>(model_.dim);
        auto rows = std::make_unique_for_overwrite<float[]>(given.size() * dim);
        {
            nb::gil_scoped_release released;
            if (!given.empty()) table_->run(model_, given, rows.get());
        }
        nb::capsule owner(rows.get(), [](void* p) noexcept { delete[] static_cast<float*>(p); });
        float* data = rows.release();
        return nb::ndarray<nb::numpy, float>(data, {given.size(), dim}, owner).cast();
    }

private:
    const Table* table_;
    Model model_;
    In<int8_t, 2> words_;
};

}    // namespace

NB_MODULE(_encoder, m) {
    m.doc() = "BERT in C++; use it through interlace.models.backends.native.";
    nb::class_<Encoder>(m, "Encoder")
        .def(nb::init<const std::string&, int, nb::dict>(), "table"_a, "n_layers"_a, "arrays"_a)
        .def("run", &Encoder::run, nb::arg().noconvert());
    nb::list names;
    for (const Table* each : tables()) names.append(nb::str(each->name));
    m.attr("NAMES") = nb::tuple(names);
}

}    // namespace interlace::encoding
