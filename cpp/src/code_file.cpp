#include "memvid/code_file.hpp"

#include <cstring>
#include <string>
#include <vector>

#include "memvid/error.hpp"
#include "memvid/graph_file.hpp"

namespace memvid {

namespace {

constexpr char magic[] = {'M', 'V', 'C', 'O', 'D', 'E', 'S', '1'};
constexpr std::size_t codes_at = 128;
constexpr std::size_t polled_nodes = 1 << 14;

struct Head {
    char name[sizeof magic];
    std::uint32_t bits, dim;
    std::uint64_t nodes, connectivity, top_level, entry, upper_lists, base_links, upper_links;
};
static_assert(sizeof(Head) == 72);

[[noreturn]] void damaged(const char* what) {
    throw Error(ErrorCode::format, std::string("the vector index is damaged: ") + what);
}

// Numbers of a few bits each, one after the other.
class BitWriter {
public:
    BitWriter(OutputFile& file, std::size_t bits) : file_(file), bits_(bits) {}

    void put(std::uint32_t number) {
        word_ |= std::uint64_t{number} << used_;
        for (used_ += bits_; used_ >= 8; used_ -= 8, word_ >>= 8) put_byte();
    }

    void finish() {
        if (used_ > 0) put_byte();
        used_ = word_ = 0;
    }

private:
    void put_byte() {
        const auto byte = static_cast<std::uint8_t>(word_);
        file_.append({&byte, 1});
    }

    OutputFile& file_;
    std::size_t bits_, used_ = 0;
    std::uint64_t word_ = 0;
};

template <typename Take>
void each_upper_list(const GraphLinks& links, std::size_t nodes, Take take) {
    for (std::uint32_t node = 0; node < nodes; ++node)
        for (std::size_t level = 1; level <= links.level(node); ++level) take(links.neighbours(node, level));
}

NodeLinks::PackedCounts counts_of(const GraphLinks& links, std::size_t nodes) {
    NodeLinks::PackedCounts counts{};
    for (std::uint32_t node = 0; node < nodes; ++node) counts.base_links += links.neighbours(node, 0).size();
    each_upper_list(links, nodes, [&](std::span<const std::uint32_t> list) {
        ++counts.upper_lists;
        counts.upper_links += list.size();
    });
    return counts;
}

void write_links(OutputFile& file, const GraphLinks& links, std::size_t nodes) {
    const auto put_byte = [&](std::size_t value) {
        const auto byte = static_cast<std::uint8_t>(value);
        file.append({&byte, 1});
    };
    for (std::uint32_t node = 0; node < nodes; ++node) put_byte(links.level(node));
    for (std::uint32_t node = 0; node < nodes; ++node) put_byte(links.neighbours(node, 0).size());
    each_upper_list(links, nodes, [&](std::span<const std::uint32_t> list) { put_byte(list.size()); });
    BitWriter out(file, NodeLinks::link_bits(nodes));
    for (std::uint32_t node = 0; node < nodes; ++node)
        for (const auto neighbour : links.neighbours(node, 0)) out.put(neighbour);
    each_upper_list(links, nodes, [&](std::span<const std::uint32_t> list) {
        for (const auto neighbour : list) out.put(neighbour);
    });
    out.finish();
    file.append(Bytes(NodeLinks::packed_padding));
}

}  // namespace

CodeFile read_codes(ByteView file, const RowCoder& coder, Scalar scalar) {
    if (file.size() < codes_at) damaged("it is too short");
    Head head;
    std::memcpy(&head, file.data(), sizeof head);
    if (std::memcmp(head.name, magic, sizeof magic) != 0 || head.bits != code_bits(scalar) || head.dim != coder.dim())
        damaged("it has no codes of this kind");
    for (std::size_t i = sizeof head; i < codes_at; ++i)
        if (file[i] != 0) damaged("there is something behind its header");
    file = file.subspan(codes_at);
    // Divided, not multiplied: no product overflows, whatever a header claims.
    if (head.nodes == 0 || head.nodes > UINT32_MAX / 2 || file.size() / coder.row_bytes() < head.nodes)
        damaged("it is too short");
    CodeFile found;
    found.nodes = static_cast<std::size_t>(head.nodes);
    found.codes = file.first(found.nodes * coder.row_bytes());
    file = file.subspan(found.codes.size());
    if (head.connectivity == 0) {
        if ((head.top_level | head.entry | head.upper_lists | head.base_links | head.upper_links) != 0)
            damaged("it has links and has none");
        found.copies = file;
        return found;
    }
    const NodeLinks::PackedCounts counts{head.upper_lists, head.base_links, head.upper_links};
    const std::uint64_t bytes = NodeLinks::packed_bytes(found.nodes, counts);
    if (head.connectivity > NodeLinks::most_packed_links / 2 || head.entry >= head.nodes || head.top_level > UINT8_MAX ||
        bytes > file.size())
        damaged("its header does not fit it");
    found.links = NodeLinks::packed({found.nodes, 2 * head.connectivity, head.connectivity, head.top_level,
                                     static_cast<std::uint32_t>(head.entry)},
                                    counts, file.first(bytes));
    found.copies = file.subspan(bytes);
    return found;
}

void write_codes(OutputFile& file, const RowCoder& coder, Scalar scalar, const DistinctRows& rows,
                 std::span<const float> factors, const GraphLinks* links, const Poll& poll) {
    Head head{};
    std::memcpy(head.name, magic, sizeof magic);
    head.bits = static_cast<std::uint32_t>(code_bits(scalar));
    head.dim = static_cast<std::uint32_t>(coder.dim());
    head.nodes = rows.nodes();
    if (links != nullptr) {
        const auto counts = counts_of(*links, rows.nodes());
        if (NodeLinks::packed_bytes(rows.nodes(), counts) == UINT64_MAX)
            throw Error(ErrorCode::config, "no index of this profile has more than four billion links");
        head.connectivity = links->connectivity();
        head.top_level = links->top_level();
        head.entry = links->entry();
        head.upper_lists = counts.upper_lists;
        head.base_links = counts.base_links;
        head.upper_links = counts.upper_links;
    }
    Bytes start(codes_at);
    std::memcpy(start.data(), &head, sizeof head);
    file.append(start);
    Bytes packed(coder.row_bytes());
    for (std::uint32_t node = 0; node < rows.nodes(); ++node) {
        if (poll && node % polled_nodes == 0) poll();
        coder.pack({reinterpret_cast<const std::int8_t*>(rows.row(node)), coder.size()}, factors[node], packed);
        file.append(packed);
    }
    if (links != nullptr) write_links(file, *links, rows.nodes());
    write_copies(file, rows);
    file.sync();
}

}  // namespace memvid
