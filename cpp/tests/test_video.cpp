#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <thread>

#include "check.hpp"
#include "fixtures.hpp"
#include "memvid/frame_reader.hpp"

using namespace memvid;
using namespace memvid::testing;

namespace {

const Bytes table = to_bytes("a page table");

std::vector<std::int64_t> all_frames(const FrameReader& reader) {
    std::vector<std::int64_t> indices(reader.movie().samples.size());
    std::iota(indices.begin(), indices.end(), 0);
    return indices;
}

std::vector<Bytes> make_pages(std::size_t count, std::size_t size = 40) {
    std::vector<Bytes> pages;
    for (std::size_t i = 0; i < count; ++i) pages.push_back(make_page(size, i));
    return pages;
}

std::vector<std::uint32_t> sums_of(const std::vector<Bytes>& pages) {
    std::vector<std::uint32_t> sums;
    for (const auto& page : pages) sums.push_back(page_sum(page));
    return sums;
}

// A video of symbols as they are given, damaged or not.
void write_symbols(const std::string& path, int version, const std::vector<Symbol>& symbols) {
    const auto geometry = frame_geometry(version);
    PngEncoder encoder;
    OutputFile file(path);
    Mp4Writer writer(file, geometry.width, geometry.height, 30);
    for (const auto& symbol : symbols) writer.append(encoder.encode(symbol, geometry));
    writer.finish(table);
    file.sync();
    file.close();
}

// Reads everything there is; whatever the file holds, it is an Error or a status.
void read_hostile(const std::string& path) {
    try {
        FrameReader reader(path, 1);
        if (reader.movie().samples.size() > 1000) return;  // sound, but too long for so many rounds
        for (const auto decoder : {Decoder::automatic, Decoder::corrected})
            reader.read(all_frames(reader), decoder, {});
        if (!reader.movie().samples.empty()) reader.read_pixels(0);
    } catch (const Error&) {
    }
}

}  // namespace

TEST(videos_of_any_length_come_back) {
    const TemporaryFolder folder;
    const std::string path = folder.file("a.mp4");
    for (const std::size_t count : {0, 1, 2, 255, 256, 257, 512, 513}) {
        const auto pages = make_pages(count);
        write_video(path, pages, options(3), table);
        FrameReader reader(path, 2);
        const Movie& movie = reader.movie();
        CHECK_EQUAL(movie.codec, "png");
        CHECK_EQUAL(movie.width, frame_geometry(3).width);
        CHECK_EQUAL(movie.height, frame_geometry(3).height);
        CHECK(count == 0 || movie.frames_per_second == 30);
        CHECK_EQUAL(movie.samples.size(), count);
        CHECK(movie.page_table == table);
        CHECK_EQUAL(reader.file_size(), std::filesystem::file_size(path));
        reader.expect(sums_of(pages));
        const auto batch = reader.read(all_frames(reader), Decoder::automatic, {});
        for (std::size_t i = 0; i < count; ++i) {
            CHECK(batch.results[i].status == FrameStatus::ok);
            CHECK(batch.results[i].payload == pages[i]);
        }
        CHECK_EQUAL(reader.counters().fast, count);
        CHECK_EQUAL(reader.counters().frames, count);
    }
}

TEST(the_same_payloads_make_the_same_bytes) {
    const TemporaryFolder folder;
    const auto pages = make_pages(30, 100);
    auto one = options(6), many = options(6);
    one.threads = 1;
    many.threads = 4;
    write_video(folder.file("a.mp4"), pages, one, table);
    write_video(folder.file("b.mp4"), pages, many, table);
    CHECK(load(folder.file("a.mp4")) == load(folder.file("b.mp4")));
}

TEST(the_corrected_decoder_counts_as_such) {
    const TemporaryFolder folder;
    const auto pages = make_pages(5);
    write_video(folder.file("a.mp4"), pages, options(3), table);
    const FrameReader reader(folder.file("a.mp4"), 2);
    const std::int64_t wanted[] = {4, 0, 4};
    const auto batch = reader.read(wanted, Decoder::corrected, {});
    CHECK(batch.results[batch.plan.slots[0]].payload == pages[4]);
    CHECK(batch.results[batch.plan.slots[1]].payload == pages[0]);
    CHECK_EQUAL(reader.counters().corrected, 2U);
    CHECK_EQUAL(reader.counters().fast, 0U);
}

TEST(frames_are_read_from_the_samples_that_they_are_placed_at) {
    const TemporaryFolder folder;
    const auto pages = make_pages(5);
    write_video(folder.file("a.mp4"), pages, options(3), table);
    FrameReader reader(folder.file("a.mp4"), 2);
    reader.expect(sums_of(pages));
    reader.place({3, -1, 0, 3});
    CHECK_EQUAL(reader.frame_count(), 4U);
    CHECK(reader.read_pixels(1).empty());
    const std::int64_t wanted[] = {0, 1, 2, 3};
    for (const bool expecting : {false, true}) {
        if (expecting) reader.expect({page_sum(pages[3]), page_sum(pages[1]), page_sum(pages[0]), page_sum(pages[2])});
        const auto batch = reader.read(wanted, Decoder::automatic, {});
        CHECK(batch.results[0].payload == pages[3]);
        CHECK(batch.results[1].status == FrameStatus::missing);
        CHECK(batch.results[2].payload == pages[0]);
        CHECK(batch.results[3].status == (expecting ? FrameStatus::wrong : FrameStatus::ok));
    }
    for (const std::int64_t place : {-2, 5})
        CHECK_ERROR(config, reader.place({place}));
}

TEST(every_flipped_module_is_corrected_or_refused) {
    const TemporaryFolder folder;
    for (const bool bare : {false, true}) {
        const int version = bare ? 1 : 3;
        const Bytes payload = bare ? to_bytes("bare text") : make_page(45, 3);
        const Symbol sound = create_symbol(payload, {version, ErrorCorrection::L, 0});
        std::vector<Symbol> symbols(1, sound);
        for (std::size_t i = 0; i < sound.modules.size(); ++i) {
            symbols.push_back(sound);
            symbols.back().modules[i] ^= 1;
        }
        write_symbols(folder.file("a.mp4"), version, symbols);
        FrameReader reader(folder.file("a.mp4"), 2);
        if (bare) reader.expect(std::vector<std::uint32_t>(symbols.size(), crc32(payload)));
        const auto batch = reader.read(all_frames(reader), Decoder::automatic, {});
        std::size_t read = 0;
        for (const auto& result : batch.results) {
            if (result.status != FrameStatus::ok) continue;
            CHECK(result.payload == payload);
            ++read;
        }
        CHECK(read >= symbols.size() - 4);  // at most the corners that tell where the symbol ends
        const auto counters = reader.counters();
        CHECK_EQUAL(counters.fast + counters.corrected + counters.detected, read);
        const auto data_modules = static_cast<std::size_t>(data_codewords(version, ErrorCorrection::L)) * 8;
        CHECK(counters.corrected + counters.detected >= data_modules / 2);
    }
}

TEST(a_frame_of_another_place_is_wrong) {
    const TemporaryFolder folder;
    const auto pages = make_pages(3);
    write_video(folder.file("a.mp4"), {pages[0], pages[2], pages[1]}, options(3), table);
    FrameReader reader(folder.file("a.mp4"), 1);
    CHECK_ERROR(config, reader.expect({1, 2}));
    reader.expect(sums_of(pages));
    const auto batch = reader.read(all_frames(reader), Decoder::automatic, {});
    CHECK(batch.results[0].status == FrameStatus::ok);
    CHECK(batch.results[1].status == FrameStatus::wrong);
    CHECK(batch.results[2].status == FrameStatus::wrong);
    CHECK_EQUAL(reader.counters().failed, 2U);
}

TEST(a_blackened_frame_holds_no_symbol) {
    const TemporaryFolder folder;
    const Symbol sound = create_symbol(make_page(45, 3), {3, ErrorCorrection::L, 0});
    const Symbol black{sound.side, Bytes(sound.modules.size(), 1)}, white{sound.side, Bytes(sound.modules.size(), 0)};
    write_symbols(folder.file("a.mp4"), 3, {black, sound, white});
    const FrameReader reader(folder.file("a.mp4"), 1);
    const auto batch = reader.read(all_frames(reader), Decoder::automatic, {});
    CHECK(batch.results[0].status == FrameStatus::no_symbol);
    CHECK(batch.results[1].status == FrameStatus::ok);
    CHECK(batch.results[2].status == FrameStatus::no_symbol);
}

TEST(a_file_cut_off_under_an_open_reader_is_a_status) {
    const TemporaryFolder folder;
    const auto pages = make_pages(4);
    write_video(folder.file("a.mp4"), pages, options(3), table);
    const FrameReader reader(folder.file("a.mp4"), 2);
    std::filesystem::resize_file(folder.file("a.mp4"), reader.movie().samples[2].offset + 5);
    const auto batch = reader.read(all_frames(reader), Decoder::automatic, {});
    CHECK(batch.results[1].status == FrameStatus::ok);
    CHECK(batch.results[2].status == FrameStatus::cut_off);
    CHECK(batch.results[3].status == FrameStatus::cut_off);
    CHECK(reader.read_pixels(3).empty());
}

TEST(a_video_cut_off_anywhere_is_an_error) {
    const TemporaryFolder folder;
    write_video(folder.file("a.mp4"), make_pages(2), options(3), table);
    const Bytes whole = load(folder.file("a.mp4"));
    for (std::size_t size = 0; size < whole.size(); ++size) {
        save(folder.file("b.mp4"), ByteView(whole).first(size));
        CHECK_ERROR(format, FrameReader(folder.file("b.mp4"), 1));
    }
}

TEST(hostile_numbers_anywhere_never_crash) {
    const TemporaryFolder folder;
    const std::string path = folder.file("b.mp4");
    write_video(folder.file("a.mp4"), make_pages(1), options(3), table);
    const Bytes whole = load(folder.file("a.mp4"));
    const Movie movie = read_movie(InputFile(folder.file("a.mp4")));
    const auto first = static_cast<std::size_t>(movie.samples[0].offset);
    const std::size_t header = first + movie.samples[0].size;
    for (std::size_t at = 0; at + 4 <= whole.size(); ++at) {
        if (at == first) at = header;  // pictures have tests of their own
        const std::uint32_t present = load_be32(whole.data() + at);
        for (const std::uint32_t value : {0U, 1U, 7U, 8U, 0x00ffffffU, 0x7fffffffU, 0x80000000U, 0xfffffff8U,
                                          0xffffffffU, present + 1, present - 1, present << 1}) {
            Bytes damaged = whole;
            store_be32(damaged.data() + at, value);
            save(path, damaged);
            read_hostile(path);
        }
    }
    Random random(11);
    for (int round = 0; round < 3000; ++round) {
        Bytes damaged = whole;
        for (std::size_t i = random.below(6) + 1; i > 0; --i)
            damaged[header + random.below(damaged.size() - header)] = static_cast<std::uint8_t>(random.next());
        save(path, damaged);
        read_hostile(path);
    }
}

TEST(boxes_that_never_end_are_refused) {
    const TemporaryFolder folder;
    Bytes bytes;
    ByteWriter out(bytes);
    out.u32(8);
    out.text("ftyp");
    const std::size_t start = bytes.size();
    for (int i = 0; i < (1 << 20) + 5; ++i) {
        out.u32(8);
        out.text("free");
    }
    save(folder.file("a.mp4"), bytes);
    CHECK_ERROR(format, FrameReader(folder.file("a.mp4"), 1));
    for (const std::uint64_t size :
         {std::uint64_t{0}, std::uint64_t{15}, std::uint64_t{17}, UINT64_MAX, UINT64_MAX - 8}) {
        bytes.resize(start);
        out.u32(1);
        out.text("mdat");
        out.u64(size);
        save(folder.file("a.mp4"), bytes);
        CHECK_ERROR(format, FrameReader(folder.file("a.mp4"), 1));
    }
    save(folder.file("a.mp4"), to_bytes("%PDF-1.7 and so on, this is no video"));
    CHECK_ERROR(format, FrameReader(folder.file("a.mp4"), 1));
    bytes.resize(start);
    out.u32(8);
    out.text("moof");
    save(folder.file("a.mp4"), bytes);
    CHECK_ERROR(unsupported, FrameReader(folder.file("a.mp4"), 1));
}

TEST(another_codec_is_named_in_printable_letters) {
    const TemporaryFolder folder;
    write_video(folder.file("a.mp4"), make_pages(1), options(3), table);
    Bytes bytes = load(folder.file("a.mp4"));
    const std::string entry = "mp4v";
    const auto at = std::search(bytes.begin(), bytes.end(), entry.begin(), entry.end());
    for (const auto& [name, shown] :
         {std::pair<std::string, std::string>{"avc1", "avc1"}, {"\xff\xfe\x01\x80", "????"}}) {
        std::copy(name.begin(), name.end(), at);
        save(folder.file("b.mp4"), bytes);
        const FrameReader reader(folder.file("b.mp4"), 1);
        CHECK_EQUAL(reader.movie().codec, shown);
        CHECK_ERROR(unsupported, reader.read(all_frames(reader), Decoder::automatic, {}));
        CHECK_ERROR(unsupported, reader.read_pixels(0));
    }
}

TEST(readers_are_shared_between_threads) {
    const TemporaryFolder folder;
    const auto pages = make_pages(64);
    write_video(folder.file("a.mp4"), pages, options(3), table);
    const FrameReader reader(folder.file("a.mp4"), 3);
    std::atomic<std::size_t> right{0};
    std::vector<std::thread> callers;
    for (std::uint64_t seed = 0; seed < 8; ++seed)
        callers.emplace_back([&, seed] {
            Random random(seed);
            for (int round = 0; round < 20; ++round) {
                std::vector<std::int64_t> wanted(16);
                for (auto& index : wanted) index = static_cast<std::int64_t>(random.below(pages.size()));
                const auto decoder = round % 5 == 0 ? Decoder::corrected : Decoder::automatic;
                const auto batch = reader.read(wanted, decoder, {});
                bool same = true;
                for (std::size_t i = 0; i < wanted.size(); ++i)
                    same = same &&
                           batch.results[batch.plan.slots[i]].payload == pages[static_cast<std::size_t>(wanted[i])];
                if (same) ++right;
            }
        });
    for (auto& caller : callers) caller.join();
    CHECK_EQUAL(right.load(), 8U * 20U);
}

TEST(writers_are_shared_between_threads) {
    const TemporaryFolder folder;
    const auto pages = make_pages(40);
    {
        FrameWriter writer(folder.file("a.mp4"), options(3));
        std::vector<std::thread> callers;
        for (std::size_t caller = 0; caller < 4; ++caller)
            callers.emplace_back([&, caller] {
                const std::vector<ByteView> mine(pages.begin() + static_cast<std::ptrdiff_t>(caller * 10),
                                                 pages.begin() + static_cast<std::ptrdiff_t>(caller * 10 + 10));
                writer.write(mine, {});
                CHECK(writer.bytes() > 0);
            });
        for (auto& caller : callers) caller.join();
        CHECK_EQUAL(writer.frames(), pages.size());
        writer.finish(table);
    }
    const FrameReader reader(folder.file("a.mp4"), 2);
    std::vector<std::uint32_t> read, expected = sums_of(pages);
    for (auto& result : reader.read(all_frames(reader), Decoder::automatic, {}).results) {
        CHECK(result.status == FrameStatus::ok);
        read.push_back(page_sum(result.payload));
    }
    std::sort(expected.begin(), expected.end());
    std::sort(read.begin(), read.end());
    CHECK(read == expected);
}

TEST(a_forked_reader_reads) {
    const TemporaryFolder folder;
    const auto pages = make_pages(20);
    write_video(folder.file("a.mp4"), pages, options(3), table);
    auto* reader = new FrameReader(folder.file("a.mp4"), 3);
    const auto indices = all_frames(*reader);
    reader->read(indices, Decoder::automatic, {});
    const pid_t child = ::fork();
    if (child == 0) {
        const auto batch = reader->read(indices, Decoder::automatic, {});
        bool same = true;
        for (std::size_t i = 0; i < pages.size(); ++i) same = same && batch.results[i].payload == pages[i];
        delete reader;
        ::_exit(same ? 0 : 1);
    }
    int status = -1;
    CHECK_EQUAL(::waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    delete reader;
}

TEST(a_cancelled_batch_of_frames_appends_nothing) {
    struct Cancelled {};
    const TemporaryFolder folder;
    auto single = options(20);
    single.threads = 1;
    FrameWriter writer(folder.file("a.mp4"), single);
    const auto pages = make_pages(4000, 800);
    const std::vector<ByteView> views(pages.begin(), pages.end());
    bool cancelled = false;
    try {
        writer.write(views, [] { throw Cancelled{}; });
    } catch (const Cancelled&) {
        cancelled = true;
    }
    CHECK(cancelled);
    CHECK_EQUAL(writer.frames(), 0U);
    writer.write({views.data(), 1}, {});
    CHECK_EQUAL(writer.frames(), 1U);
}
