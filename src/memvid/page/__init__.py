"""Pages: the payloads of a memory's QR codes. ``docs/format.md`` is normative."""

from __future__ import annotations

from memvid.page.changed_metadata import (
    ChangedMetadata,
    MetadataReader,
    decode_changed_metadata,
    encode_changed_metadata,
    metadata_bodies,
)
from memvid.page.chunk_ids import ChunkIds, ChunkRanges, count_chunks, describe_chunks, describe_numbers
from memvid.page.commits import decode_commit, encode_commit
from memvid.page.compression import MAX_BODY_BYTES, PageCompressor, PageDecompressor
from memvid.page.dictionary import sample_plan, train_dictionary
from memvid.page.header import (
    HEADER_BYTES,
    PageBody,
    PageFlag,
    PageHeader,
    PageKind,
    is_page,
    memory_name,
    page_checksum,
    parse_header,
    read_page,
    reseal,
    seal,
    verify,
)
from memvid.page.identity import HeaderInfo, decode_header_body, encode_header_body, memory_tag
from memvid.page.metadata import (
    ReadMetadata,
    decode_metadata,
    decoded_bytes,
    encode_metadata,
    is_json_of,
    metadata_json,
    read_metadata,
)
from memvid.page.packing import MAX_CHUNK_BYTES, MIN_CAPACITY, check_record, pack, pack_attributes, pack_bare, pack_blob
from memvid.page.parity import ParityHead, parse_parity_head
from memvid.page.reading import join_run, open_blob, open_body, open_page, open_run, unpacked_size
from memvid.page.records import Record, RecordPage, encode_body, encode_text
from memvid.page.spare import SPARE_VERSION, count_spare
from memvid.page.tombstones import LONGEST_DELETION, TombstoneReader, decode_tombstones, encode_tombstones

__all__ = [
    "HEADER_BYTES",
    "LONGEST_DELETION",
    "MAX_BODY_BYTES",
    "MAX_CHUNK_BYTES",
    "MIN_CAPACITY",
    "SPARE_VERSION",
    "ChangedMetadata",
    "ChunkIds",
    "ChunkRanges",
    "HeaderInfo",
    "MetadataReader",
    "PageBody",
    "PageCompressor",
    "PageDecompressor",
    "PageFlag",
    "PageHeader",
    "PageKind",
    "ParityHead",
    "ReadMetadata",
    "Record",
    "RecordPage",
    "TombstoneReader",
    "check_record",
    "count_chunks",
    "count_spare",
    "decode_changed_metadata",
    "decode_commit",
    "decode_header_body",
    "decode_metadata",
    "decode_tombstones",
    "decoded_bytes",
    "describe_chunks",
    "describe_numbers",
    "encode_body",
    "encode_changed_metadata",
    "encode_commit",
    "encode_header_body",
    "encode_metadata",
    "encode_text",
    "encode_tombstones",
    "is_json_of",
    "is_page",
    "join_run",
    "memory_name",
    "memory_tag",
    "metadata_bodies",
    "metadata_json",
    "open_blob",
    "open_body",
    "open_page",
    "open_run",
    "pack",
    "pack_attributes",
    "pack_bare",
    "pack_blob",
    "page_checksum",
    "parse_header",
    "parse_parity_head",
    "read_metadata",
    "read_page",
    "reseal",
    "sample_plan",
    "seal",
    "train_dictionary",
    "unpacked_size",
    "verify",
]
