// The mapped vector index: any bytes, and files of the right sizes whose levels, links and vectors are any.
#include <cstring>

#include "graph_input.hpp"
#include "memvid/error.hpp"

using namespace memvid;
using namespace memvid::fuzzing;

namespace {

enum Mode : std::uint8_t { any_bytes, right_sizes, modes };

void put_links(Bytes& file, Input& input, std::uint32_t room, std::size_t count) {
    const std::uint8_t used = input.u8();
    put(file, used == 0xff ? input.u32() : std::uint32_t{used} % (room + 1));
    for (std::uint32_t i = 0; i < room; ++i) {
        const std::uint8_t row = input.u8();
        put(file, row == 0xff ? input.u32() : static_cast<std::uint32_t>(row % count));
    }
}

// A file that fits its headers; what stands in it is the input's.
Bytes fitting_file(Input& input, std::size_t count, std::size_t copies, std::size_t dim, Scalar scalar) {
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
    put_copies(file, input, copies);
    if (lie < 0x20) file.resize(file.size() - lie);
    if (lie >= 0xf0) file[input.u16() % file.size()] = input.u8();
    return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    const std::uint8_t kind = input.u8();
    const auto mode = static_cast<Mode>(kind % modes);
    const auto scalar = static_cast<Scalar>(input.u8() % 3);
    const std::size_t count = 1 + input.u8() % 32, dim = 1 + input.u8() % 20;
    const std::size_t k = input.u8() % 40, expansion = input.u8(), spare = input.u8() % 20;
    const std::uint8_t shape = kind < 0x80 ? 0 : input.u8();
    const std::size_t copies = (shape & 1) != 0 ? 1 + input.u8() % 8 : 0, rows = count + copies;
    const std::vector<std::uint64_t> bits = {(shape & 2) != 0 ? std::uint64_t{input.u32()} << 16 | input.u16() : 0, 0};
    const RowSet set{bits, std::size_t{shape} % 16};
    const Wanted wanted{(shape & 2) != 0 ? &set : nullptr, (shape & 4) != 0, (shape & 8) != 0 ? expansion % 32 : SIZE_MAX,
                        expansion};
    std::vector<float> query(dim);
    const ByteView given = input.bytes(4 * dim);
    std::memcpy(query.data(), given.data(), given.size() / 4 * 4);
    const Bytes file = mode == any_bytes ? copy_of(input.rest()) : fitting_file(input, count, copies, dim, scalar);
    try {
        const HnswGraph graph(file, rows, dim, scalar, 1);
        check_exact(graph, query, k, rows);
        const auto distinct = graph.exact(query, std::nullopt, k, true, {});
        require(distinct.size() == std::min(k, graph.nodes()), "a distinct search finds a row of each node");
        check(distinct, rows);
        const std::vector<std::int64_t> ends{0, static_cast<std::int64_t>(rows) - 1};
        check(graph.exact(query, ends, 2, false, {}), rows);
        check_nearest(graph, query, k, expansion, spare, wanted, rows);
    } catch (const Error& error) {
        require(error.code() == ErrorCode::format, "a file lies");
    }
    return 0;
}
