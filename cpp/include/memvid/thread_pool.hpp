// A pool for short batches. The calling thread works too, so a batch finishes even when no worker is free, or when the
// workers were left behind in the parent of a fork.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace memvid {

// Called by the thread that waits for a batch, a few times a second; what it throws ends the batch.
using Poll = std::function<void()>;

class ThreadPool {
public:
    // `threads` counts the caller: 1 starts no worker. Where the system refuses a thread, fewer do the work.
    explicit ThreadPool(std::size_t threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    std::size_t threads() const { return threads_; }

    // Runs task(i) for every i in [0, count) on the caller and the workers, and returns when all are done. The first
    // exception (of a task or of `poll`) stops further ones from starting and is rethrown here. Safe to call from many
    // threads at once, and from inside a task.
    void parallel_for(std::size_t count, const std::function<void(std::size_t)>& task, const Poll& poll = {});

private:
    struct Batch;
    struct Workers;

    const std::size_t threads_;
    const long owner_process_;
    std::unique_ptr<Workers> workers_;
};

// The cores this process may run on, at least 1.
std::size_t available_cores();

}  // namespace memvid
