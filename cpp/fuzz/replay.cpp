// Runs a target on the files of a folder, without a fuzzer: what was found once stays fixed. A target that has a mutator
// of its own is also run on what that makes of each file.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" [[gnu::weak]] std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                                             unsigned int seed);

// What libFuzzer would change at random.
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t) {
    if (size > 0) data[size / 2] ^= 1;
    return size;
}

namespace {

constexpr std::size_t mutation_bytes = 6144;
constexpr unsigned int mutations = 8;

void run_mutations(const std::vector<std::uint8_t>& bytes) {
    for (unsigned int seed = 0; seed < mutations; ++seed) {
        std::vector<std::uint8_t> changed = bytes;
        changed.resize(std::max(bytes.size(), mutation_bytes));
        changed.resize(LLVMFuzzerCustomMutator(changed.data(), bytes.size(), changed.size(), seed));
        LLVMFuzzerTestOneInput(changed.data(), changed.size());
    }
}

}  // namespace

int main(int count, char** arguments) {
    std::size_t inputs = 0;
    for (int i = 1; i < count; ++i)
        for (const auto& entry : std::filesystem::directory_iterator(arguments[i])) {
            std::ifstream in(entry.path(), std::ios::binary);
            const std::vector<std::uint8_t> bytes{std::istreambuf_iterator<char>(in), {}};
            LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
            if (LLVMFuzzerCustomMutator != nullptr) run_mutations(bytes);
            ++inputs;
        }
    std::printf("%zu inputs\n", inputs);
    return inputs > 0 ? 0 : 1;
}
