"""Build a memory, open it, ask it: everything ``memvid demo`` does, through the API.

    python examples/build_memory.py [FOLDER]

The text is the Python language reference, which every CPython carries; put your own in its place.
"""

from __future__ import annotations

import sys
from pathlib import Path

from memvid import MemvidEncoder, MemvidRetriever, Progress


def read_topics() -> dict[str, str]:
    """What ``help("with")`` and its like print, by topic."""
    from pydoc_data.topics import topics

    return dict(topics)


def show_progress(progress: Progress) -> None:
    """Called a few times a second while the video is built. A stage and two numbers: draw what you like."""
    print(f"\r{progress.stage:<12} {progress.done:>6} of {progress.total}", end="", file=sys.stderr, flush=True)


def build(folder: Path) -> Path:
    """Build the memory and say how large it became."""
    folder.mkdir(parents=True, exist_ok=True)

    # Options are those of EncoderConfig, and a typo is an error. Chunks wait on disk until the video is built, so that
    # memory does not grow with their number; the `with` removes them.
    with MemvidEncoder(chunk_size=500, overlap=100) as encoder:
        for topic, text in read_topics().items():
            # add_text splits at the ends of sentences and paragraphs; the metadata goes with each of the chunks.
            encoder.add_text(text, metadata={"topic": topic})

        # Chunks of your own are stored exactly as they are, byte for byte.
        encoder.add_chunks(
            ["Remember: this memory was built by an example.", "Its text is inside the video, and only there."],
            metadatas=[{"topic": "notes", "important": True}, {"topic": "notes"}],
        )

        # Either the video and its index both appear, complete and read back, or neither does.
        result = encoder.build_video(folder / "memory.mp4", progress=show_progress)

    print(f"\r{result.chunks} chunks in {result.frames} QR codes, {result.seconds['total']:.1f} s", file=sys.stderr)
    print(f"text {result.text_bytes:,} bytes, video {result.video_bytes:,}, index {result.index_bytes:,}")
    return result.video_file


def ask(video: Path) -> None:
    """Search the memory in every way there is."""
    # Opening maps the files and reads nothing else. Share one retriever between threads.
    with MemvidRetriever(video) as retriever:
        # The simplest: a question, a list of texts.
        print("\nContext managers:\n ", retriever.search("what is a context manager?", top_k=1)[0])

        # With ids, scores, metadata and frames. Scores are cosine similarities.
        for result in retriever.search_results("how are default arguments evaluated?", top_k=3):
            print(
                f"\n{result.score:.3f}, frame {result.frame_index}, topic {result.metadata['topic']}\n  {result.text}"
            )

        # Only chunks with this metadata; a list of values means any of them.
        notes = retriever.search_results("where is the text?", top_k=1, where={"topic": "notes"})
        print("\nAmong the notes:\n ", notes[0].text)

        # The chunks around a hit, in order: more context for a reader or a language model.
        around = retriever.neighbours(notes[0].chunk_id, before=1, after=1)
        print("\nIts neighbours:", [chunk.chunk_id for chunk in around])

        # What it cost: frames read, cache hits, seconds of each stage.
        print("\n", retriever.stats)


if __name__ == "__main__":
    ask(build(Path(sys.argv[1] if len(sys.argv) > 1 else "memvid-example")))
