#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include "check.hpp"
#include "memvid/thread_pool.hpp"

using memvid::ThreadPool;

namespace {

struct Cancelled {};

std::size_t sum_of(ThreadPool& pool, std::size_t count) {
    std::atomic<std::size_t> sum{0};
    pool.parallel_for(count, [&](std::size_t i) { sum += i + 1; });
    return sum;
}

}  // namespace

TEST(runs_every_task_once) {
    for (const std::size_t threads : {0, 1, 2, 5}) {
        ThreadPool pool(threads);
        for (const std::size_t count : {0, 1, 2, 3, 1000}) {
            std::vector<std::atomic<int>> runs(count);
            pool.parallel_for(count, [&](std::size_t i) { ++runs[i]; });
            for (const auto& run : runs) CHECK_EQUAL(run.load(), 1);
        }
    }
}

TEST(rethrows_an_exception_of_a_task_and_goes_on_afterwards) {
    ThreadPool pool(3);
    for (int round = 0; round < 50; ++round) {
        std::atomic<std::size_t> ran{0};
        bool thrown = false;
        try {
            pool.parallel_for(200, [&](std::size_t i) {
                ++ran;
                if (i % 7 == 3) throw std::runtime_error("task");
            });
        } catch (const std::runtime_error& error) {
            thrown = std::string(error.what()) == "task";
        }
        CHECK(thrown);
        CHECK(ran <= 200);
        CHECK_EQUAL(sum_of(pool, 100), 5050U);
    }
}

TEST(poll_ends_a_batch_between_the_callers_own_tasks) {
    ThreadPool pool(1);
    std::atomic<std::size_t> ran{0};
    bool cancelled = false;
    std::atomic<unsigned> work{0};
    constexpr std::size_t count = 1 << 22;
    try {
        pool.parallel_for(
            count,
            [&](std::size_t) {
                ++ran;
                for (int i = 0; i < 200; ++i) ++work;
            },
            [] { throw Cancelled{}; });
    } catch (const Cancelled&) {
        cancelled = true;
    }
    CHECK(cancelled);
    CHECK(ran < count);
}

TEST(poll_ends_a_batch_while_the_caller_waits_for_a_worker) {
    ThreadPool pool(2);
    const auto caller = std::this_thread::get_id();
    std::atomic<bool> worker_started{false}, polled{false};
    bool cancelled = false;
    try {
        pool.parallel_for(
            2,
            [&](std::size_t) {
                if (std::this_thread::get_id() == caller) {
                    while (!worker_started) std::this_thread::yield();
                    return;
                }
                worker_started = true;
                while (!polled) std::this_thread::yield();
            },
            [&] {
                polled = true;
                throw Cancelled{};
            });
    } catch (const Cancelled&) {
        cancelled = true;
    }
    CHECK(cancelled);
    CHECK_EQUAL(sum_of(pool, 10), 55U);
}

TEST(no_exception_outlives_its_batch) {
    struct Counted {
        explicit Counted(std::atomic<int>& alive) : alive(&alive) { ++alive; }
        Counted(const Counted& other) : alive(other.alive) { ++*alive; }
        ~Counted() { --*alive; }
        std::atomic<int>* alive;
    };
    // A worker may hold a finished batch for a while: the caller's exception must not be in it any more.
    for (int round = 0; round < 200; ++round) {
        std::atomic<int> alive{0};
        ThreadPool pool(3);
        try {
            pool.parallel_for(20, [&](std::size_t i) {
                if (i == 5) throw Counted(alive);
            });
        } catch (const Counted&) {
        }
        CHECK_EQUAL(alive.load(), 0);
    }
}

TEST(batches_run_nested_and_from_many_threads) {
    ThreadPool pool(4);
    std::atomic<std::size_t> right{0};
    std::vector<std::thread> callers;
    for (int i = 0; i < 8; ++i)
        callers.emplace_back([&] {
            for (int round = 0; round < 40; ++round)
                if (sum_of(pool, 100) == 5050) ++right;
        });
    for (auto& caller : callers) caller.join();
    CHECK_EQUAL(right.load(), 8U * 40U);

    std::atomic<std::size_t> nested{0};
    pool.parallel_for(20, [&](std::size_t) { nested += sum_of(pool, 20); });
    CHECK_EQUAL(nested.load(), 20U * 210U);
}

TEST(a_fork_runs_batches_alone_and_ends) {
    auto* pool = new ThreadPool(4);
    CHECK_EQUAL(sum_of(*pool, 1000), 500500U);
    const pid_t child = ::fork();
    if (child == 0) {
        const bool right = sum_of(*pool, 1000) == 500500U;
        delete pool;  // waits for nobody: the workers are the parent's
        ::_exit(right ? 0 : 1);
    }
    int status = -1;
    CHECK_EQUAL(::waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_EQUAL(sum_of(*pool, 1000), 500500U);
    delete pool;
}

TEST(there_is_a_core) { CHECK(memvid::available_cores() >= 1); }
