"""Other readers of QR codes on memvid's codes. ``python -m tools.readers`` prints the table of docs/codecs.md."""
