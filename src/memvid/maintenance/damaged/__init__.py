"""What can still be made out in a file that is damaged: its boxes, its frames, its pictures."""

__all__ = ()
