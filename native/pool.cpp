#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "kernels.h"

namespace interlace {

void parallel_for(int64_t n, int n_threads, void* context, void (*run)(void*, int64_t)) {
    std::atomic<int64_t> next = 0;
    std::exception_ptr thrown;
    std::mutex first;

    auto work = [&] {
        try {
            for (int64_t i; (i = next.fetch_add(1)) < n;) run(context, i);
        } catch (...) {
            std::lock_guard lock(first);
            if (!thrown) thrown = std::current_exception();
            next = n;
        }
    };

    std::vector<std::thread> threads;
    for (int64_t i = 1; i < std::min<int64_t>(n, n_threads); ++i) {
        try {
            threads.emplace_back(work);
        } catch (const std::system_error&) {
            break;    // the machine gives no more threads: fewer do the same work
        }
    }
    work();
    for (std::thread& thread : threads) thread.join();
    if (thrown) std::rethrow_exception(thrown);
}

}    // namespace interlace
