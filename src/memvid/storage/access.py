"""Who may read a file when it is complete: whoever could read the one it replaces, or those it was made from.

A file that takes the place of another gets its mode, and owner, group and access list where the system allows that. A
new one gets what the umask leaves, but is never open to more than the memory's other files, or than those it was made
from. Where a group or a list cannot be kept, nobody gains by it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from memvid.storage.files import opened

__all__ = ["Access", "access_of_copy", "access_of_new", "check_replaceable", "narrow", "read_access", "settle"]

_ACL = "system.posix_acl_access"  # what Linux keeps a POSIX access list under
_UNKNOWN = (errno.EOPNOTSUPP, errno.ENOSYS)  # what file systems say that keep no modes, or no lists
_KEEP = -1  # the owner or group that the file has


@dataclass(frozen=True, slots=True)
class Access:
    """Who may do what with a file.

    :ivar mode: permission bits; with an access list, those of the group are its mask.
    :ivar owner: number of a user, or -1 for the one who makes the file.
    :ivar group: number of a group, or -1 for the one that the file gets by itself, and its access list too.
    :ivar acl: the access list, if it has more than the mode says.
    """

    mode: int
    owner: int = _KEEP
    group: int = _KEEP
    acl: bytes | None = None

    def without_group(self) -> Access:
        """The same for a file whose group is another one: nobody may do more by being in it, or not being in it."""
        anyone = self.mode & self.mode >> 3 & 0o7
        return Access(self.mode & 0o700 | anyone << 3 | anyone, self.owner)


def check_replaceable(path: Path) -> None:
    """Refuse to replace a file that another owns in a folder where only owners may, as in ``/tmp``.

    The system would refuse it in the middle of the commit, which then only they could finish.

    :raises PermissionError: it is such a file.
    """
    with suppress(FileNotFoundError):
        folder, owner = path.parent.stat(), path.lstat().st_uid
        if folder.st_mode & stat.S_ISVTX and os.geteuid() not in (0, owner, folder.st_uid):
            raise PermissionError(errno.EPERM, "belongs to another user, and only they replace it there", str(path))


def read_access(path: Path) -> Access | None:
    """Who may use a file, or what a link leads to; ``None`` if there is none."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:  # links in a circle
            return None
        raise
    return Access(status.st_mode & 0o777, status.st_uid, status.st_gid, _read_acl(path))


def access_of_new(beside: Iterable[Path], made_from: Iterable[Path] = ()) -> Access:
    """Who may use a new file.

    :param beside: files of the memory it belongs to, as far as they are there, whose owner and group it gets.
    :param made_from: files whose texts go into it; their owner need not be that of the copy.
    """
    own = [access for path in beside if (access := read_access(path)) is not None]
    others = [replace(access, owner=_KEEP) for path in made_from if (access := read_access(path)) is not None]
    mode = 0o666 & ~_umask()
    limits = own + others
    if not limits:
        return Access(mode)
    first = limits[0]
    for other in limits:
        mode &= other.mode
    shared = replace(first, mode=mode)
    if any((other.group, other.acl) != (first.group, first.acl) for other in limits):
        return shared.without_group()
    return shared


def access_of_copy(final: Path, beside: Iterable[Path], made_from: Iterable[Path]) -> Access:
    """Who may use a file that is about to be named ``final``: of one that is there already, those who may use it, but
    for whoever may not use all of those it was made from."""
    there = read_access(final)
    if there is None:
        return access_of_new(beside, made_from)
    for path in made_from:
        limit = read_access(path)
        if limit is not None:
            narrower = replace(there, mode=there.mode & limit.mode)
            there = narrower if (there.group, there.acl) == (limit.group, limit.acl) else narrower.without_group()
    return there


def settle(path: Path, access: Access) -> None:
    """Give a complete file to whoever may use it, and wait until the disk has all of it.

    :raises OSError: it is no file, or the system refuses.
    """
    with opened(path) as descriptor:
        _give(descriptor, access)
        os.fsync(descriptor)


def narrow(path: Path, limits: Iterable[Path]) -> None:
    """Take from a file that is about to be renamed what not all of the others allow; those that are there.

    :raises OSError: the system refuses.
    """
    now, mode = read_access(path), 0o777
    for limit in limits:
        access = read_access(limit)
        mode &= 0o777 if access is None else access.mode
    if now is not None and now.mode & ~mode:
        with opened(path) as descriptor:
            os.fchmod(descriptor, now.mode & mode)
            os.fsync(descriptor)


def _give(descriptor: int, access: Access) -> None:
    if not hasattr(os, "fchmod"):
        return  # Windows, where files are as their folder says
    if access.group != _KEEP:
        for owner in (access.owner, _KEEP):  # only root gives files away; only members give them to a group
            with suppress(OSError):
                os.fchown(descriptor, owner, access.group)
                break
        if os.fstat(descriptor).st_gid != access.group or not _write_acl(descriptor, access.acl):
            access = access.without_group()
            _change_mode(descriptor, access.mode)  # bounds what an access list that cannot be removed allows
            _write_acl(descriptor, None)
    _change_mode(descriptor, access.mode)


def _change_mode(descriptor: int, mode: int) -> None:
    """Give a file that was made private its mode, unless the file system keeps none, as FAT does."""
    try:
        os.fchmod(descriptor, mode)
    except OSError as error:
        if error.errno not in (errno.EPERM, *_UNKNOWN):
            raise


def _read_acl(path: Path) -> bytes | None:
    if not hasattr(os, "getxattr"):
        return None
    try:
        return os.getxattr(path, _ACL)
    except OSError as error:
        if error.errno not in (errno.ENODATA, *_UNKNOWN):  # otherwise there may be one, which bounds the mode's group
            raise
        return None


def _write_acl(descriptor: int, acl: bytes | None) -> bool:
    """Have a file this list, or none; whether that worked."""
    if not hasattr(os, "setxattr"):
        return acl is None
    try:
        if acl is not None:
            os.setxattr(descriptor, _ACL, acl)
        elif _ACL in os.listxattr(descriptor):  # from the folder's default
            os.removexattr(descriptor, _ACL)
    except OSError as error:
        return acl is None and error.errno in _UNKNOWN
    return True


def _umask() -> int:
    with suppress(OSError, ValueError, IndexError):
        status = Path("/proc/self/status").read_bytes()  # asking the system sets it
        return int(status.partition(b"Umask:")[2].split(maxsplit=1)[0], 8)
    before = os.umask(0o077)  # for a moment, in which the files of other threads are private
    os.umask(before)
    return before
