// The mapped vector index: any bytes, and files of the right sizes whose levels, links and vectors are any.
#include <cstring>

#include "graph_input.hpp"
#include "memvid/error.hpp"

using namespace memvid;
using namespace memvid::fuzzing;

namespace {

enum Mode : std::uint8_t { any_bytes, right_sizes, modes };

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    const std::uint8_t kind = input.u8();
    const auto mode = static_cast<Mode>(kind % modes);
    const auto scalar = static_cast<Scalar>(input.u8() % 3);
    const std::size_t nodes = 1 + input.u8() % 32, dim = 1 + input.u8() % 20;
    const std::size_t k = input.u8() % 40, expansion = input.u8(), spare = input.u8() % 20;
    const std::uint8_t shape = kind < 0x80 ? 0 : input.u8();
    const std::size_t copies = (shape & 1) != 0 ? 1 + input.u8() % 8 : 0, rows = nodes + copies;
    const std::vector<std::uint64_t> bits = {(shape & 2) != 0 ? std::uint64_t{input.u32()} << 16 | input.u16() : 0, 0};
    const RowSet set{bits, std::size_t{shape} % 16};
    const Wanted wanted{(shape & 2) != 0 ? &set : nullptr, (shape & 4) != 0, (shape & 8) != 0 ? expansion % 32 : SIZE_MAX,
                        expansion};
    std::vector<float> query(dim);
    const ByteView given = input.bytes(4 * dim);
    std::memcpy(query.data(), given.data(), given.size() / 4 * 4);
    const Bytes file = mode == any_bytes ? copy_of(input.rest()) : fitting_usearch(input, {scalar, dim, nodes, copies});
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
