"""``memvid chat``: in a pipe, and in a real terminal with Ctrl-C."""

from __future__ import annotations

import io
import os
import pty
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memvid import MemvidChat
from memvid.cli import main
from memvid.cli.chat import _Terminal
from memvid.embedding import HashingEmbedder
from tests.llm.llm_support import KEY, ChatServer, Handler, cut, event, hold, running, say, status

FACTS = ["The login page failed on March 2.", "Backups run at night.", "The login page was fixed on March 3."]


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with running() as started:
        yield started


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> Path:
    """A memory of three facts, found by their words."""
    folder = tmp_path_factory.mktemp("chat")
    (folder / "facts").mkdir()
    for number, fact in enumerate(FACTS):
        (folder / "facts" / f"{number}.txt").write_text(fact)
    video = folder / "memory.mp4"
    assert main(["build", str(folder / "facts"), "-o", str(video), "--model", "hashing"]) == 0
    return video


class Piped:
    """Runs ``memvid chat`` on lines of standard input."""

    def __init__(self, memory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._memory, self._monkeypatch, self._capsys = memory, monkeypatch, capsys

    def __call__(self, *lines: str, options: tuple[str, ...] = (), code: int = 0) -> tuple[str, str]:
        self._monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        assert main(["chat", str(self._memory), "--model", "hashing", *options]) == code
        return self._capsys.readouterr()


@pytest.fixture
def piped(memory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Piped:
    capsys.readouterr()
    return Piped(memory, monkeypatch, capsys)


class TestPiped:
    def test_answers_and_footnotes(self, piped: Piped, server: ChatServer) -> None:
        server.reply = say("On March", " 2 [1]. Or [9].")
        out, err = piped("When did the login page fail?", options=("--base-url", server.url))
        assert out.startswith("On March 2 [1]. Or.\n\n  [1]  chunk 0, frame ")
        assert "1 citation named no passage and was removed" in out
        assert err == ""
        assert "Authorization" not in server.requests[-1].headers

    def test_without_a_model(self, piped: Piped) -> None:
        out, _ = piped("When did the login page fail?", options=("--llm-provider", "none"))
        assert out.startswith(f"> {FACTS[0]} [1]\n")
        out, _ = piped("When did the login page fail?")
        assert out.startswith("(no language model: set OPENAI_API_KEY, ")

    def test_the_key_comes_from_the_variable_that_is_named(
        self, piped: Piped, server: ChatServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MY_KEY", KEY)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
        options = ("--base-url", server.url, "--llm-model", "m", "--system", "Be kind.", "--key-variable")
        piped("login page?", options=(*options, "MY_KEY"))
        assert server.requests[0].headers["Authorization"] == f"Bearer {KEY}"
        assert server.requests[0].messages[0]["content"].startswith("Be kind.")
        assert "NO_SUCH has no" not in piped("x", options=(*options, "NO_SUCH"), code=1)[1]

    def test_an_answer_is_waited_for_as_long_as_the_user_says(self, piped: Piped, server: ChatServer) -> None:
        release = threading.Event()
        server.reply = hold(release, "Well")
        options = ("--base-url", server.url, "--llm-model", "m", "--answer-seconds", "0.3")
        try:
            _, err = piped("login page?", options=options, code=1)
        finally:
            release.set()
        assert "memvid: error:" in err
        assert "raise" in err

    def test_commands(self, piped: Piped, tmp_path: Path, server: ChatServer) -> None:
        saved = tmp_path / "chat.json"
        lines = (
            "/sources",
            "/help",
            "login page?",
            "/sources",
            "/usage",
            f"/save {saved}",
            "/save",
            "/nonsense",
            "/reset",
            "/quit",
            "never asked",
        )
        out, _ = piped(*lines, options=("--base-url", server.url))
        assert "There is no answer yet." in out
        assert "Ctrl-C stops an answer" in out
        assert "[1] score 0." in out
        assert "tokens were sent, of 3,072 there is room for." in out
        assert "Left out, too far: 1" in out
        assert "1 requests, 1 of them counted by memvid" in out
        assert f"Saved in {saved}." in out
        assert "Say where: /save FILE" in out
        assert "There is no command /nonsense." in out
        assert out.endswith("Forgotten.\n\n")
        assert len(server.requests) == 2  # which models there are, and one question
        out, _ = piped("/save " + str(tmp_path / "chat.md"), options=("--base-url", server.url, "--load", str(saved)))
        assert "> login page?" in (tmp_path / "chat.md").read_text("utf-8")

    @pytest.mark.parametrize(
        ("reply", "message"),
        [(status(401, "bad key"), "answers 401: bad key"), (cut("Half"), "broke off")],
    )
    def test_an_error_ends_a_pipe(self, piped: Piped, server: ChatServer, reply: Any, message: str) -> None:
        server.reply = reply
        _, err = piped("login?", "never asked", options=("--base-url", server.url), code=1)
        assert err.startswith("memvid: error: custom, model 'tiny',")
        assert message in err
        assert len(server.requests) == 2

    def test_what_is_saved_replaces_nothing_else(self, piped: Piped, memory: Path) -> None:
        before = memory.read_bytes()
        _, err = piped("login?", f"/save {memory}", options=("--llm-provider", "none"), code=1)
        assert "what is there is no conversation" in err
        assert memory.read_bytes() == before

    @pytest.mark.parametrize("name", ["~no-such-user/x/chat.json", "a\0b", "/nowhere/chat.json"])
    def test_where_nothing_can_be_saved(self, piped: Piped, name: str) -> None:
        _, err = piped("login?", f"/save {name}", options=("--llm-provider", "none"), code=1)
        assert "memvid: error: " in err
        assert "unexpected" not in err

    def test_a_loaded_conversation_has_its_own_system_prompt(self, piped: Piped, tmp_path: Path) -> None:
        saved = str(tmp_path / "chat.json")
        piped("login?", f"/save {saved}", options=("--llm-provider", "none"))
        _, err = piped(options=("--load", saved, "--system", "Be kind."), code=2)
        assert "has its own --system" in err

    def test_input_in_another_encoding(self, piped: Piped, monkeypatch: pytest.MonkeyPatch) -> None:
        lines = io.TextIOWrapper(io.BytesIO(b"caf\xe9?\n"), encoding="utf-8")
        monkeypatch.setattr(io, "StringIO", lambda _: lines)
        _, err = piped(code=1)
        assert err == "memvid: error: standard input is not utf-8: invalid continuation byte, byte 3\n"

    def test_no_input_at_all(self, piped: Piped, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(io, "StringIO", lambda _: None)
        assert piped() == ("", "")

    def test_ctrl_c_when_no_answer_is_coming(
        self, memory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lines = iter(["/usage", "login?", "/quit"])

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        with MemvidChat(memory, embedder=HashingEmbedder(), llm_provider="none") as conversation:
            terminal = _Terminal(conversation)
            for name, stand_in in (
                ("_read", lambda: next(lines)),
                ("_usage", interrupted),
                ("_footnotes", interrupted),
            ):
                monkeypatch.setattr(terminal, name, stand_in)
            with pytest.raises(KeyboardInterrupt):  # in a pipe it ends
                terminal._next()
            terminal._interactive = True
            lines = iter(["/usage", "login?", "/quit"])
            assert [terminal._next() for _ in range(3)] == [True, True, False]
            lines = iter(["/usage"])
            monkeypatch.setattr("memvid.cli.chat.is_stopped", lambda: True)  # by SIGTERM, which is for the program
            with pytest.raises(KeyboardInterrupt):
                terminal._next()
        assert capsys.readouterr().out.count("(/quit or Ctrl-D ends)") == 2

    def test_wrong_names(self, piped: Piped) -> None:
        assert "did you mean 'ollama'?" in piped(options=("--llm-provider", "olama"), code=1)[1]
        assert "ANTHROPIC_API_KEY" in piped(options=("--llm-provider", "anthropic"), code=1)[1]

    def test_what_could_steer_a_terminal_does_not(self, piped: Piped, server: ChatServer) -> None:
        server.reply = say("Red \x1b[31m alert\x07.")
        out, _ = piped("login?", options=("--base-url", server.url))
        assert "Red \ufffd[31m alert\ufffd." in out
        assert "\x1b" not in out


# Makes standard input the controlling terminal, so that Ctrl-C typed into it becomes a signal, then is memvid.
TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "memvid", *sys.argv[1:]])
"""


class Terminal:
    """The program in a terminal of its own: what is typed goes in, what it shows comes out."""

    def __init__(self, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "NO_COLOR": "1", "TERM": "dumb"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL, "chat", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            start_new_session=True,
        )
        os.close(slave)
        self.shown = ""

    def wait_for(self, text: str, *, again: str = "") -> str:
        """Reads until ``text`` is shown; returns what came up to it.

        :param again: a key that is typed again when nothing comes. A signal that arrives in the moment between the
            prompt and the wait for a key is noticed with the next key.
        """
        silences = 0
        while text not in self.shown:
            ready, _, _ = select.select([self._master], [], [], 5)
            if not ready:
                silences += 1
                assert silences < 24, f"{text!r} never came: {self.shown!r}"
                self.type(again)
                continue
            try:
                data = os.read(self._master, 4096)
            except OSError:  # the other side has closed
                data = b""
            assert data, f"ended without {text!r}: {self.shown!r}"
            self.shown += data.decode("utf-8", "replace")
        before, _, self.shown = self.shown.partition(text)
        return before

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def close(self) -> int:
        """Waits for the end; returns the exit code."""
        code = self.process.wait(120)
        os.close(self._master)
        return code


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
class TestTerminal:
    def test_ctrl_c_stops_the_answer_and_not_the_program(self, memory: Path, server: ChatServer) -> None:
        gone = threading.Event()

        def endless(handler: Handler, _: dict[str, Any]) -> None:
            handler.start_stream()
            try:
                for number in range(1_000_000):
                    handler.send_event(event(f" word{number}"))
            except OSError:
                gone.set()

        server.script.extend([endless, say("login page?"), say("It was fixed [1].")])
        terminal = Terminal(str(memory), "--model", "hashing", "--base-url", server.url, "--llm-model", "m")
        try:
            assert "3 chunks" in terminal.wait_for("Answers by custom, m.")
            terminal.wait_for("You: ")
            terminal.type("login page?\n")
            terminal.wait_for("word7")
            terminal.type("\x03")
            terminal.wait_for("(stopped)")
            assert gone.wait(60)  # the request is over too
            terminal.wait_for("You: ")
            terminal.type("was it fixed?\n")
            terminal.wait_for("It was fixed [1].")
            assert "word1" in server.requests[-1].messages[2]["content"]  # what had come is remembered
            terminal.wait_for("You: ")
            terminal.type("\x03")
            terminal.wait_for("(/quit or Ctrl-D ends)", again="\x03")
            terminal.wait_for("You: ")
            terminal.type("\x04")
            assert terminal.close() == 0
        finally:
            if terminal.process.poll() is None:
                terminal.process.send_signal(signal.SIGKILL)
                terminal.process.wait()

    def test_after_an_error_the_conversation_goes_on(self, memory: Path, server: ChatServer) -> None:
        server.script.append(status(400, "too hot"))
        terminal = Terminal(str(memory), "--model", "hashing", "--base-url", server.url, "--llm-model", "m")
        try:
            terminal.wait_for("You: ")
            terminal.type("login page?\n")
            terminal.wait_for("memvid: error: custom, model 'm',")
            terminal.wait_for("You: ")
            terminal.type("login page?\n")
            terminal.wait_for("Yes [1].")
            terminal.wait_for("You: ")
            terminal.type("/quit\n")
            assert terminal.close() == 0
        finally:
            if terminal.process.poll() is None:
                terminal.process.send_signal(signal.SIGKILL)
                terminal.process.wait()
