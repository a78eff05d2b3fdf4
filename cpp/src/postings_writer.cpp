#include "memvid/postings_writer.hpp"

#include <optional>
#include <string>
#include <vector>

#include "memvid/error.hpp"
#include "memvid/postings.hpp"
#include "postings_encoder.hpp"
#include "sorted_runs.hpp"
#include "term_collector.hpp"

namespace memvid {

namespace {

constexpr std::uint64_t polled_terms = 4096;

}  // namespace

struct PostingsWriter::State {
    struct Run {
        std::uint64_t at, bytes;
    };

    TermCollector memory;
    std::optional<ScratchFile> scratch;
    std::vector<Run> runs;  // in it
};

PostingsWriter::PostingsWriter(std::size_t most_postings, std::size_t most_term_bytes)
    : most_postings_(most_postings), most_term_bytes_(most_term_bytes), state_(std::make_unique<State>()) {}

PostingsWriter::~PostingsWriter() = default;

std::uint32_t PostingsWriter::next_row() {
    if (rows_ == most_rows) throw Error(ErrorCode::limit, "an index has no room for more chunks");
    return rows_++;
}

void PostingsWriter::add(std::string_view text) { state_->memory.add(next_row(), text); }

void PostingsWriter::add_terms(std::span<const std::string_view> terms) { state_->memory.add(next_row(), terms); }

bool PostingsWriter::is_full() const {
    return state_->memory.postings() > most_postings_ || state_->memory.term_bytes() > most_term_bytes_;
}

void PostingsWriter::spill(int descriptor) {
    State& state = *state_;
    if (state.memory.postings() == 0) return;
    if (!state.scratch) state.scratch.emplace(descriptor);
    const Bytes run = state.memory.sorted_run();
    state.memory.clear();
    state.runs.push_back({state.scratch->size(), run.size()});
    state.scratch->append(run);
}

void PostingsWriter::finish(OutputFile& out, const Poll& poll) {
    State& state = *state_;
    MergedRuns merged;
    for (const auto& run : state.runs) merged.add(std::make_unique<RunReader>(*state.scratch, run.at, run.bytes));
    merged.add(std::make_unique<RunReader>(state.memory.sorted_run()));
    state.memory = TermCollector();
    PostingsEncoder encoder(out, rows_, state.scratch ? &*state.scratch : nullptr);
    for (std::uint64_t terms = 0; merged.next_term(); ++terms) {
        encoder.begin(merged.term(), merged.count());
        merged.each_row([&](std::uint32_t row) { encoder.add(row); });
        encoder.end();
        if (terms % polled_terms == 0 && poll) poll();
    }
    encoder.finish();
}

struct SortedPostingsWriter::State {
    PostingsEncoder encoder;
    std::string before;
};

SortedPostingsWriter::SortedPostingsWriter(OutputFile& out, std::uint32_t rows)
    : rows_(rows), state_(new State{PostingsEncoder(out, rows, nullptr), {}}) {}

SortedPostingsWriter::~SortedPostingsWriter() = default;

void SortedPostingsWriter::add(std::string_view term, std::span<const std::int64_t> rows) {
    if (term <= state_->before || term.size() > longest_term || rows.empty())
        throw Error(ErrorCode::config, "a term is out of order, too long, or in no row");
    std::int64_t before = -1;
    for (const auto row : rows) {
        if (row <= before || row >= rows_) throw Error(ErrorCode::config, "rows of a term do not ascend");
        before = row;
    }
    state_->before = term;
    state_->encoder.begin(term, static_cast<std::uint32_t>(rows.size()));
    for (const auto row : rows) state_->encoder.add(static_cast<std::uint32_t>(row));
    state_->encoder.end();
}

void SortedPostingsWriter::finish() { state_->encoder.finish(); }

}  // namespace memvid
