"""What makes files durable: sets of files that change together, their journal, their locks, disks that fail."""

__all__ = ()
