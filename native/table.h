// All kernels for one Isa, as a table. Include it after defining the Isa in the unnamed namespace.
#pragma once

#include "building.h"
#include "probing.h"
#include "scoring.h"
#include "walking.h"

namespace interlace {
namespace {

template <class Isa>
constexpr Table make_table(const char* name) {
    return {
        .name = name,
        .quantise = quantise,
        .cluster = cluster<Isa>,
        .assign = assign<Isa>,
        .encode = encode<Isa>,
        .probe = probe<Isa>,
        .walk = walk,
        .interact = interact,
        .score = score<Isa>,
        .refine = refine<Isa>,
        .score_best = score_best<Isa>,
        .scan = scan<Isa>,
        .similarities = similarities<Isa>,
        .maxsim = maxsim,
    };
}

}    // namespace
}    // namespace interlace
