// Throwing lives apart from the kernels, so that what it needs of the standard library is compiled
// once, for every machine.
#include <stdexcept>

#include "kernels.h"

namespace interlace {

void damaged(const std::string& name, const char* what, int64_t below, int64_t found) {
    throw Damaged{name, std::string(what) + " below " + std::to_string(below),
                  std::to_string(found)};
}

void no_such_list(const std::string& name, int64_t last, int64_t begin, int64_t end) {
    throw Damaged{name, "list offsets that rise to " + std::to_string(last),
                  std::to_string(begin) + " … " + std::to_string(end)};
}

void no_such_row(int64_t row, int64_t n_rows) {
    throw std::out_of_range("row " + std::to_string(row) + " of " + std::to_string(n_rows));
}

}    // namespace interlace
