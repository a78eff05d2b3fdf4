#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <memory>
#include <numeric>

#include "check.hpp"
#include "fixtures.hpp"
#include "memvid/frame_reader.hpp"
#include "memvid/mp4.hpp"

using namespace memvid;
using namespace memvid::testing;

namespace {

constexpr std::size_t mark_size = 32;
const Bytes old_table = to_bytes("the old page table"), new_table = to_bytes("a new page table, longer");

std::vector<Bytes> make_pages(std::size_t count, std::uint64_t first = 0) {
    std::vector<Bytes> pages;
    for (std::size_t i = 0; i < count; ++i) pages.push_back(make_page(40, first + i));
    return pages;
}

void write(FrameWriter& writer, const std::vector<Bytes>& pages) {
    const std::vector<ByteView> views(pages.begin(), pages.end());
    writer.write(views, {});
}

struct Appended {
    std::uint64_t mark, old_movie, new_movie;
};

Appended append(const std::string& path, const std::vector<Bytes>& pages, ByteView table = new_table) {
    const std::uint64_t old_movie = find_append_point(InputFile(path)).movie;
    const auto appender = FrameWriter::append_to(path, options(3));
    write(*appender, pages);
    appender->finish(table);
    return {appender->mark(), old_movie, appender->movie_offset()};
}

void check_holds(const std::string& path, const std::vector<Bytes>& pages, ByteView table,
                 std::optional<std::uint64_t> movie = {}) {
    const FrameReader reader(path, 2, movie);
    CHECK_EQUAL(reader.frame_count(), pages.size());
    CHECK(std::ranges::equal(*reader.movie().page_table, table));
    CHECK_EQUAL(reader.movie().frames_per_second, 30);
    std::vector<std::int64_t> indices(pages.size());
    std::iota(indices.begin(), indices.end(), 0);
    const auto batch = reader.read(indices, Decoder::corrected, {});
    for (std::size_t i = 0; i < pages.size(); ++i) CHECK(batch.results[i].payload == pages[i]);
}

std::vector<Bytes> joined(std::vector<Bytes> first, const std::vector<Bytes>& second) {
    first.insert(first.end(), second.begin(), second.end());
    return first;
}

std::size_t find(ByteView bytes, const std::string& name, std::size_t from = 0) {
    return static_cast<std::size_t>(
        std::search(bytes.begin() + static_cast<std::ptrdiff_t>(from), bytes.end(), name.begin(), name.end()) -
        bytes.begin());
}

// `moov` in front of `mdat`, chunk offsets of 32 bits, as other programs put it. The box of offsets keeps its size.
void put_movie_in_front(const std::string& path) {
    const Bytes bytes = load(path);
    const ByteView view(bytes);
    const std::size_t data = find(bytes, "mdat") - 4, movie = find(bytes, "moov") - 4;
    Bytes moov(view.begin() + static_cast<std::ptrdiff_t>(movie), view.end());
    const std::size_t offsets = find(moov, "co64");
    std::memcpy(moov.data() + offsets, "stco", 4);
    const std::uint32_t chunks = load_be32(moov.data() + offsets + 8);
    for (std::uint32_t i = 0; i < chunks; ++i) {
        const auto offset = load_be64(moov.data() + offsets + 12 + i * 8) + moov.size();
        store_be32(moov.data() + offsets + 12 + i * 4, static_cast<std::uint32_t>(offset));
    }
    Bytes out(view.begin(), view.begin() + static_cast<std::ptrdiff_t>(data));
    out.insert(out.end(), moov.begin(), moov.end());
    out.insert(out.end(), view.begin() + static_cast<std::ptrdiff_t>(data),
               view.begin() + static_cast<std::ptrdiff_t>(movie));
    save(path, out);
}

}  // namespace

TEST(an_append_counts_when_it_is_committed) {
    for (const bool movie_in_front : {false, true}) {
        const TemporaryFolder folder;
        const std::string path = folder.file("a.mp4");
        const auto old = make_pages(5), more = make_pages(3, 5);
        write_video(path, old, options(3), old_table);
        if (movie_in_front) put_movie_in_front(path);
        const Bytes before = load(path);
        const auto place = append(path, more);
        CHECK_EQUAL(place.mark, before.size());
        CHECK_EQUAL(place.old_movie, find(before, "moov") - 4);

        Bytes after = load(path);
        CHECK(std::ranges::equal(ByteView(after).first(before.size()), before));
        CHECK_EQUAL(load_be32(after.data() + place.mark + mark_size), 1U);
        CHECK_EQUAL(load_be64(after.data() + place.mark + mark_size + 8), place.new_movie - place.mark - mark_size);
        check_holds(path, old, old_table);
        check_holds(path, joined(old, more), new_table, place.new_movie);
        CHECK_ERROR(format, FrameReader(path, 1, place.new_movie + 8));
        CHECK_ERROR(format, FrameReader(path, 1, place.mark));
        CHECK_ERROR(format, FrameReader(path, 1, after.size()));
        CHECK_ERROR(format, FrameReader(path, 1, UINT64_MAX - 3));
        AppendPoint point = find_append_point(InputFile(path));
        CHECK(point.uncommitted && point.end == place.mark && point.movie == place.old_movie);

        for (int times = 0; times < 3; ++times) {
            commit_append(path, place.mark);
            check_holds(path, joined(old, more), new_table);
        }
        std::memcpy(after.data() + place.old_movie + 4, "free", 4);
        CHECK(load(path) == after);
        point = find_append_point(InputFile(path));
        CHECK(!point.uncommitted && point.end == after.size() && point.movie == place.new_movie);
    }
}

TEST(many_appends_make_one_movie) {
    const TemporaryFolder folder;
    const std::string path = folder.file("a.mp4");
    auto pages = make_pages(300);
    write_video(path, pages, options(3), old_table);
    for (const std::size_t count : {1, 255, 256, 257, 1, 2}) {
        const FrameReader open(path, 1);
        const auto more = make_pages(count, pages.size());
        const auto place = append(path, more);
        commit_append(path, place.mark);
        const std::int64_t last[] = {static_cast<std::int64_t>(pages.size()) - 1};
        CHECK(open.read(last, Decoder::automatic, {}).results[0].payload == pages.back());
        pages = joined(std::move(pages), more);
        check_holds(path, pages, new_table);
        commit_append(path, place.mark);
    }
    const Bytes bytes = load(path);
    const std::size_t movie = find_append_point(InputFile(path)).movie, offsets = find(bytes, "co64", movie);
    CHECK_EQUAL(load_be32(bytes.data() + offsets + 8), 9U);  // 2 of the video, one for each append but the 257 of one
}

TEST(appended_bytes_do_not_depend_on_threads_or_batches) {
    const TemporaryFolder folder;
    const auto old = make_pages(3), more = make_pages(20, 3);
    write_video(folder.file("a.mp4"), old, options(3), old_table);
    std::filesystem::copy_file(folder.file("a.mp4"), folder.file("b.mp4"));
    commit_append(folder.file("a.mp4"), append(folder.file("a.mp4"), more).mark);
    auto single = options(3);
    single.threads = 1;
    single.frames_per_second = 7;  // the video has its own
    const auto appender = FrameWriter::append_to(folder.file("b.mp4"), single);
    CHECK_EQUAL(appender->frames(), old.size());
    for (const auto& page : more) write(*appender, {page});
    CHECK_EQUAL(appender->frames(), old.size() + more.size());
    appender->finish(new_table);
    commit_append(folder.file("b.mp4"), appender->mark());
    CHECK(load(folder.file("a.mp4")) == load(folder.file("b.mp4")));
}

TEST(torn_anywhere_the_old_movie_counts_and_the_next_append_begins_there) {
    const TemporaryFolder folder;
    const std::string path = folder.file("a.mp4");
    const auto old = make_pages(2), more = make_pages(1, 2);
    write_video(path, old, options(3), old_table);
    const Bytes before = load(path);
    const auto place = append(path, more);
    const Bytes whole = load(path);
    for (std::size_t size = before.size(); size < whole.size(); ++size) {
        save(path, ByteView(whole).first(size));
        check_holds(path, old, old_table);
        const AppendPoint point = find_append_point(InputFile(path));
        CHECK_EQUAL(point.end, before.size());
        CHECK_EQUAL(point.uncommitted, size > before.size());
        CHECK_ERROR(format, commit_append(path, place.mark));
        CHECK_EQUAL(std::filesystem::file_size(path), size);
        if (size % 61 == 0) {
            CHECK_EQUAL(append(path, more).mark, place.mark);
            CHECK(load(path) == whole);
        }
    }
}

TEST(what_a_power_cut_leaves_of_a_mark_is_one) {
    const TemporaryFolder folder;
    const std::string path = folder.file("a.mp4");
    write_video(path, make_pages(1), options(3), old_table);
    const Bytes before = load(path);
    append(path, make_pages(1, 1));
    const Bytes appended = load(path);
    for (std::size_t length = 0; length <= mark_size; ++length) {
        for (std::size_t kept = 0; kept <= length; ++kept) {
            Bytes bytes = before;
            for (std::size_t i = 0; i < length; ++i) bytes.push_back(i < kept ? appended[before.size() + i] : 0);
            save(path, bytes);
            const AppendPoint point = find_append_point(InputFile(path));
            CHECK_EQUAL(point.end, before.size());
            CHECK_EQUAL(point.uncommitted, length > 0);
        }
    }
}

TEST(torn_letters_are_the_new_movie_or_the_old_one_and_are_made_whole) {
    const TemporaryFolder folder;
    const std::string path = folder.file("a.mp4");
    const auto old = make_pages(2), more = make_pages(2, 2), last = make_pages(1, 4);
    write_video(path, old, options(3), old_table);
    const auto place = append(path, more);
    Bytes bytes = load(path);
    for (unsigned mixture = 0; mixture < 16; ++mixture) {
        for (unsigned i = 0; i < 4; ++i)
            bytes[place.old_movie + 4 + i] = static_cast<std::uint8_t>((mixture >> i & 1 ? "free" : "moov")[i]);
        save(path, bytes);
        if (mixture == 0)
            check_holds(path, old, old_table);
        else
            check_holds(path, joined(old, more), new_table);
        CHECK_EQUAL(find_append_point(InputFile(path)).uncommitted, mixture == 0);
        commit_append(path, place.mark);
        check_holds(path, joined(old, more), new_table);
        CHECK(std::memcmp(load(path).data() + place.old_movie + 4, "free", 4) == 0);

        save(path, bytes);  // and whoever appends without making it whole does no harm
        if (mixture == 0) continue;
        commit_append(path, append(path, last).mark);
        check_holds(path, joined(joined(old, more), last), new_table);
        commit_append(path, place.mark);
        check_holds(path, joined(joined(old, more), last), new_table);
    }
}

TEST(an_append_that_is_left_or_fails_is_taken_back) {
    const TemporaryFolder folder;
    const std::string path = folder.file("a.mp4");
    write_video(path, make_pages(2), options(3), old_table);
    const Bytes before = load(path);
    {
        const auto appender = FrameWriter::append_to(path, options(3));
        write(*appender, make_pages(3));
        CHECK(std::filesystem::file_size(path) > before.size());
    }
    CHECK(load(path) == before);
    {
        const auto appender = FrameWriter::append_to(path, options(3));
        const Bytes huge(1000);
        CHECK_ERROR(too_large, write(*appender, {huge}));
        write(*appender, make_pages(3));
        appender->abandon();
        CHECK(load(path) == before);
        appender->abandon();
        CHECK_ERROR(closed, write(*appender, make_pages(1)));
        CHECK_ERROR(closed, appender->finish(new_table));
    }
    CHECK(load(path) == before);
    {
        const auto appender = FrameWriter::append_to(path, options(3));
        write(*appender, make_pages(3));
        appender->finish(new_table);
        appender->abandon();
        CHECK(load(path) == before);
    }
    std::uint64_t mark = 0;
    {
        const auto appender = FrameWriter::append_to(path, options(3));
        write(*appender, make_pages(3));
        appender->finish(new_table);
        mark = appender->mark();
    }
    CHECK(find_append_point(InputFile(path)).uncommitted);  // finished, it waits for its commit
    commit_append(path, mark);
    const Bytes after = load(path);
    auto appender = FrameWriter::append_to(path, options(3));
    write(*appender, make_pages(1));
    appender->finish(new_table);
    commit_append(path, appender->mark());
    appender->abandon();  // too late
    CHECK(std::filesystem::file_size(path) > after.size());
    CHECK(!find_append_point(InputFile(path)).uncommitted);
}

TEST(what_nothing_can_be_appended_to_is_refused_untouched) {
    const TemporaryFolder folder;
    const std::string path = folder.file("a.mp4");
    write_video(path, make_pages(2), options(3), old_table);
    const Bytes sound = load(path);
    const auto refuses = [&](Bytes bytes, ErrorCode code, const std::string& remedy) {
        save(path, bytes);
        try {
            const auto appender = FrameWriter::append_to(path, options(3));
            CHECK(false);
        } catch (const Error& error) {
            CHECK(error.code() == code);
            CHECK(std::string(error.what()).find(remedy) != std::string::npos);
        }
        CHECK(load(path) == bytes);
    };
    const auto put_behind = [&](const Bytes& tail) {
        Bytes bytes = sound;
        bytes.insert(bytes.end(), tail.begin(), tail.end());
        return bytes;
    };
    const std::string rewrite = "memvid export --codec png", repair = "memvid repair";
    refuses(put_behind(to_bytes("junk")), ErrorCode::format, repair);
    refuses(put_behind(Bytes(mark_size + 1)), ErrorCode::unsupported, rewrite);  // a box without an end
    refuses(put_behind(Bytes{0, 0, 0, 0, 'm', 'd', 'a', 't'}), ErrorCode::unsupported, rewrite);
    refuses(put_behind(Bytes{0, 0, 0, 9, 'f', 'r', 'e', 'e'}), ErrorCode::format, repair);
    refuses(put_behind(Bytes{0, 0, 0, 8, 'm', 'o', 'o', 'f'}), ErrorCode::unsupported, rewrite);
    refuses(put_behind(Bytes{0, 0, 0, 8, 'm', 'o', 'o', 'v'}), ErrorCode::unsupported, rewrite);
    refuses(to_bytes("%PDF-1.7 and so on, this is no video"), ErrorCode::unsupported, rewrite);
    refuses({}, ErrorCode::format, repair);
    refuses(Bytes(sound.begin(), sound.end() - 1), ErrorCode::format, repair);
    Bytes other = sound;
    std::memcpy(other.data() + find(other, "mp4v"), "avc1", 4);
    refuses(other, ErrorCode::unsupported, rewrite);
    other = sound;
    std::memcpy(other.data() + find(other, "moov"), "free", 4);
    refuses(other, ErrorCode::format, repair);
    write_video(path, {}, options(3), old_table);
    refuses(load(path), ErrorCode::unsupported, rewrite);
    write_video(path, make_pages(2), options(4), old_table);
    refuses(load(path), ErrorCode::unsupported, rewrite);
    CHECK_ERROR(not_found, FrameWriter::append_to(folder.file("missing.mp4"), options(3)));
    CHECK_ERROR(config, FrameWriter::append_to(path, options(41)));
    save(path, put_behind(Bytes{0, 0, 0, 8, 'f', 'r', 'e', 'e'}));  // a whole box is no junk
    commit_append(path, append(path, make_pages(1, 2)).mark);
    check_holds(path, make_pages(3), new_table);
}

TEST(an_append_may_have_an_index_before_its_movie) {
    const TemporaryFolder folder;
    const std::string path = folder.file("a.mp4");
    const auto old = make_pages(3), more = make_pages(2, 3);
    write_video(path, old, options(3), old_table);
    const auto place = append(path, more);
    const Bytes bytes = load(path);
    const auto with_box = [&](ByteView type, std::uint64_t size, std::size_t present) {
        Bytes box(present);
        store_be32(box.data(), 1);
        std::memcpy(box.data() + 4, "uuid", 4);
        store_be64(box.data() + 8, size);
        std::ranges::copy(type, box.begin() + 16);
        Bytes whole(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(place.new_movie));
        whole.insert(whole.end(), box.begin(), box.end());
        whole.insert(whole.end(), bytes.begin() + static_cast<std::ptrdiff_t>(place.new_movie), bytes.end());
        save(path, whole);
        return whole;
    };
    for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{24}, std::uint64_t{999}, UINT64_MAX - 64}) {
        const Bytes damaged = with_box(index_uuid, size, 1000);
        CHECK_ERROR(format, commit_append(path, place.mark));
        CHECK(load(path) == damaged);
    }
    with_box(append_uuid, 1000, 1000);
    CHECK_ERROR(format, commit_append(path, place.mark));
    Bytes whole;
    for (const ByteView type : {ByteView(manifest_uuid), ByteView(index_uuid)}) {
        whole = with_box(type, 1000, 1000);
        for (int times = 0; times < 2; ++times) commit_append(path, place.mark);
        std::memcpy(whole.data() + place.old_movie + 4, "free", 4);
        CHECK(load(path) == whole);
        check_holds(path, joined(old, more), new_table);
    }
    const auto again = append(path, make_pages(1, 5));
    CHECK_EQUAL(again.mark, whole.size());
    commit_append(path, again.mark);
    check_holds(path, make_pages(6), new_table);
}

TEST(a_movie_is_copied_without_what_is_dead) {
    for (const bool movie_in_front : {false, true}) {
        const TemporaryFolder folder;
        const std::string path = folder.file("a.mp4"), copy = folder.file("b.mp4");
        const auto old = make_pages(40), more = make_pages(3, 40);
        write_video(path, old, options(3), old_table);
        const Bytes built = load(path);
        if (movie_in_front) put_movie_in_front(path);
        const auto place = append(path, more);
        save(copy, to_bytes("what was there"));
        copy_movie(path, {}, copy, {});
        CHECK(load(copy) == built);  // what does not count is not in it
        copy_movie(path, place.new_movie, copy, {});
        check_holds(copy, joined(old, more), new_table);
        const Bytes grown = load(copy);
        CHECK(find(grown, "free") == grown.size());
        CHECK(grown.size() < load(path).size());
        commit_append(path, place.mark);
        copy_movie(path, {}, copy, {});
        CHECK(load(copy) == grown);
        commit_append(copy, append(copy, make_pages(1, 43)).mark);
        check_holds(copy, make_pages(44), new_table);
        CHECK_ERROR(format, copy_movie(path, place.mark, copy, {}));
        CHECK_ERROR(format, copy_movie(path, UINT64_MAX - 3, copy, {}));
        CHECK_ERROR(not_found, copy_movie(folder.file("missing.mp4"), {}, copy, {}));
        CHECK_ERROR(output, copy_movie(path, {}, folder.file("missing/b.mp4"), {}));
    }
}

TEST(a_movie_whose_frames_are_cut_off_is_not_copied) {
    const TemporaryFolder folder;
    const std::string path = folder.file("a.mp4");
    write_video(path, make_pages(5), options(3), old_table);
    put_movie_in_front(path);
    Bytes bytes = load(path);
    bytes.pop_back();
    save(path, bytes);
    CHECK_ERROR(format, copy_movie(path, {}, folder.file("b.mp4"), {}));
}

TEST(only_marks_are_committed) {
    const TemporaryFolder folder;
    const std::string path = folder.file("a.mp4");
    write_video(path, make_pages(2), options(3), old_table);
    const auto place = append(path, make_pages(1, 2));
    const Bytes bytes = load(path);
    for (std::uint64_t at = 0; at < bytes.size(); ++at)
        if (at != place.mark) CHECK_ERROR(format, commit_append(path, at));
    CHECK_ERROR(format, commit_append(path, UINT64_MAX));
    CHECK_ERROR(not_found, commit_append(folder.file("missing.mp4"), 0));
    CHECK(load(path) == bytes);
    // An append whose movie cannot be read, or that is still being written, is none.
    Bytes damaged = bytes;
    store_be32(damaged.data() + place.mark + mark_size, 0);
    save(path, damaged);
    CHECK_ERROR(format, commit_append(path, place.mark));
    damaged = bytes;
    std::memcpy(damaged.data() + find(bytes, "stsz", place.new_movie), "xxxx", 4);
    save(path, damaged);
    CHECK_ERROR(format, commit_append(path, place.mark));
    damaged = bytes;
    store_be64(damaged.data() + place.mark + mark_size - 8, place.new_movie);
    save(path, damaged);
    CHECK_ERROR(format, commit_append(path, place.mark));
    CHECK_ERROR(format, FrameWriter::append_to(path, options(3)));
    CHECK(load(path) == damaged);
}

TEST(frames_behind_the_mark_are_never_cut_off) {
    const TemporaryFolder folder;
    const std::string path = folder.file("a.mp4");
    write_video(path, make_pages(2), options(3), old_table);
    append(path, make_pages(1, 2));
    Bytes bytes = load(path);
    const std::size_t offsets = find(bytes, "co64");
    store_be64(bytes.data() + offsets + 12, bytes.size() - 1000);  // of the movie that counts
    save(path, bytes);
    CHECK_ERROR(format, FrameWriter::append_to(path, options(3)));
    CHECK(load(path) == bytes);
}

TEST(hostile_numbers_never_crash_an_append) {
    const TemporaryFolder folder;
    const std::string path = folder.file("a.mp4"), other = folder.file("b.mp4");
    write_video(path, make_pages(1), options(3), old_table);
    const std::uint64_t mark = append(path, make_pages(1, 1)).mark;
    const Bytes whole = load(path);
    const auto first = static_cast<std::size_t>(read_movie(InputFile(path)).samples[0].offset);
    const std::size_t movie = find(whole, "moov");
    auto single = options(3);
    single.threads = 1;
    for (std::size_t at = 0; at + 4 <= whole.size(); ++at) {
        if (at == first) at = movie;
        if (at == mark + 48) at = find(whole, "moov", mark);
        const std::uint32_t present = load_be32(whole.data() + at);
        for (const std::uint32_t value :
             {0U, 1U, 8U, 0x7fffffffU, 0xfffffff8U, 0xffffffffU, present + 1, present - 1}) {
            Bytes damaged = whole;
            store_be32(damaged.data() + at, value);
            save(other, damaged);
            try {
                read_movie(InputFile(other), find_append_point(InputFile(other)).movie);
                if (at % 16 != 0) continue;  // what follows waits for the disk
                commit_append(other, mark);
                FrameWriter::append_to(other, single)->abandon();
            } catch (const Error&) {
            }
        }
    }
}

TEST(a_fork_leaves_the_append_to_its_parent) {
    const TemporaryFolder folder;
    const std::string path = folder.file("a.mp4");
    const auto old = make_pages(2), more = make_pages(3, 2);
    write_video(path, old, options(3), old_table);
    auto appender = FrameWriter::append_to(path, options(3));
    write(*appender, more);
    const auto written = std::filesystem::file_size(path);
    const pid_t child = ::fork();
    if (child == 0) {
        appender->abandon();
        appender.reset();
        ::_exit(0);
    }
    int status = -1;
    CHECK_EQUAL(::waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_EQUAL(std::filesystem::file_size(path), written);
    appender->finish(new_table);
    commit_append(path, appender->mark());
    check_holds(path, joined(old, more), new_table);
}

TEST(a_movie_of_more_tracks_is_refused) {
    const TemporaryFolder folder;
    const std::string path = folder.file("a.mp4");
    write_video(path, make_pages(2), options(3), old_table);
    Bytes bytes = load(path);
    const std::size_t movie = find(bytes, "moov") - 4, track = find(bytes, "trak") - 4;
    const std::uint32_t size = load_be32(bytes.data() + track);
    const Bytes copy(bytes.begin() + static_cast<std::ptrdiff_t>(track),
                     bytes.begin() + static_cast<std::ptrdiff_t>(track + size));
    bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(track), copy.begin(), copy.end());
    store_be32(bytes.data() + movie, load_be32(bytes.data() + movie) + size);
    save(path, bytes);
    CHECK_EQUAL(FrameReader(path, 1).frame_count(), 2U);
    CHECK_ERROR(unsupported, FrameWriter::append_to(path, options(3)));
    CHECK(load(path) == bytes);
}
