// The mapped vector index: any bytes, and files of the right sizes whose levels, links and vectors are any.
#include <cmath>
#include <cstring>

#include "fuzz.hpp"
#include "memvid/error.hpp"
#include "memvid/hnsw_graph.hpp"

using namespace memvid;
using namespace memvid::fuzzing;

namespace {

enum Mode : std::uint8_t { any_bytes, right_sizes, modes };

template <typename T>
void put(Bytes& out, T value) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(&value);
    out.insert(out.end(), bytes, bytes + sizeof value);
}

void put_links(Bytes& file, Input& input, std::uint32_t room, std::size_t count) {
    const std::uint8_t used = input.u8();
    put(file, used == 0xff ? input.u32() : std::uint32_t{used} % (room + 1));
    for (std::uint32_t i = 0; i < room; ++i) {
        const std::uint8_t row = input.u8();
        put(file, row == 0xff ? input.u32() : static_cast<std::uint32_t>(row % count));
    }
}

// A file that fits its headers; what stands in it is the input's.
Bytes fitting_file(Input& input, std::size_t count, std::size_t dim, Scalar scalar) {
    const std::uint32_t base_room = 1 + input.u8() % 8, upper_room = 1 + input.u8() % 4;
    Bytes file, levels(count);
    for (auto& level : levels) level = input.u8() % 4;
    const std::size_t entry = input.u8() % count;
    levels[entry] = *std::max_element(levels.begin(), levels.end());
    const std::uint8_t lie = input.u8();
    put(file, static_cast<std::uint32_t>(count));
    put(file, static_cast<std::uint32_t>(dim * scalar_bytes(scalar)));
    for (std::size_t i = 0; i < count * dim * scalar_bytes(scalar); ++i) file.push_back(input.u8());
    file.resize(file.size() + 64);
    const std::uint64_t head[] = {count, upper_room, base_room, levels[entry], entry};
    for (const auto number : head) put(file, number);
    for (const auto level : levels) put(file, static_cast<std::int16_t>(level));
    for (std::size_t i = 0; i < count; ++i) {
        put(file, static_cast<std::uint64_t>(i));
        put(file, static_cast<std::int16_t>(levels[i]));
        put_links(file, input, base_room, count);
        for (std::uint8_t level = 0; level < levels[i]; ++level) put_links(file, input, upper_room, count);
    }
    if (lie < 0x20) file.resize(file.size() - lie);
    if (lie >= 0xf0) file[input.u16() % file.size()] = input.u8();
    return file;
}

void check(const std::vector<Hit>& hits, std::size_t count) {
    for (std::size_t i = 0; i < hits.size(); ++i) {
        require(hits[i].row < count && std::isfinite(hits[i].score), "a hit is a row with a score");
        require(i == 0 || hits[i - 1].score >= hits[i].score, "hits come best first");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    const auto mode = static_cast<Mode>(input.u8() % modes);
    const auto scalar = static_cast<Scalar>(input.u8() % 3);
    const std::size_t count = 1 + input.u8() % 32, dim = 1 + input.u8() % 20;
    const std::size_t k = input.u8() % 40, expansion = input.u8(), spare = input.u8() % 20;
    std::vector<float> query(dim);
    const ByteView given = input.bytes(4 * dim);
    std::memcpy(query.data(), given.data(), given.size() / 4 * 4);
    const Bytes file = mode == any_bytes ? copy_of(input.rest()) : fitting_file(input, count, dim, scalar);
    try {
        const HnswGraph graph(file, count, dim, scalar, 1);
        const auto all = graph.exact(query, std::nullopt, k, {});
        require(all.size() == std::min(k, count), "an exact search finds as many as there are");
        check(all, count);
        const std::vector<std::int64_t> rows{0, static_cast<std::int64_t>(count) - 1};
        check(graph.exact(query, rows, 2, {}), count);
        for (const auto& hits : graph.nearest(query, k, expansion, spare, {})) {
            require(hits.size() <= k, "a search finds at most k");
            check(hits, count);
        }
    } catch (const Error& error) {
        require(error.code() == ErrorCode::format, "a file lies");
    }
    return 0;
}
