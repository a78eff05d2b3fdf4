// From page to chunk: headers, lengths, zstd, the cache, and the reader that many threads share.
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <thread>

#include "check.hpp"
#include "fixtures.hpp"
#include "memvid/chunk_reader.hpp"
#include "memvid/frame_reader.hpp"

using namespace memvid;
using namespace memvid::testing;

namespace {

constexpr std::uint32_t tag = 0x1234abcd;

void store_le(Bytes& out, std::uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

// A sealed data page without compression; lengths under 128.
Bytes data_page(std::uint32_t number, std::uint64_t first_chunk, const std::vector<std::string>& texts) {
    Bytes page = {page_magic[0], page_magic[1], page_magic[2], page_format_versions.back()};
    store_le(page, static_cast<std::uint64_t>(PageKind::data), 1);
    store_le(page, 0, 1);  // flags
    store_le(page, texts.size(), 2);
    store_le(page, tag, 4);
    store_le(page, number, 4);
    store_le(page, first_chunk, 8);
    Bytes body;
    for (const auto& text : texts) body.insert(body.end(), {static_cast<std::uint8_t>(text.size()), 0});
    for (const auto& text : texts) body.insert(body.end(), text.begin(), text.end());
    store_le(page, crc32(body, crc32(page)), 4);
    page.insert(page.end(), body.begin(), body.end());
    return page;
}

std::string text_of(std::int64_t id) { return "text of chunk " + std::to_string(id) + std::string(id % 40, '.'); }

// `pages` pages of three chunks each.
DataFrames write_chunks(const std::string& path, std::size_t pages) {
    std::vector<Bytes> payloads;
    DataFrames table;
    for (std::size_t i = 0; i < pages; ++i) {
        const auto first = static_cast<std::int64_t>(3 * i);
        payloads.push_back(data_page(static_cast<std::uint32_t>(i), static_cast<std::uint64_t>(first),
                                     {text_of(first), text_of(first + 1), text_of(first + 2)}));
        table.frames.push_back(static_cast<std::int64_t>(i));
        table.first_chunks.push_back(first);
        table.counts.push_back(3);
        table.runs.push_back(1);
        table.bare.push_back(0);
    }
    write_video(path, payloads, options(12), {});
    return table;
}

bool right(const FoundChunk& chunk, std::int64_t id) {
    return chunk.whole && std::string(chunk.text.begin(), chunk.text.end()) == text_of(id) && chunk.metadata.empty();
}

// The chunks in the order of `ids`.
std::vector<FoundChunk> read(const ChunkReader& reader, const std::vector<std::int64_t>& ids) {
    const auto batch = reader.read(ids, {}, {});
    std::vector<FoundChunk> found;
    for (const auto slot : batch.slots) found.push_back(batch.chunks[slot]);
    return found;
}

Bytes body_of(std::initializer_list<int> bytes) {
    Bytes body;
    for (const int byte : bytes) body.push_back(static_cast<std::uint8_t>(byte));
    return body;
}

}  // namespace

TEST(each_version_of_a_page_knows_its_kinds) {
    for (const std::uint8_t version : page_format_versions)
        for (int kind = 0; kind < 256; ++kind) {
            Bytes page = data_page(0, 0, {"text"});
            page[3] = version;
            page[4] = static_cast<std::uint8_t>(kind);
            const auto last = static_cast<int>(version == 1 ? PageKind::attributes : PageKind::metadata);
            CHECK(parse_page_header(page).has_value() == (kind <= last));
        }
    Bytes newer = data_page(0, 0, {"text"});
    newer[3] = page_format_versions.back() + 1;
    CHECK(!parse_page_header(newer));
}

TEST(lengths_describe_the_body_exactly) {
    const auto page = RecordPage::open(body_of({1, 2, 0, 0, 'a', 'b', 'c'}), 2);
    CHECK(page.has_value());
    CHECK_EQUAL(page->size(), 2U);
    CHECK_EQUAL(page->text(0).size(), 1U);
    CHECK_EQUAL(page->metadata(0).size(), 2U);
    CHECK_EQUAL(page->text(1).size(), 0U);
    CHECK(RecordPage::open({}, 0).has_value());
    for (const auto& wrong :
         {body_of({1, 2, 0, 0, 'a', 'b'}), body_of({1, 2, 0, 0, 'a', 'b', 'c', 'd'}), body_of({1, 2, 0}), body_of({}),
          body_of({0x81, 0x00, 2, 0, 0, 'a', 'b', 'c'}), body_of({0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 'a'}),
          body_of({0xff, 0xff, 0xff, 0xff, 0x1f, 0, 0, 0, 'a'}), body_of({0x80, 0x80, 0x80, 0x80, 0x80, 1, 0, 0, 0})})
        CHECK(!RecordPage::open(wrong, 2).has_value());
}

TEST(any_body_is_opened_or_refused) {
    Random random(3);
    for (int i = 0; i < 200000; ++i) {
        const std::size_t count = random.below(6);
        const auto page = RecordPage::open(random.bytes(random.below(40)), count);
        if (!page) continue;
        CHECK_EQUAL(page->size(), count);
        std::size_t total = 0;
        for (std::size_t slot = 0; slot < count; ++slot) total += page->text(slot).size() + page->metadata(slot).size();
        CHECK(total < 40);
    }
}

TEST(any_zstd_frame_is_opened_or_refused) {
    // A raw block of "hello" in a frame that states its size.
    const Bytes sound = body_of({0x28, 0xb5, 0x2f, 0xfd, 0x20, 5, 0x29, 0, 0, 'h', 'e', 'l', 'l', 'o'});
    const Decompressor plain{std::nullopt};
    CHECK(plain.decompress(sound, false) == to_bytes("hello"));
    CHECK(!plain.decompress(sound, true));
    CHECK(!plain.decompress({}, false));
    Random random(4);
    for (int i = 0; i < 50000; ++i) {
        Bytes changed = sound;
        for (std::size_t k = random.below(4); k < 4; ++k)
            changed[random.below(changed.size())] = static_cast<std::uint8_t>(random.next());
        if (random.below(3) == 0) changed.pop_back();
        const auto body = plain.decompress(changed, false);
        CHECK(!body || body->size() <= max_body_bytes);
    }
    CHECK_ERROR(format, Decompressor{ByteView(sound)});
}

TEST(the_cache_keeps_what_was_used_last) {
    const auto page = std::make_shared<const RecordPage>(RecordPage::bare(Bytes(1000)));
    PageCache cache(4000);
    for (std::size_t number = 0; number < 3; ++number) cache.put(number, page);
    CHECK(cache.get(0));
    cache.put(3, page);
    CHECK(!cache.get(1));
    CHECK(cache.get(0) && cache.get(2) && cache.get(3));
    CHECK_EQUAL(cache.stats().hits, 4U);
    CHECK_EQUAL(cache.stats().misses, 1U);
    CHECK(cache.stats().nbytes <= 4000);
    cache.put(3, page);
    CHECK_EQUAL(cache.stats().pages, 3U);
    cache.put(4, std::make_shared<const RecordPage>(RecordPage::bare(Bytes(5000))));
    CHECK(!cache.get(4));
    cache.clear();
    CHECK_EQUAL(cache.stats().nbytes, 0U);
    CHECK(!cache.get(0));
}

TEST(a_cache_is_shared_between_threads) {
    PageCache cache(20000);
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (std::uint64_t seed = 0; seed < 8; ++seed)
        threads.emplace_back([&, seed] {
            Random random(seed);
            for (int round = 0; round < 4000; ++round) {
                const std::size_t number = random.below(40);
                if (const auto page = cache.get(number))
                    wrong += page->text(0).size() != 500 + number;
                else
                    cache.put(number, std::make_shared<const RecordPage>(RecordPage::bare(Bytes(500 + number))));
                if (round % 500 == 0) cache.clear();
                wrong += cache.stats().nbytes > 20000;
            }
        });
    for (auto& thread : threads) thread.join();
    CHECK_EQUAL(wrong.load(), 0);
}

TEST(chunks_come_in_the_order_asked_for) {
    const TemporaryFolder folder;
    const auto path = folder.file("chunks.mp4");
    const auto table = write_chunks(path, 9);
    const FrameReader video(path, 2);
    const ChunkReader reader(video, table, tag, std::nullopt, 0);
    const std::vector<std::int64_t> ids = {26, 0, 13, 27, 0, 12, -1};
    const auto found = read(reader, ids);
    for (const std::size_t i : {0, 1, 2, 4, 5}) CHECK(right(found[i], ids[i]));
    for (const std::size_t i : {3, 6}) CHECK(!found[i].whole && found[i].frame == -1);
    CHECK_EQUAL(video.counters().frames, 3U);

    const ChunkReader of_another_memory(video, table, tag + 1, std::nullopt, 0);
    CHECK(!read(of_another_memory, ids)[0].whole);
    auto short_table = table;
    short_table.runs.pop_back();
    CHECK_ERROR(config, ChunkReader(video, short_table, tag, std::nullopt, 0));
    auto wide_table = table;
    wide_table.runs.back() = 2;
    CHECK_ERROR(config, ChunkReader(video, wide_table, tag, std::nullopt, 0));
    for (const std::int64_t first : {std::int64_t{2}, std::int64_t{-1}, std::numeric_limits<std::int64_t>::max() - 2}) {
        auto unsorted_table = table;
        unsorted_table.first_chunks.back() = first;
        CHECK_ERROR(config, ChunkReader(video, unsorted_table, tag, std::nullopt, 0));
    }
    auto last_table = table;
    last_table.first_chunks.back() = std::numeric_limits<std::int64_t>::max() - 3;
    const std::vector<std::int64_t> last_id = {std::numeric_limits<std::int64_t>::max()};
    CHECK_EQUAL(read(ChunkReader(video, last_table, tag, std::nullopt, 0), last_id)[0].frame, -1);
}

TEST(a_call_takes_no_more_than_it_may) {
    const TemporaryFolder folder;
    const auto path = folder.file("chunks.mp4");
    const auto table = write_chunks(path, 9);
    const FrameReader video(path, 2);
    const ChunkReader reader(video, table, tag, std::nullopt, 1 << 20);
    const std::vector<std::int64_t> ids = {26, 0, 26, 1};
    const std::size_t answer = text_of(26).size() + text_of(0).size() + text_of(1).size();  // each of them once
    std::size_t unpacked = 0;
    for (const std::int64_t id : {0, 1, 2, 24, 25, 26}) unpacked += 2 + text_of(id).size();
    CHECK_ERROR(limit, reader.read(ids, {unpacked - 1, answer}, {}));
    reader.clear_cache();
    CHECK_ERROR(limit, reader.read(ids, {unpacked, answer - 1}, {}));
    reader.clear_cache();
    const auto batch = reader.read(ids, {unpacked, answer}, {});
    CHECK_EQUAL(batch.chunks.size(), 3U);
    CHECK((batch.slots == std::vector<std::size_t>{2, 0, 2, 1}));
    CHECK(right(batch.chunks[2], 26));
    reader.read(ids, {0, answer}, {});  // pages of the cache are unpacked already
}

TEST(texts_are_counted_as_python_keeps_them) {
    const TemporaryFolder folder;
    const auto path = folder.file("chunks.mp4");
    const std::vector<std::pair<std::string, std::size_t>> texts = {
        {"abcd", 4}, {"\xc3\xa9t\xc3\xa9", 5}, {"\xe2\x82\xac 1", 6}, {"\xf0\x9f\x90\x8b and", 20}};
    for (const auto& [text, bytes] : texts) {
        write_video(path, {data_page(0, 0, {text})}, options(12), {});
        const FrameReader video(path, 1);
        const ChunkReader reader(video, DataFrames{{0}, {0}, {1}, {1}, {0}}, tag, std::nullopt, 0);
        const std::vector<std::int64_t> ids = {0};
        CHECK(reader.read(ids, {100, bytes}, {}).chunks[0].whole);
        CHECK_ERROR(limit, reader.read(ids, {100, bytes - 1}, {}));
    }
}

TEST(a_bare_text_that_says_it_is_many_chunks_is_refused) {
    const TemporaryFolder folder;
    const auto path = folder.file("chunks.mp4");
    const auto table = write_chunks(path, 2);
    const FrameReader video(path, 1);
    for (const auto& [count, run] : {std::pair{2, 1}, std::pair{60000, 1}, std::pair{0, 1}, std::pair{1, 2}}) {
        auto bare = table;
        bare.frames = {0};
        bare.first_chunks = {0};
        bare.counts = {static_cast<std::uint16_t>(count)};
        bare.runs = {run};
        bare.bare = {1};
        CHECK_ERROR(config, ChunkReader(video, bare, tag, std::nullopt, 0));
    }
}

TEST(a_body_keeps_to_the_limit) {
    const Decompressor plain{std::nullopt};
    for (const std::uint64_t size : {max_body_bytes, max_body_bytes + 1}) {
        Bytes stored = body_of({0x28, 0xb5, 0x2f, 0xfd, 0xe0});
        store_le(stored, size, 8);
        constexpr std::uint64_t block = 1 << 17;  // of one repeated byte
        for (std::uint64_t done = 0; done < size; done += block) {
            const std::uint64_t part = std::min(block, size - done);
            store_le(stored, part << 3 | 2 | (done + part == size ? 1 : 0), 3);
            stored.push_back('x');
        }
        const auto body = plain.decompress(stored, false);
        CHECK_EQUAL(body.has_value(), size <= max_body_bytes);
        if (body) CHECK_EQUAL(body->size(), size);
    }
}

TEST(a_chunk_reader_is_shared_between_threads) {
    const TemporaryFolder folder;
    const auto path = folder.file("chunks.mp4");
    const auto table = write_chunks(path, 40);
    const FrameReader video(path, 2);
    const ChunkReader reader(video, table, tag, std::nullopt, 2000);
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (std::uint64_t seed = 0; seed < 8; ++seed)
        threads.emplace_back([&, seed] {
            Random random(seed);
            for (int round = 0; round < 300; ++round) {
                std::vector<std::int64_t> ids(5);
                for (auto& id : ids) id = static_cast<std::int64_t>(random.below(120));
                const auto found = read(reader, ids);
                for (std::size_t i = 0; i < ids.size(); ++i) wrong += !right(found[i], ids[i]);
                if (round % 100 == 0) reader.clear_cache();
            }
        });
    for (auto& thread : threads) thread.join();
    CHECK_EQUAL(wrong.load(), 0);
    CHECK(reader.cache_stats().hits > 0);
}

TEST(a_forked_process_has_a_cache_of_its_own) {
    const TemporaryFolder folder;
    const auto path = folder.file("chunks.mp4");
    const auto table = write_chunks(path, 4);
    const FrameReader video(path, 2);
    const ChunkReader reader(video, table, tag, std::nullopt, 1 << 20);
    const std::vector<std::int64_t> ids = {1, 10};
    read(reader, ids);
    const pid_t child = ::fork();
    if (child == 0) {
        const bool fresh = reader.cache_stats().pages == 0;
        const auto found = read(reader, ids);
        ::_exit(fresh && right(found[0], 1) && right(found[1], 10) && reader.cache_stats().pages == 2 ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK_EQUAL(status, 0);
}
