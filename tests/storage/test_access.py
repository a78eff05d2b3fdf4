"""Who may read what: nobody more than could read what a file replaces, lies beside, or was made from."""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from memvid.errors import OutputError
from memvid.storage import access
from memvid.storage.access import access_of_copy, access_of_new, narrow, read_access, settle
from memvid.storage.commit import Commit, recover
from memvid.storage.files import create_private

_ACL = "system.posix_acl_access"


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def make(path: Path, mode: int) -> Path:
    path.touch()
    path.chmod(mode)
    return path


def make_list(*, user: int, group: int, mask: int) -> bytes:
    """A POSIX access list as Linux keeps it: the owner reads and writes, user 12345 as said, others nothing."""
    nobody = 0xFFFFFFFF
    entries = [(1, 6, nobody), (2, user, 12345), (4, group, nobody), (0x10, mask, nobody), (0x20, 0, nobody)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def set_list(path: Path, acl: bytes) -> None:
    try:
        os.setxattr(path, _ACL, acl)
    except (OSError, AttributeError):
        pytest.skip("this file system has no access lists")


class TestNewFiles:
    @pytest.mark.parametrize("mask", [0o000, 0o022, 0o027, 0o077])
    def test_alone_they_follow_the_umask(self, tmp_path: Path, mask: int) -> None:
        os.umask(mask)
        os.close(create_private(tmp_path / "x"))
        assert mode_of(tmp_path / "x") == 0o600
        settle(tmp_path / "x", access_of_new([tmp_path / "none"]))
        assert mode_of(tmp_path / "x") == 0o666 & ~mask

    @pytest.mark.parametrize(
        ("there", "made_from", "expected"),
        [(0o644, [0o600], 0o600), (0o640, [0o644], 0o640), (0o664, [0o640, 0o604], 0o600), (0o644, [], 0o644)],
    )
    def test_a_copy_in_the_place_of_another_file_is_open_to_no_more_than_either(
        self, tmp_path: Path, there: int, made_from: list[int], expected: int
    ) -> None:
        final = make(tmp_path / "x", there)
        sources = [make(tmp_path / f"source{at}", mode) for at, mode in enumerate(made_from)]
        settle(final, access_of_copy(final, [], [*sources, tmp_path / "none"]))
        assert mode_of(final) == expected

    def test_the_umask_is_asked_for_and_not_changed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unreadable(_: Path) -> bytes:
            raise FileNotFoundError

        for mask in (0o022, 0o077):
            os.umask(mask)
            assert access._umask() == mask
            with monkeypatch.context() as patch:
                patch.setattr(Path, "read_bytes", unreadable)  # a system without /proc
                assert access._umask() == mask
            assert os.umask(mask) == mask

    @pytest.mark.parametrize(
        ("beside", "made_from", "expected"),
        [
            ([0o600], [], 0o600), ([0o640], [], 0o640), ([0o644, 0o600], [], 0o600), ([0o666], [], 0o644),
            ([], [0o600], 0o600), ([0o644], [0o640], 0o640), ([0o640], [0o604], 0o600), ([0o400], [], 0o400),
        ],
    )  # fmt: skip
    def test_they_are_open_to_no_more_than_all_the_others(
        self, tmp_path: Path, beside: list[int], made_from: list[int], expected: int
    ) -> None:
        own = [make(tmp_path / f"own{at}", mode) for at, mode in enumerate(beside)]
        sources = [make(tmp_path / f"source{at}", mode) for at, mode in enumerate(made_from)]
        assert access_of_new(own, sources).mode == expected

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files away")
    def test_they_get_owner_and_group_of_their_memory_and_the_group_of_what_they_are_made_from(
        self, tmp_path: Path
    ) -> None:
        memory = make(tmp_path / "memory", 0o640)
        os.chown(memory, 1234, 4321)
        for limits, owner in ((([memory],), 1234), (([], [memory]), os.geteuid())):
            new = make(tmp_path / "new", 0o600)
            settle(new, access_of_new(*limits))
            status = new.stat()
            assert (status.st_uid, status.st_gid, mode_of(new)) == (owner, 4321, 0o640)
            new.unlink()

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files away")
    def test_where_groups_differ_no_group_reads_more_than_anybody(self, tmp_path: Path) -> None:
        one, other = make(tmp_path / "one", 0o640), make(tmp_path / "other", 0o640)
        os.chown(other, 0, 4321)
        assert access_of_new([one, other]).mode == 0o600


class TestFileSystemsWithoutModes:
    def test_files_stay_as_they_are(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

        for name in ("fchmod", "fchown"):
            monkeypatch.setattr(os, name, refuse)
        new = make(tmp_path / "new", 0o600)
        for given in (access.Access(0o644), access.Access(0o644, 1, 1)):
            settle(new, given)
            assert mode_of(new) == 0o600

    def test_a_disk_that_fails_is_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(os, "fchmod", fail)
        with pytest.raises(OSError, match="Input/output"):
            settle(make(tmp_path / "new", 0o600), access.Access(0o644))


class TestReplacements:
    def test_a_group_that_cannot_be_kept_gives_nobody_anything(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: int) -> None:
            raise PermissionError

        monkeypatch.setattr(os, "fchown", refuse)
        for mode, expected in ((0o640, 0o600), (0o644, 0o644), (0o604, 0o600), (0o664, 0o644), (0o600, 0o600)):
            old = access.Access(mode, os.geteuid(), os.getegid() + 1)
            new = make(tmp_path / "new", 0o600)
            settle(new, old)
            assert mode_of(new) == expected, oct(mode)

    def test_an_access_list_is_kept(self, tmp_path: Path) -> None:
        old, new = make(tmp_path / "old", 0o600), make(tmp_path / "new", 0o600)
        acl = make_list(user=4, group=0, mask=4)
        set_list(old, acl)
        given = read_access(old)
        assert given is not None
        settle(new, given)
        assert os.getxattr(new, _ACL) == acl
        assert mode_of(new) == mode_of(old) == 0o640

    def test_a_list_that_cannot_be_kept_gives_nobody_anything(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError

        old, new = make(tmp_path / "old", 0o600), make(tmp_path / "new", 0o600)
        set_list(old, make_list(user=4, group=0, mask=4))  # its mode looks as if the group could read
        monkeypatch.setattr(os, "setxattr", refuse)
        given = read_access(old)
        assert given is not None
        settle(new, given)
        assert mode_of(new) == 0o600

    def test_a_list_that_a_folder_gives_to_new_files_is_not_for_a_replacement(self, tmp_path: Path) -> None:
        old, new = make(tmp_path / "old", 0o640), make(tmp_path / "new", 0o600)
        set_list(new, make_list(user=6, group=4, mask=0))
        given = read_access(old)
        assert given is not None
        settle(new, given)
        assert mode_of(new) == 0o640
        assert _ACL not in os.listxattr(new)

    def test_a_list_that_cannot_be_read_is_not_taken_for_none(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(os, "getxattr", fail)
        with pytest.raises(OSError, match="Input/output"):
            read_access(make(tmp_path / "old", 0o640))

    def test_a_file_of_another_is_not_replaced_where_only_owners_may(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make(tmp_path / "memory_index.json", 0o666)
        tmp_path.chmod(0o1777)
        with Commit(tmp_path / "memory_index.json") as commit:
            monkeypatch.setattr(os, "geteuid", lambda: 12345)
            commit.stage(tmp_path / "memory_index.records")
            with pytest.raises(OutputError, match="belongs to another user"):
                commit.stage(tmp_path / "memory_index.json")
        assert [file.name for file in tmp_path.iterdir()] == ["memory_index.json"]

    def test_links_in_a_circle_are_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "a").symlink_to("b")
        (tmp_path / "b").symlink_to("a")
        assert read_access(tmp_path / "a") is None

    def test_narrowing_takes_and_never_gives(self, tmp_path: Path) -> None:
        file = make(tmp_path / "x", 0o644)
        for limits, expected in (([0o666], 0o644), ([0o640, 0o644], 0o640), ([0o604], 0o600), ([0o644], 0o600)):
            narrow(file, [make(tmp_path / f"limit{at}", mode) for at, mode in enumerate(limits)] + [tmp_path / "none"])
            assert mode_of(file) == expected


class TestCommits:
    """A set of files: ``old`` is replaced, ``new`` is not there yet."""

    def commit(self, folder: Path) -> Commit:
        commit = Commit(folder / "i.json", video_file=folder / "v.mp4")
        for name in ("v.mp4", "i.old", "i.new", "i.json"):
            staged = commit.stage(folder / name)
            staged.write_text("new")
            assert mode_of(staged) == 0o600
        return commit

    @pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
    def test_modes_stay_as_they_were(self, tmp_path: Path, mode: int) -> None:
        for name in ("v.mp4", "i.old", "i.json"):
            make(tmp_path / name, mode)
        self.commit(tmp_path).commit()
        assert {path.name: mode_of(path) for path in tmp_path.iterdir()} == dict.fromkeys(
            ("v.mp4", "i.old", "i.new", "i.json"), mode
        )

    def test_each_file_takes_the_mode_of_the_one_it_replaces(self, tmp_path: Path) -> None:
        make(tmp_path / "v.mp4", 0o640)
        make(tmp_path / "i.json", 0o644)
        self.commit(tmp_path).commit()
        assert {path.name: mode_of(path) for path in tmp_path.iterdir()} == {
            "v.mp4": 0o640, "i.json": 0o644, "i.old": 0o640, "i.new": 0o640,
        }  # fmt: skip

    def test_a_commit_that_was_cut_off_leaves_the_same_modes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make(tmp_path / "v.mp4", 0o640)
        self.cut_off(tmp_path, monkeypatch)
        assert mode_of(tmp_path / "i.json.commit") == 0o640
        assert recover(tmp_path / "i.json", video_file=tmp_path / "v.mp4")
        assert {mode_of(path) for path in tmp_path.iterdir()} == {0o640}

    def test_a_memory_that_was_made_private_meanwhile_stays_private(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make(tmp_path / "v.mp4", 0o644)
        self.cut_off(tmp_path, monkeypatch)
        (tmp_path / "v.mp4").chmod(0o600)
        recover(tmp_path / "i.json", video_file=tmp_path / "v.mp4")
        assert {path.name: mode_of(path) for path in tmp_path.iterdir()} == dict.fromkeys(
            ("v.mp4", "i.old", "i.new", "i.json"), 0o600
        )

    def cut_off(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Leave a commit as a process would that was killed at its commit point."""
        commit = self.commit(folder)
        with monkeypatch.context() as patch:
            patch.setattr("memvid.storage.commit.roll_forward", lambda *_: False)
            commit.commit()
        assert (folder / "i.json.commit").exists()
