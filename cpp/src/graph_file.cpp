#include "memvid/graph_file.hpp"

#include <algorithm>

namespace memvid {

namespace {

constexpr std::size_t polled_nodes = 1 << 14;

// usearch's words for what is in a file.
constexpr std::uint16_t usearch_version[] = {2, 26, 6};
constexpr std::uint8_t cosine_metric = 'c', u64_keys = 14, u32_slots = 15;
constexpr std::size_t padding_bytes = 22;

std::uint8_t scalar_kind(Scalar scalar) { return scalar == Scalar::i8 ? 23 : scalar == Scalar::f16 ? 12 : 11; }

// Little endian numbers, one behind the other.
class NumberWriter {
public:
    explicit NumberWriter(OutputFile& file) : file_(file) {}

    template <typename T>
    void put(T value) {
        file_.append({reinterpret_cast<const std::uint8_t*>(&value), sizeof value});
    }

private:
    OutputFile& file_;
};

void write_head(NumberWriter& out, const DistinctRows& rows) {
    for (const char letter : {'u', 's', 'e', 'a', 'r', 'c', 'h'}) out.put(letter);
    for (const auto number : usearch_version) out.put(number);
    for (const auto kind : {cosine_metric, scalar_kind(rows.products().scalar()), u64_keys, u32_slots}) out.put(kind);
    const std::uint64_t counts[] = {rows.nodes(), 0, rows.products().dim()};  // there, deleted, dimensions
    for (const auto number : counts) out.put(number);
    out.put(std::uint8_t{0});  // a key has one vector
    for (std::size_t i = 0; i < padding_bytes; ++i) out.put(std::uint8_t{0});
}

void write_lists(NumberWriter& out, const GraphLinks& links, std::uint32_t node) {
    for (std::size_t level = 0; level <= links.level(node); ++level) {
        const auto neighbours = links.neighbours(node, level);
        out.put(static_cast<std::uint32_t>(neighbours.size()));
        for (const auto neighbour : neighbours) out.put(neighbour);
        for (std::size_t i = neighbours.size(); i < links.room(level); ++i) out.put(std::uint32_t{0});
    }
}

}  // namespace

void write_copies(OutputFile& file, const DistinctRows& rows) {
    NumberWriter out(file);
    if (rows.copies().empty()) return;
    for (const char letter : {'c', 'o', 'p', 'i', 'e', 's', '\0', '\1'}) out.put(letter);
    out.put(std::uint64_t{rows.copies().size()});
    for (const Copy& copy : rows.copies()) out.put(copy.row);
    for (const Copy& copy : rows.copies()) out.put(copy.node);
}

void write_graph(OutputFile& file, const DistinctRows& rows, const GraphLinks& links,
                 const std::function<std::uint64_t(std::size_t)>& key, const Poll& poll) {
    const auto nodes = static_cast<std::uint32_t>(rows.nodes());
    const auto each_node = [&](const std::function<void(std::uint32_t)>& write) {
        for (std::uint32_t node = 0; node < nodes; ++node) {
            if (poll && node % polled_nodes == 0) poll();
            write(node);
        }
    };
    NumberWriter out(file);
    out.put(nodes);
    out.put(static_cast<std::uint32_t>(rows.products().row_bytes()));
    each_node([&](std::uint32_t node) { file.append({rows.row(node), rows.products().row_bytes()}); });
    write_head(out, rows);
    const std::uint64_t graph[] = {nodes, links.connectivity(), links.room(0), links.top_level(), links.entry()};
    for (const auto number : graph) out.put(number);
    for (std::uint32_t node = 0; node < nodes; ++node) out.put(static_cast<std::int16_t>(links.level(node)));
    auto copy = rows.copies().begin();
    std::size_t row = 0;
    each_node([&](std::uint32_t node) {
        for (; copy != rows.copies().end() && copy->row == row; ++copy) ++row;
        out.put(key(row++));
        out.put(static_cast<std::int16_t>(links.level(node)));
        write_lists(out, links, node);
    });
    write_copies(file, rows);
    file.sync();
}

}  // namespace memvid
