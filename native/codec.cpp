// What a codec is prepared with when it is loaded.
#include "kernels.h"

namespace interlace {

// A counting sort, so that a cell's leaves keep their order.
void Codec::group_leaves() {
    const auto n_cells = static_cast<size_t>(cells.n), n_leaves = static_cast<size_t>(leaves.n);
    cell_offsets.assign(n_cells + 1, 0);
    for (size_t leaf = 0; leaf < n_leaves; ++leaf) ++cell_offsets[leaf_cells[leaf] + 1];
    for (size_t cell = 0; cell < n_cells; ++cell) cell_offsets[cell + 1] += cell_offsets[cell];
    cell_leaves.resize(n_leaves);
    std::vector<int64_t> next(cell_offsets.begin(), cell_offsets.end() - 1);
    for (size_t leaf = 0; leaf < n_leaves; ++leaf)
        cell_leaves[static_cast<size_t>(next[leaf_cells[leaf]]++)] = static_cast<uint32_t>(leaf);
}

}    // namespace interlace
