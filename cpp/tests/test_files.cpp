#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "check.hpp"
#include "fixtures.hpp"
#include "memvid/file.hpp"
#include "memvid/frame_plan.hpp"
#include "memvid/frame_writer.hpp"
#include "memvid/page_checksum.hpp"

using namespace memvid;
using namespace memvid::testing;

namespace {

// As long as it lives no file can grow, as on a full disk.
class FullDisk {
public:
    FullDisk() {
        std::signal(SIGXFSZ, SIG_IGN);
        ::getrlimit(RLIMIT_FSIZE, &before_);
        const rlimit none{0, before_.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &none);
    }
    ~FullDisk() { ::setrlimit(RLIMIT_FSIZE, &before_); }
    FullDisk(const FullDisk&) = delete;
    FullDisk& operator=(const FullDisk&) = delete;

private:
    rlimit before_{};
};

}  // namespace

TEST(a_file_is_read_by_offset) {
    const TemporaryFolder folder;
    save(folder.file("a"), to_bytes("0123456789"));
    const InputFile file(folder.file("a"));
    CHECK_EQUAL(file.size(), 10U);
    Bytes out(4);
    CHECK(file.read_at(3, out));
    CHECK(out == to_bytes("3456"));
    CHECK(file.read_at(6, out));
    CHECK(!file.read_at(7, out));
    CHECK(!file.read_at(1000, out));
    CHECK(file.read_at(10, {}));
}

TEST(what_the_system_refuses_to_read_is_told_from_an_end) {
    const TemporaryFolder folder;
    save(folder.file("a"), to_bytes("0123456789"));
    const InputFile file(folder.file("a"));
    Bytes out(4);
    CHECK(file.try_read_at(6, out).whole);
    CHECK(!file.try_read_at(7, out).whole);
    CHECK_EQUAL(file.try_read_at(7, out).error, 0);
#ifdef __linux__
    const InputFile memory("/proc/self/mem");  // gives EIO where nothing is mapped, as a disk does for a bad sector
    CHECK(!memory.try_read_at(0, out).whole);
    CHECK_EQUAL(memory.try_read_at(0, out).error, EIO);
    CHECK_ERROR(io, memory.read_at(0, out));
#endif
}

TEST(what_cannot_be_opened_says_why) {
    const TemporaryFolder folder;
    CHECK_ERROR(not_found, InputFile(folder.file("missing")));
    CHECK_ERROR(not_found, InputFile(folder.file("missing/below")));
    CHECK_ERROR(io, InputFile(folder.file("")));
    save(folder.file("a"), to_bytes("x"));
    CHECK_ERROR(config, InputFile(folder.file("a") + std::string("\0.mp4", 5)));
    CHECK_ERROR(config, OutputFile(folder.file("b") + std::string("\0.mp4", 5)));
    CHECK_EQUAL(::mkfifo(folder.file("pipe").c_str(), 0600), 0);
    CHECK_ERROR(io, InputFile(folder.file("pipe")));  // and does not wait for a writer
    CHECK_ERROR(output, OutputFile(folder.file("missing/b")));
    CHECK_ERROR(output, OutputFile(folder.file("")));
    CHECK_ERROR(output, OutputFile(folder.file("pipe")));
    CHECK_ERROR(output, OutputFile(folder.file("pipe"), 0));
    CHECK_ERROR(io, InputFile("/dev/zero"));
    CHECK_ERROR(output, OutputFile("/dev/null"));
}

TEST(what_is_written_is_for_its_owner_and_in_no_other_place) {
    const TemporaryFolder folder;
    struct stat status {};
    const mode_t before = ::umask(0);
    OutputFile(folder.file("new")).append(to_bytes("x"));
    ::umask(before);
    CHECK_EQUAL(::stat(folder.file("new").c_str(), &status), 0);
    CHECK_EQUAL(status.st_mode & 0777, 0600U);

    save(folder.file("elsewhere"), to_bytes("mine"));
    CHECK_EQUAL(::symlink(folder.file("elsewhere").c_str(), folder.file("link").c_str()), 0);
    CHECK_EQUAL(::symlink(folder.file("nothing").c_str(), folder.file("dangling").c_str()), 0);
    CHECK_ERROR(output, OutputFile(folder.file("link")));
    CHECK_ERROR(output, OutputFile(folder.file("link"), 0));
    CHECK_ERROR(output, OutputFile(folder.file("dangling")));
    CHECK_ERROR(not_found, InputFile(folder.file("nothing")));
    CHECK_EQUAL(InputFile(folder.file("link")).size(), 4U);  // reading follows it
}

TEST(output_is_appended_and_patched) {
    const TemporaryFolder folder;
    Bytes expected;
    {
        OutputFile file(folder.file("a"));
        Random random(1);
        for (const std::size_t size : {0, 1, 1000, 600'000, 600'000, 3'000'000, 1 << 20, 5}) {
            const Bytes part = random.bytes(size);
            file.append(part);
            expected.insert(expected.end(), part.begin(), part.end());
            CHECK_EQUAL(file.size(), expected.size());
        }
        file.overwrite(7, to_bytes("patched"));
        file.append(to_bytes("end"));
        file.sync();
        file.close();
        file.close();
    }
    std::copy_n(to_bytes("patched").begin(), 7, expected.begin() + 7);
    const Bytes end = to_bytes("end");
    expected.insert(expected.end(), end.begin(), end.end());
    CHECK(load(folder.file("a")) == expected);
}

TEST(a_full_disk_is_an_error) {
    const TemporaryFolder folder;
    OutputFile file(folder.file("a"));
    const FullDisk full;
    file.append(to_bytes("buffered"));
    try {
        file.sync();
        CHECK(false);
    } catch (const Error& error) {
        CHECK(error.code() == ErrorCode::output);
        CHECK_EQUAL(error.system_error(), EFBIG);
    }
    CHECK_ERROR(output, file.append(Bytes(2 << 20)));
    CHECK_ERROR(output, file.overwrite(0, to_bytes("x")));
}

TEST(a_video_that_failed_once_takes_nothing_more) {
    const TemporaryFolder folder;
    FrameWriter writer(folder.file("a.mp4"), options(3));
    const FullDisk full;
    const Bytes page = make_page(40, 1);
    const ByteView payloads[] = {page};
    writer.write(payloads, {});
    CHECK_EQUAL(writer.frames(), 1U);
    CHECK_ERROR(output, writer.finish({}));
    CHECK_ERROR(output, writer.write(payloads, {}));
    CHECK_ERROR(output, writer.finish({}));
}

TEST(writer_options_are_checked_before_the_file_is_touched) {
    const TemporaryFolder folder;
    const std::string path = folder.file("a.mp4");
    save(path, to_bytes("precious"));
    for (const int version : {-1, 0, 41, 100000}) CHECK_ERROR(config, FrameWriter(path, options(version)));
    for (const int fps : {-1, 0, max_frames_per_second + 1}) {
        auto wrong = options(3);
        wrong.frames_per_second = fps;
        CHECK_ERROR(config, FrameWriter(path, wrong));
    }
    auto wrong = options(3);
    wrong.symbol.data_mask = 8;
    CHECK_ERROR(config, FrameWriter(path, wrong));
    CHECK(load(path) == to_bytes("precious"));
}

TEST(a_finished_video_is_closed) {
    const TemporaryFolder folder;
    FrameWriter writer(folder.file("a.mp4"), options(3));
    const Bytes page = make_page(40, 1);
    const ByteView payloads[] = {page};
    writer.write(payloads, {});
    writer.finish({});
    CHECK_ERROR(closed, writer.write(payloads, {}));
    CHECK_ERROR(closed, writer.finish({}));
}

TEST(a_batch_with_a_bad_payload_appends_nothing) {
    const TemporaryFolder folder;
    FrameWriter writer(folder.file("a.mp4"), options(3));
    const Bytes page = make_page(40, 1), huge(1000), empty;
    const ByteView too_large[] = {page, huge}, none[] = {page, empty}, good[] = {page};
    CHECK_ERROR(too_large, writer.write(too_large, {}));
    CHECK_ERROR(config, writer.write(none, {}));
    CHECK_EQUAL(writer.frames(), 0U);
    writer.write(good, {});
    CHECK_EQUAL(writer.frames(), 1U);
}

TEST(frames_are_planned_once_each_in_file_order) {
    const std::int64_t wanted[] = {7, 0, 7, 3, 0, 9};
    const FramePlan plan = plan_frames(wanted, 10);
    CHECK((plan.frames == std::vector<std::size_t>{0, 3, 7, 9}));
    CHECK((plan.slots == std::vector<std::size_t>{2, 0, 2, 1, 0, 3}));
    CHECK(plan_frames({}, 0).frames.empty());
    for (const std::int64_t bad : {std::int64_t{-1}, std::int64_t{10}, INT64_MIN, INT64_MAX}) {
        const std::int64_t request[] = {3, bad};
        CHECK_ERROR(config, plan_frames(request, 10));
    }
}

TEST(a_checksum_decides_what_a_payload_is) {
    const Bytes page = make_page(60, 5);
    CHECK(is_page(page));
    CHECK(verify_payload(page, {}) == Verdict::verified);
    CHECK(verify_payload(page, page_sum(page)) == Verdict::verified);
    CHECK(verify_payload(page, page_sum(page) ^ 1) == Verdict::wrong);
    for (std::size_t bit = 24; bit < page.size() * 8; ++bit) {
        Bytes damaged = page;
        damaged[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
        CHECK(verify_payload(damaged, {}) == Verdict::wrong);
    }
    const Bytes text = to_bytes("a bare text of one chunk, longer than a page's header");
    CHECK(!is_page(text));
    CHECK(verify_payload(text, {}) == Verdict::unknown);
    CHECK(verify_payload(text, crc32(text)) == Verdict::verified);
    CHECK(verify_payload(text, crc32(text) + 1) == Verdict::wrong);
    CHECK(!is_page(ByteView(page).first(page_header_bytes - 1)));
    CHECK(is_page(ByteView(page).first(page_header_bytes)));
    CHECK(verify_payload({}, {}) == Verdict::unknown);
}
