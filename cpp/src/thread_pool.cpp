#include "memvid/thread_pool.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>

#ifdef __linux__
#include <sched.h>
#endif

namespace memvid {

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto poll_interval = std::chrono::milliseconds(50);

}  // namespace

struct ThreadPool::Batch {
    Batch(std::size_t count, const std::function<void(std::size_t)>& task) : count(count), task(task) {}

    // Runs tasks until none is left to start. `after_each` is the caller's poll; a worker has none.
    void run(const Poll& after_each) {
        for (std::size_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) {
            try {
                if (!failed.load(std::memory_order_relaxed)) task(i);
                if (after_each) after_each();
            } catch (...) {
                fail(std::current_exception());
            }
            if (done.fetch_add(1) + 1 == count) {
                const std::lock_guard lock(mutex);
                finished.notify_all();
            }
        }
    }

    void fail(std::exception_ptr exception) {
        const std::lock_guard lock(mutex);
        if (!error) error = std::move(exception);
        failed = true;
    }

    const std::size_t count;
    const std::function<void(std::size_t)>& task;  // outlives the batch's last started task: the caller waits for it
    std::atomic<std::size_t> next{0};
    std::atomic<std::size_t> done{0};
    std::atomic<bool> failed{false};
    std::mutex mutex;
    std::condition_variable finished;
    std::exception_ptr error;
};

ThreadPool::ThreadPool(std::size_t threads) : threads_(std::max<std::size_t>(threads, 1)), owner_process_(::getpid()) {}

ThreadPool::~ThreadPool() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
    const bool forked = ::getpid() != owner_process_;
    for (auto& worker : workers_) {
        if (forked)
            worker.detach();  // these threads stayed with the parent
        else
            worker.join();
    }
}

void ThreadPool::start_workers() {
    while (workers_.size() + 1 < threads_) workers_.emplace_back([this] { work(); });
}

void ThreadPool::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_.wait(lock, [this] { return stopping_ || !batches_.empty(); });
        if (stopping_) return;
        const auto batch = batches_.front();
        if (batch->next.load() >= batch->count) {
            batches_.pop_front();
            continue;
        }
        lock.unlock();
        batch->run({});
        lock.lock();
    }
}

void ThreadPool::parallel_for(std::size_t count, const std::function<void(std::size_t)>& task, const Poll& poll) {
    if (count == 0) return;
    const auto batch = std::make_shared<Batch>(count, task);
    auto last_poll = Clock::now();
    const Poll paced_poll = [&] {
        if (!poll || Clock::now() - last_poll < poll_interval) return;
        last_poll = Clock::now();
        poll();
    };
    if (count > 1 && threads_ > 1 && ::getpid() == owner_process_) {
        {
            const std::lock_guard lock(mutex_);
            start_workers();
            batches_.push_back(batch);
        }
        if (count > 2)
            wake_.notify_all();
        else
            wake_.notify_one();
    }
    batch->run(paced_poll);
    {
        std::unique_lock lock(batch->mutex);
        while (batch->done.load() < count) {
            if (batch->finished.wait_for(lock, poll_interval) != std::cv_status::timeout) continue;
            lock.unlock();
            try {
                paced_poll();
            } catch (...) {
                batch->fail(std::current_exception());
            }
            lock.lock();
        }
    }
    if (batch->error) std::rethrow_exception(batch->error);
}

std::size_t available_cores() {
#ifdef __linux__
    cpu_set_t set;
    if (::sched_getaffinity(0, sizeof set, &set) == 0) return static_cast<std::size_t>(std::max(CPU_COUNT(&set), 1));
#endif
    return std::max<std::size_t>(std::thread::hardware_concurrency(), 1);
}

}  // namespace memvid
