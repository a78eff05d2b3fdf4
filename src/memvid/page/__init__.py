"""Pages: the payloads of a memory's QR codes. ``docs/format.md`` is normative."""
