// Files of codes: any bytes; files whose sizes fit, with any levels, links, factors and codes; and files built of any
// vectors, which have to be sound and give back what was put in.
#include "graph_input.hpp"
#include "memvid/error.hpp"
#include "memvid/file.hpp"
#include "memvid/graph_builder.hpp"

using namespace memvid;
using namespace memvid::fuzzing;

namespace {

enum Mode : std::uint8_t { any_bytes, right_sizes, any_vectors, modes };

Bytes saved(GraphBuilder& builder) {
    static const MemoryFile file;
    builder.save(file.path(), {});
    const InputFile written(file.path());
    Bytes bytes(written.size());
    require(written.read_at(0, bytes), "what was written is read");
    return bytes;
}

// Builds a file of any vectors, and another one of its codes: they are to be the same.
Bytes built_file(Input& input, const GraphShape& shape, std::size_t& rows) {
    GraphBuilder builder({shape.dim, shape.scalar, 2 + input.u8() % std::size_t{4}, 16, 1, Instructions::portable});
    Bytes vectors;
    for (std::size_t i = 0; i < shape.rows() * shape.dim; ++i)
        put(vectors, static_cast<std::int16_t>(std::clamp<int>(static_cast<std::int16_t>(input.u16()), -8191, 8191)));
    builder.add(0, vectors, {});
    rows = builder.rows();
    const Bytes file = saved(builder);
    const HnswGraph graph(file, rows, shape.dim, shape.scalar, 1);
    graph.check();
    require(graph.nodes() == builder.nodes(), "a file has the nodes that were built");
    GraphBuilder second({shape.dim, shape.scalar, graph.is_linked() ? graph.links().room() / 2 : 2, 16, 1});
    for (std::uint32_t row = 0; row < rows; ++row)
        second.add_codes(row, graph.matrix().subspan(graph.rows().node(row) * graph.row_bytes(), graph.row_bytes()), {});
    require(saved(second) == file, "codes make the file that they come from");
    return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    auto mode = static_cast<Mode>(input.u8() % modes);
    if (mode == any_vectors && !one_in(32, data, size)) mode = right_sizes;  // building takes longer than all the rest
    const std::uint8_t kind = input.u8();
    const GraphShape shape{kind % 2 == 0 ? Scalar::code4 : Scalar::code1, 1 + input.u8() % std::size_t{140},
                      1 + input.u8() % std::size_t{24}, (kind & 2) != 0 ? 1 + input.u8() % std::size_t{6} : 0};
    const std::size_t k = input.u8() % 40, expansion = input.u8(), spare = input.u8() % 20;
    const std::vector<std::uint64_t> bits = {(kind & 4) != 0 ? std::uint64_t{input.u32()} : 0, 0};
    const RowSet set{bits, std::size_t{kind} % 16};
    const Wanted wanted{(kind & 4) != 0 ? &set : nullptr, (kind & 8) != 0, (kind & 16) != 0 ? expansion % 32 : SIZE_MAX,
                        expansion};
    std::vector<float> query(shape.dim);
    for (auto& value : query) value = static_cast<float>(static_cast<std::int8_t>(input.u8()));
    std::size_t rows = shape.rows();
    bool is_sound = false;
    try {
        Bytes file;
        if (mode == any_vectors) {
            file = built_file(input, shape, rows);
            is_sound = true;
        } else {
            file = mode == any_bytes ? copy_of(input.rest()) : fitting_codes(input, shape);
        }
        const HnswGraph graph(file, rows, shape.dim, shape.scalar, 1);
        check_exact(graph, query, k, rows);
        std::vector<float> decoded(shape.dim);
        graph.decode(static_cast<std::uint32_t>(graph.nodes() - 1), decoded);
        if (graph.is_linked()) check_nearest(graph, query, k, expansion, spare, wanted, rows);
        graph.check();
    } catch (const Error& error) {
        require(!is_sound && error.code() == ErrorCode::format, "a file lies");
    }
    return 0;
}
