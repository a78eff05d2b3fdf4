#include "memvid/thread_pool.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

namespace memvid {

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto poll_interval = std::chrono::milliseconds(50);
constexpr std::size_t max_threads = 1024;

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

    // The error leaves the batch: a worker may be the last to let go of it, and an exception of the caller's language
    // must not die on a thread that its runtime does not know.
    std::exception_ptr take_error() {
        const std::lock_guard lock(mutex);
        return std::exchange(error, nullptr);
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

struct ThreadPool::Workers {
    // Called with the mutex held. The caller works too, so it does not matter when the system refuses a thread.
    void start(std::size_t count) {
        while (threads.size() < count && !refused) {
            try {
                threads.emplace_back([this] { work(); });
            } catch (const std::system_error&) {
                refused = true;
            }
        }
    }

    void stop() {
        {
            const std::lock_guard lock(mutex);
            stopping = true;
        }
        wake.notify_all();
        for (auto& thread : threads) thread.join();
    }

    void work() {
        std::unique_lock lock(mutex);
        for (;;) {
            wake.wait(lock, [this] { return stopping || !batches.empty(); });
            if (stopping) return;
            auto batch = batches.front();
            if (batch->next.load() >= batch->count) {
                batches.pop_front();
                continue;
            }
            lock.unlock();
            batch->run({});
            batch.reset();
            lock.lock();
        }
    }

    std::mutex mutex;
    std::condition_variable wake;
    std::deque<std::shared_ptr<Batch>> batches;
    std::vector<std::thread> threads;
    bool stopping = false;
    bool refused = false;
};

ThreadPool::ThreadPool(std::size_t threads)
    : threads_(std::clamp<std::size_t>(threads, 1, max_threads)),
      owner_process_(::getpid()),
      workers_(std::make_unique<Workers>()) {}

ThreadPool::~ThreadPool() {
    if (::getpid() == owner_process_)
        workers_->stop();
    else
        static_cast<void>(workers_.release());  // a fork's copy: its threads are the parent's, its locks may be held
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
            const std::lock_guard lock(workers_->mutex);
            workers_->start(threads_ - 1);
            workers_->batches.push_back(batch);
        }
        if (count > 2)
            workers_->wake.notify_all();
        else
            workers_->wake.notify_one();
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
    if (auto error = batch->take_error()) std::rethrow_exception(std::move(error));
}

std::size_t available_cores() {
#ifdef __linux__
    cpu_set_t set;
    if (::sched_getaffinity(0, sizeof set, &set) == 0) return static_cast<std::size_t>(std::max(CPU_COUNT(&set), 1));
#endif
    return std::max<std::size_t>(std::thread::hardware_concurrency(), 1);
}

}  // namespace memvid
