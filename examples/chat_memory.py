"""Talk with a memory: the whole of MemvidChat in one small program.

    python examples/chat_memory.py [MEMORY.mp4]

Without a memory it makes a small one. It answers through OpenAI, Anthropic or Gemini if the environment has a key of
theirs (OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY), through a server of your own if MEMVID_BASE_URL names one
(examples/small_model_server.py starts one on this machine), else by quoting.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from memvid import MemvidChat, MemvidEncoder
from memvid.errors import LLMError

NOTES = [
    "Support: a user could not log in on March 2, because the session server was down.",
    "Support: error 500 on the signup page, March 4. The disk of the signup server was full.",
    "Operations: the backup of the billing database runs at 3 in the morning and is kept for thirty days.",
    "Operations: the session server was replaced on March 5 by Ada, who leads the platform team.",
    "Team: the platform team meets on Tuesdays at 10.",
]


def make_memory(video: Path) -> None:
    """A memory of a few notes."""
    with MemvidEncoder() as encoder:
        encoder.add_chunks(NOTES)
        encoder.build_video(video)


def answer(chat: MemvidChat, question: str) -> None:
    """Show an answer as it is made, then the chunks it cites."""
    print("\nAssistant: ", end="")
    try:
        # chat.chat(question) gives the whole answer at once; achat and astream are their twins for event loops.
        for piece in chat.stream(question):
            print(piece, end="", flush=True)
    except LLMError as error:  # no key, no connection, too many requests: the conversation can go on
        print(f"\n({error})", file=sys.stderr)
        return
    except KeyboardInterrupt:  # Ctrl-C ends the answer; what had come is kept
        print("\n(stopped)")
        return
    print()
    for source in chat.history[-1].sources:
        at = "" if source.seconds is None else f", {source.seconds:.2f} s into the video"
        print(f"  [{source.number}] chunk {source.chunk_id}, frame {source.frame_index}{at}")


def explain(chat: MemvidChat) -> None:
    """What the last answer was made from: what was searched for, sent and left out."""
    context = chat.last_context
    if context is not None:
        print(f"\nSearched for {context.query!r}.")
        if chat.usage.requests:  # none where answers are quotes: nothing is sent then
            print(f"{context.budget.request} tokens sent, of a window of {context.budget.window}.")
        for passage in context.passages:
            print(f"  [{passage.number}] {passage.score:.3f} {passage.text}")
        for left_out in context.left_out:
            print(f"  left out: chunk {left_out.chunk_id}, {left_out.score:.3f}, {left_out.reason}")


def main() -> None:
    """Ask until the input ends."""
    video = Path(sys.argv[1] if len(sys.argv) > 1 else "memvid-example/notes.mp4")
    if not video.exists():
        video.parent.mkdir(parents=True, exist_ok=True)
        make_memory(video)
    with MemvidChat(video, base_url=os.environ.get("MEMVID_BASE_URL")) as chat:
        chat.start_session("You answer in one or two sentences.")
        print(f"{chat}\nAsk something; an empty line ends.")
        while True:
            try:
                question = input("\nYou: ").strip()
            except EOFError:
                break
            if not question:
                break
            answer(chat, question)
        explain(chat)
        chat.export_history(video.with_suffix(".chat.json"))  # load_history() goes on from there
        print(f"\n{chat.usage}\nKept in {video.with_suffix('.chat.json')}")


if __name__ == "__main__":
    main()
