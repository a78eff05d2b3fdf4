#include "memvid/node_rows.hpp"

#include <cstring>
#include <string>

#include "memvid/error.hpp"

namespace memvid {

namespace {

constexpr char magic[] = {'c', 'o', 'p', 'i', 'e', 's', '\0', '\1'};

[[noreturn]] void damaged(const char* what) {
    throw Error(ErrorCode::format, std::string("the vector index is damaged: ") + what);
}

std::uint32_t load_u32(ByteView bytes, std::size_t i) {
    std::uint32_t value;
    std::memcpy(&value, bytes.data() + 4 * i, sizeof value);
    return value;
}

}  // namespace

NodeRows::NodeRows(ByteView section, std::size_t nodes, std::size_t rows) : rows_(rows) {
    if (nodes == 0 || nodes > rows || rows > UINT32_MAX) damaged("it has more vectors than rows");
    const std::size_t count = rows - nodes;
    if (section.size() != (count == 0 ? 0 : head_bytes + 8 * count)) damaged("its size does not fit its header");
    if (count == 0) return;
    std::uint64_t said;
    std::memcpy(&said, section.data() + sizeof magic, sizeof said);
    if (std::memcmp(section.data(), magic, sizeof magic) != 0 || said != count) damaged("it has no list of copies");
    const ByteView copy_rows = section.subspan(head_bytes, 4 * count), copy_nodes = section.last(4 * count);
    nodes_.reserve(rows);
    first_rows_.reserve(nodes);
    copies_before_.assign(nodes + 1, 0);
    std::size_t copy = 0;
    for (std::size_t row = 0; row < rows; ++row) {
        if (copy < count && load_u32(copy_rows, copy) == row) {
            const std::uint32_t node = load_u32(copy_nodes, copy++);
            if (node >= first_rows_.size()) damaged("a copy is in front of its original");
            nodes_.push_back(node);
            ++copies_before_[node + 1];
        } else {
            if (first_rows_.size() == nodes) damaged("its copies are not in order");
            nodes_.push_back(static_cast<std::uint32_t>(first_rows_.size()));
            first_rows_.push_back(static_cast<std::uint32_t>(row));
        }
    }
    for (std::size_t node = 0; node < nodes; ++node) copies_before_[node + 1] += copies_before_[node];
    copies_.resize(count);
    std::vector<std::uint32_t> place(copies_before_.begin(), copies_before_.end() - 1);
    for (std::size_t i = 0; i < count; ++i) copies_[place[load_u32(copy_nodes, i)]++] = load_u32(copy_rows, i);
}

}  // namespace memvid
