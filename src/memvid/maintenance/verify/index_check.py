"""What is wrong with an index, by itself and against its video. No chunk is lost by it: an index can be made anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from memvid.errors import MemvidError
from memvid.index.keywords import length_code
from memvid.index.manifest import MEND, Manifest, Segment, SideFile, read_manifest
from memvid.index.renamed import find_side_files
from memvid.index.segment_records import SegmentRecords
from memvid.index.segments import Records
from memvid.index.side_files import check_graph, check_side_file, open_records, open_side_file
from memvid.maintenance.verify.filter_check import FilterCheck
from memvid.maintenance.verify.findings import Findings
from memvid.maintenance.verify.video_check import VideoFacts
from memvid.page import ChunkIds, ChunkRanges, describe_chunks

__all__ = ["IndexCheck"]


class IndexCheck:
    """Checks one index; what is wrong goes to ``findings``, nothing is raised for it."""

    def __init__(self, path: Path, findings: Findings) -> None:
        self._path = path
        self._findings = findings
        self._manifest: Manifest | None = None
        self._records: Records | None = None
        self._filters: FilterCheck | None = None
        self._unequal: list[int] = []

    def open(self) -> None:
        """Check manifest, side files in full, and every link of the graph."""
        try:
            self._manifest = manifest = find_side_files(self._path, read_manifest(self._path))
        except MemvidError as error:
            self._findings.error("manifest", error, self._path)
            return
        sound = {side_file: self._is_sound(side_file) for _, side_file in manifest.side_files()}
        if not all(sound[side_file] for role, side_file in manifest.side_files() if role != "vectors"):
            return
        try:
            self._records = open_records(self._path, manifest)
        except MemvidError as error:
            self._findings.error("records", error, self._path)
            return
        for segment, part in zip(manifest.segments, self._records.parts, strict=True):
            if sound[segment.files["vectors"]]:
                self._check_graph(manifest, segment, part)
            self._check_postings(part)

    def chunks(self) -> ChunkRanges:
        """Chunks that the index has, as far as it can be read."""
        if self._records is None:
            return ()
        return self._ids(self._records).ranges

    @property
    def deleted(self) -> ChunkIds:
        """Chunks that the index says were deleted, as far as it can be read."""
        return ChunkIds.of([]) if self._records is None else self._records.deleted

    def missing(self, facts: VideoFacts) -> ChunkIds:
        """Chunks that it says its video, in this very state, had lost when it was made, and that were not read now."""
        manifest = self._manifest
        if manifest is None or self._records is None or manifest.video.digest != facts.identity.digest:
            return ChunkIds.of([])
        return ChunkIds.of_ranges(manifest.missing) - self._ids(self._records) - facts.read

    def claimed(self, tag: int) -> ChunkIds:
        """Chunks that it says there are, or were lost, if it is an index of the memory of this tag in any state."""
        manifest = self._manifest
        if manifest is None or manifest.video.tag != tag:
            return ChunkIds.of([])
        indexed = ChunkIds.of([]) if self._records is None else self._ids(self._records)
        return indexed | ChunkIds.of_ranges(manifest.missing)

    def take(self, first_chunk: int, texts: list[bytes], metadatas: list[bytes]) -> None:
        """Compare chunks that were read from the video with what the index says of them."""
        if self._records is None:
            return
        ids = np.arange(first_chunk, first_chunk + len(texts))
        rows = self._records.row_map.rows(ids)
        known = np.flatnonzero((rows >= 0) & ~self._records.deleted.contains(ids))
        if self._filters is None:
            self._filters = FilterCheck(self._records)
        try:
            differing = self._records.differing(ids[known], [metadatas[at] for at in known.tolist()])
        except MemvidError as error:
            self._findings.error("records", error, self._path)
            self._records.close()
            self._records = None
            return
        self._unequal += ids[known[differing]].tolist()
        for at in known.tolist():
            if length_code(texts[at].count(b" ")) != self._records.length_codes[rows[at]]:
                self._unequal.append(int(ids[at]))
            self._filters.take(int(rows[at]), metadatas[at])

    def compare(self, facts: VideoFacts) -> None:
        """Compare the index with the video as a whole, after all chunks were taken."""
        manifest, records = self._manifest, self._records
        if manifest is None:
            return
        if manifest.video.digest != facts.identity.digest:
            self._findings.error("manifest", manifest.difference(facts.identity), self._path)
        elif records is not None:
            self._compare_frames(facts, records)
            self._compare_filters()
        if self._unequal:
            unequal = describe_chunks(ChunkIds.of(self._unequal).ranges)
            self._findings.error(
                "records",
                f"metadata or lengths of {unequal} are not those in the video: {MEND}",
                self._path,
            )

    def close(self) -> None:
        """Let go of the files."""
        if self._records is not None:
            self._records.close()

    @staticmethod
    def _ids(records: Records) -> ChunkIds:
        """Chunks of the index that were not deleted."""
        return records.row_map.chunk_ids - records.deleted

    def _is_sound(self, side_file: SideFile) -> bool:
        try:
            check_side_file(self._path, side_file, always=True)
        except MemvidError as error:
            self._findings.error("side file", error, side_file.file_of(self._path))
            return False
        return True

    def _check_postings(self, records: SegmentRecords) -> None:
        try:
            records.verify()
        except MemvidError as error:
            self._findings.error("records", error, records.path)

    def _check_graph(self, manifest: Manifest, segment: Segment, records: SegmentRecords) -> None:
        side_file = segment.files["vectors"]
        try:
            with open_side_file(self._path, side_file) as file:
                data = file.read(0, file.nbytes)
            check_graph(self._path, manifest, segment, memoryview(data), records, links=True)
        except MemvidError as error:
            self._findings.error("graph", error, side_file.file_of(self._path))

    def _compare_filters(self) -> None:
        """What filters go by, of all chunks that were taken."""
        try:
            if self._filters is not None and self._filters.differs():
                what = f"what filters on metadata find by it is not what the video says: {MEND}"
                self._findings.error("records", what, self._path)
        except MemvidError as error:
            self._findings.error("records", error, self._path)

    def _compare_frames(self, facts: VideoFacts, records: Records) -> None:
        """Chunks, deletions and frames, of index and video."""
        if facts.deleted is not None and facts.deleted != records.deleted:
            self._findings.error(
                "records",
                f"the index has {len(records.deleted)} chunks as deleted, the video {len(facts.deleted)}: {MEND}",
                self._path,
            )
            return
        indexed = self._ids(records)
        there = facts.table.chunk_ids() - records.deleted - self.missing(facts)
        if there != indexed:
            missing, extra = there - indexed, indexed - there
            what = "it lacks " + describe_chunks(missing.ranges) if missing else ""
            if extra:
                what += (", and " if what else "it ") + "names what the video has not: "
                what += describe_chunks(extra.ranges)
            self._findings.error("records", f"{what}: {MEND}", self._path)
            return
        ids = records.row_map.ids(np.arange(len(records.row_map)))
        ids = ids[~records.deleted.contains(ids)]
        wrong = ids[records.frames_of(ids) != facts.table.frames_of(ids)]
        if len(wrong):
            self._findings.error(
                "records",
                f"the index has {describe_chunks(ChunkIds.of(wrong).ranges)} in other frames than the video: {MEND}",
                self._path,
            )
