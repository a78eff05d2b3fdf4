"""How much something may take, whatever a file claims."""

from __future__ import annotations

from dataclasses import dataclass, field

from memvid.errors import ResourceLimitError

__all__ = ["Allowance"]


@dataclass(slots=True)
class Allowance:
    """Bytes that something may take. They are spent before they are taken.

    :ivar limit: how many.
    :ivar what: what takes them, and the verb.
    :ivar remedy: what to do where they are not enough.
    :ivar spent: how many were taken.
    """

    limit: int
    what: str
    remedy: str
    spent: int = field(default=0, init=False)

    def spend(self, nbytes: int) -> None:
        """Take some.

        :raises ResourceLimitError: there are not so many left.
        """
        self.spent += nbytes
        if self.spent > self.limit:
            raise ResourceLimitError(f"{self.what} more than {self.limit} bytes: {self.remedy}")
