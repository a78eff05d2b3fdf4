"""Which key goes where: to its provider's endpoint, in the Authorization header, and nowhere else."""

from __future__ import annotations

import copy
import io
import json
import logging
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from memvid import MemvidChat
from memvid.errors import ConfigError, LLMConnectionError, LLMError, MemvidError
from memvid.llm import CallableBackend, OpenAIBackend, QuotingBackend, backend_names, resolve_backend
from memvid.network.endpoint import CUSTOM, PROVIDERS, Endpoint
from memvid.network.meter import Meter, StoppedError
from memvid.network.secret import Secret, causes, mask
from memvid.network.service import libraries_of
from memvid.network.transport import Gate
from tests.chat.chat_support import ListMemory
from tests.llm.llm_support import KEY, ChatServer, backend, body, cut, running, say, status
from tests.memory_support import build, open_memory

VARIABLES = [provider.key_variable for provider in PROVIDERS.values() if provider.key_variable]
ANTHROPIC_KEY = "sk-ant-canary-0123456789"
GEMINI_KEY = "AIzaCanary0123456789"


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment of the tests has, memvid shall not find it."""
    for name in (*VARIABLES, "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with running() as started:
        yield started


def at(made: object) -> tuple[str, str, str | None]:
    """Provider, address and key."""
    assert isinstance(made, OpenAIBackend)
    key = made._endpoint.key
    return made.name, made.base_url, key.reveal() if key else None


class TestWhoseKeyItIs:
    def test_a_bare_key_is_openais(self) -> None:
        assert at(resolve_backend(api_key=KEY)) == ("openai", "https://api.openai.com/v1/", KEY)

    @pytest.mark.parametrize(("key", "name"), [(ANTHROPIC_KEY, "anthropic"), (GEMINI_KEY, "gemini")])
    def test_a_key_that_says_whose_it_is(self, key: str, name: str) -> None:
        assert at(resolve_backend(api_key=key)) == (name, PROVIDERS[name].base_url, key)
        for other in {"openai", "anthropic", "gemini"} - {name}:
            with pytest.raises(ConfigError, match=f"a key of {name}, which is not sent to {other}") as caught:
                resolve_backend(api_key=key, provider=other)
            assert key not in str(caught.value)

    @pytest.mark.parametrize(
        ("model", "name"), [("claude-x", "anthropic"), ("gemini-x", "gemini"), ("gpt-x", "openai"), ("o3", "openai")]
    )
    def test_a_model_that_says_whose_it_is(self, model: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for variable in VARIABLES:
            monkeypatch.setenv(variable, f"key-of-{variable}")
        made = resolve_backend(model=model)
        assert at(made)[0] == name
        assert made.model == model  # type: ignore[attr-defined]

    def test_the_environment_in_order(self, monkeypatch: pytest.MonkeyPatch) -> None:
        names = ("openai", "anthropic", "gemini")
        assert len(names) == len(VARIABLES), "a new provider with a key: put its name here, in the order of PROVIDERS"
        for variable, name in reversed(list(zip(VARIABLES, names, strict=True))):
            monkeypatch.setenv(variable, f"key-of-{name}")
            assert at(resolve_backend()) == (name, PROVIDERS[name].base_url, f"key-of-{name}")

    def test_the_argument_before_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "of-the-environment")
        assert at(resolve_backend(api_key=KEY))[2] == KEY

    @pytest.mark.parametrize("name", ["openai", "anthropic", "gemini"])
    def test_a_missing_key_names_argument_and_variable(self, name: str) -> None:
        with pytest.raises(ConfigError, match=f"llm_api_key=.*{PROVIDERS[name].key_variable}"):
            resolve_backend(provider=name)

    @pytest.mark.parametrize("name", ["ollama", "vllm", "llamacpp", "lmstudio"])
    def test_local_servers_want_none_and_get_none(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for variable in VARIABLES:
            monkeypatch.setenv(variable, KEY)
        assert at(resolve_backend(provider=name)) == (name, PROVIDERS[name].base_url, None)

    def test_a_key_of_the_environment_stays_at_home(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        assert at(resolve_backend(base_url="http://localhost:1/v1"))[2] is None
        with pytest.raises(ConfigError, match="OPENAI_API_KEY is sent to openai's own address only"):
            resolve_backend(provider="openai", base_url="https://proxy.example/v1")
        assert at(resolve_backend(provider="openai", base_url="https://proxy.example/v1", api_key="mine"))[2] == "mine"

    def test_an_address_tells_its_provider(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ANTHROPIC_API_KEY", ANTHROPIC_KEY)
        assert at(resolve_backend(base_url="https://API.anthropic.com/v1"))[::2] == ("anthropic", ANTHROPIC_KEY)
        with pytest.raises(ConfigError, match="is not at base_url"):
            resolve_backend(provider="openai", base_url="https://api.anthropic.com/v1/")
        with pytest.raises(ConfigError, match="in the clear"):
            resolve_backend(base_url="http://api.anthropic.com/v1/")

    def test_key_and_address_of_the_environment_belong_together(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_BASE_URL", "https://proxy.example/v1")
        assert at(resolve_backend(api_key=KEY))[1] == "https://api.openai.com/v1/"
        monkeypatch.setenv("OPENAI_API_KEY", "of-the-proxy")
        assert at(resolve_backend())[1:] == ("https://proxy.example/v1", "of-the-proxy")
        monkeypatch.setenv("OPENAI_BASE_URL", "https://api.anthropic.com/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-proj-0123456789")
        with pytest.raises(ConfigError, match="OPENAI_API_KEY is a key of openai, which is not sent to anthropic"):
            resolve_backend()

    @pytest.mark.parametrize("host", ["example.com", "203.0.113.5", "134744072", "0x08080808", "[2001:db8::1]"])
    def test_no_key_goes_in_the_clear(self, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ConfigError, match="in the clear: use https"):
            resolve_backend(api_key=KEY, base_url=f"http://{host}/v1")
        assert at(resolve_backend(api_key=KEY, base_url=f"https://{host}/v1"))[2] == KEY
        assert at(resolve_backend(base_url=f"http://{host}/v1"))[2] is None
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://{host}/v1")
        with pytest.raises(ConfigError, match=r"OPENAI_BASE_URL=.* in the clear"):
            resolve_backend()

    @pytest.mark.parametrize("host", ["localhost", "192.168.1.5", "vllm", "box.local", "[fd00::1]"])
    def test_but_in_private_networks(self, host: str) -> None:
        assert at(resolve_backend(api_key="mine", base_url=f"http://{host}:8000/v1"))[2] == "mine"

    def test_an_address_of_the_environment_is_checked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", "https://user:secret@proxy.example/v1")
        with pytest.raises(ConfigError, match="OPENAI_BASE_URL has a user name") as caught:
            resolve_backend()
        assert "secret" not in str(caught.value)

    def test_a_key_of_openai_goes_to_no_other(self) -> None:
        for name in ("anthropic", "gemini"):
            with pytest.raises(ConfigError, match="a key of openai, which is not sent to " + name):
                resolve_backend(provider=name, api_key="sk-proj-0123456789")
        assert at(resolve_backend(model="claude-haiku-4-5", api_key="sk-proj-0123456789"))[0] == "openai"
        assert at(resolve_backend(provider="gemini", api_key="AQ.newer"))[2] == "AQ.newer"

    @pytest.mark.parametrize(
        "url",
        [
            "localhost:8080",
            "ftp://x/",
            "http://",
            "http://u:p@x/",
            "http://x/?k=1",
            "http://x:y",
            " http://x/",
            "http://x/\n",
            "http://x y/",
            "http://\u00e4..b/",
        ],
    )
    def test_addresses_are_checked(self, url: str) -> None:
        with pytest.raises(ConfigError, match="base_url"):
            resolve_backend(base_url=url)

    @pytest.mark.parametrize("key", ["with blank", "line\nend", "ключ-который-тайна", "tab\t"])
    def test_a_key_that_is_none(self, key: str) -> None:
        with pytest.raises(ConfigError, match="llm_api_key") as caught:
            resolve_backend(api_key=key)
        assert key.strip() not in str(caught.value)


class TestNames:
    def test_no_key_is_quotes_and_says_so(self) -> None:
        made = resolve_backend()
        assert isinstance(made, QuotingBackend)
        for word in ("llm_api_key", *VARIABLES):
            assert word in made.complete([], passages=()).text

    def test_quotes_on_request_need_no_excuse(self) -> None:
        assert resolve_backend(provider="none").complete([]).text == "Nothing in the memory comes near this question."
        with pytest.raises(ConfigError, match="no use for llm_api_key"):
            resolve_backend(provider="none", api_key=KEY)

    def test_the_near_miss_is_named(self) -> None:
        with pytest.raises(ConfigError, match=r"unknown llm_provider 'Antropic': did you mean 'anthropic'"):
            resolve_backend(provider="Antropic")
        with pytest.raises(ConfigError, match=r"there are openai, .*none"):
            resolve_backend(provider="xyz")

    def test_a_model_alone_is_not_enough(self) -> None:
        with pytest.raises(ConfigError, match=r"llm_provider .*base_url or llm_api_key, or set OPENAI_API_KEY"):
            resolve_backend(model="llama3")

    @pytest.mark.parametrize("name", ["provider", "api_key", "model", "base_url"])
    def test_nothing_is_not_a_name(self, name: str) -> None:
        for value in ("", "  ", 5):
            with pytest.raises(ConfigError, match=name):
                resolve_backend(**{name: value})  # type: ignore[arg-type]

    def test_backends_of_ones_own(self) -> None:
        own = CallableBackend(lambda messages: "x")
        assert resolve_backend(own) is own
        assert isinstance(resolve_backend(lambda messages: "x"), CallableBackend)
        for wrong, message in ((CallableBackend, "is the class"), ("openai", "as llm_provider"), (5, "is a int")):
            with pytest.raises(ConfigError, match=message):
                resolve_backend(wrong)  # type: ignore[arg-type]

        async def later(messages: object) -> str:
            return "x"

        with pytest.raises(ConfigError, match="is asynchronous"):
            resolve_backend(later)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="llm_model has no effect"):
            resolve_backend(own, model="x")
        with pytest.raises(ConfigError, match="llm_options has no effect"):
            resolve_backend(own, options={"temperature": 0})
        with pytest.raises(ConfigError, match="timeout has no effect"):
            resolve_backend(lambda messages: "x", timeout=5)


PLUGIN = """
from memvid.llm import CallableBackend
def make(*, api_key=None, model=None, base_url=None, options=None):
    if api_key == "bad":
        raise RuntimeError(f"{api_key} was refused")
    return CallableBackend(lambda messages: f"{model} says hello", name="parrot")
def wrong(**options):
    return 5
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package that offers backends: a module, and the metadata that an installer writes."""
    (tmp_path / "parrot_plugin.py").write_text(PLUGIN)
    info = tmp_path / "parrot_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[memvid.backends]\nparrot = parrot_plugin:make\nwrong = parrot_plugin:wrong\ngone = parrot_plugin:gone\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("plugin")
class TestEntryPoints:
    def test_found_by_name(self) -> None:
        assert backend_names()[-3:] == ["gone", "parrot", "wrong"]
        made = resolve_backend(provider="parrot", model="Polly")
        assert made.complete([]).text == "Polly says hello"

    def test_a_near_miss_too(self) -> None:
        with pytest.raises(ConfigError, match="did you mean 'parrot'"):
            resolve_backend(provider="parot")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"provider": "wrong"}, "made a int, which is no backend"),
            ({"provider": "gone"}, "cannot be made: AttributeError"),
            ({"provider": "parrot", "timeout": 5.0}, "cannot be made: TypeError"),
        ],
    )
    def test_those_that_do_not_work(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            resolve_backend(**options)

    def test_their_errors_do_not_show_the_key(self) -> None:
        with pytest.raises(ConfigError, match=r"\*\*\* was refused") as caught:
            resolve_backend(provider="parrot", api_key="bad")
        assert str(caught.value.__cause__) == "*** was refused"


def failing(error: Exception) -> Callable[[object], str]:
    """A model that raises."""

    def fail(_: object) -> str:
        raise error

    return fail


class TestSecret:
    def test_it_is_never_shown(self) -> None:
        secret = Secret(KEY, name="key")
        assert repr(secret) == str(secret) == f"{secret}" == "Secret(sk-...YZ)"
        assert mask("short") == "***"
        for leak in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError):
                leak(secret)

    def test_it_is_taken_out_of_anything(self) -> None:
        hidden = Secret(KEY, name="key").hide_in({KEY: [f"x{KEY}", (KEY.encode(), 5)]})
        assert KEY not in repr(hidden)
        assert hidden["sk-...YZ"][1][1] == 5


class TestCanary:
    """Runs a whole conversation, with failures, and greps everything that came of it."""

    def test_the_key_is_in_the_header_and_nowhere_else(
        self, tmp_path: Path, server: ChatServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        caplog.set_level(logging.DEBUG)
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        logging.getLogger("openai").addHandler(handler)
        seen: list[object] = []
        try:
            with (
                open_memory(build(tmp_path, ["The login failed.", "Backups run at night."])) as memory,
                MemvidChat(retriever=memory, llm_api_key=KEY, base_url=server.url, max_retries=0) as chat,
            ):
                chat.chat("login?")
                list(chat.stream("backups?"))
                for failure in (
                    status(401, f"wrong: {KEY}"),
                    status(500, KEY),
                    cut("x"),
                    status(400, f'"{KEY}"', param=KEY),
                ):
                    server.script.extend([say("the login?"), failure])
                    with pytest.raises(LLMError) as caught:
                        list(chat.stream("and login?"))
                    seen += traceback.TracebackException.from_exception(caught.value, capture_locals=True).format()
                    seen += [caught.value.args, caught.value.__cause__, vars(caught.value)]
                chat.export_history(tmp_path / "chat.json")
                chat.export_history(tmp_path / "chat.md", "markdown")
                seen += [
                    chat,
                    chat.backend,
                    vars(chat),
                    vars(chat.backend),
                    chat.history,
                    chat.last_context,
                    chat.usage,
                ]
                client = chat.backend._service.client(Meter(seconds=9, max_bytes=9))  # type: ignore[attr-defined]
                seen += [client, vars(client), client.api_key, client.default_headers, vars(client._client)]
        finally:
            logging.getLogger("openai").removeHandler(handler)
        seen += [caplog.text, stream.getvalue(), *capfd.readouterr()]
        seen += [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
        assert "openai" in caplog.text
        assert [str(item) for item in seen if KEY in f"{item!r} {item!s}"] == []
        assert len(server.requests) == 12
        for request in server.requests:
            assert request.headers.pop("Authorization") == f"Bearer {KEY}"
            assert KEY not in f"{request.headers} {request.path}"
            assert KEY.encode() not in request.raw

    @pytest.mark.parametrize("number", [401, 307])
    def test_what_an_error_carries(self, server: ChatServer, number: int) -> None:
        echo = {"X-Echo": f"Bearer {KEY}", "X-Request-Id": KEY, "Location": f"http://elsewhere/?key={KEY}"}
        server.reply = status(number, KEY, echo, code=KEY, type=KEY)
        with backend(server) as asked, pytest.raises(LLMError) as caught:
            asked.complete([{"role": "user", "content": "hi"}])
        told = list(causes(caught.value))
        assert len(told) == 3  # memvid's, the client's, that of its transport
        for error in told:
            carried = [getattr(error, "request", None), getattr(error, "response", None)]
            shown = [error, vars(error), pickle.dumps(error)]
            shown += [dict(one.headers) for one in carried if one is not None]
            assert [item for item in shown if KEY in f"{item!r} {item!s}"] == []
        hidden = "*" * len(KEY)  # before anything saw it
        reply = told[1].response  # type: ignore[attr-defined]
        assert (reply.status_code, reply.headers["X-Echo"]) == (number, f"Bearer {hidden}")
        assert hidden in reply.text

    def test_what_shows_the_variables_of_a_traceback(self, tmp_path: Path) -> None:
        for wrong in ({"llm_provider": "nobody"}, {"video_file": tmp_path / "none.mp4"}, {"top_k": 0}):
            with pytest.raises(MemvidError) as caught:
                MemvidChat(llm_api_key=KEY, **wrong)
            shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
            assert KEY not in shown

    def test_another_backend_says_the_key(self, server: ChatServer) -> None:
        chat = MemvidChat(retriever=ListMemory(["x"]), llm_api_key=KEY, base_url=server.url)
        for kind in (RuntimeError, LLMError):
            chat._runner.backend = CallableBackend(failing(kind(f"no {KEY}")))
            with pytest.raises(LLMError, match=r"no sk-\.\.\.YZ") as caught:
                chat.chat("x?")
            assert KEY not in "".join(traceback.format_exception(caught.value))

    def test_the_log_of_the_http_library(self, server: ChatServer, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        echo = {"X-Echo": f"Bearer {KEY}", "Set-Cookie": f"a={KEY[::-1]}"}
        server.script.extend([status(401, KEY, echo), status(307, "", {**echo, "Location": f"/{KEY}"})])
        with backend(server) as asked:
            for _ in range(2):
                with pytest.raises(LLMError):
                    asked.complete([{"role": "user", "content": "hi"}])
        assert "receive_response_headers.complete" in caplog.text
        assert KEY not in caplog.text
        assert KEY[::-1] not in caplog.text

    def test_an_answer_that_repeats_it(self, server: ChatServer) -> None:
        server.reply = say(f"Your key is {KEY}.")
        with backend(server) as asked:
            hidden = "Your key is *****************************."
            assert asked.complete([{"role": "user", "content": "hi"}]).text == hidden
            assert "".join(piece.text for piece in asked.stream([{"role": "user", "content": "hi"}])) == hidden
            server.reply = say("Your key is ", *KEY, ".")
            told = "".join(piece.text for piece in asked.stream([{"role": "user", "content": "hi"}]))
            assert told == f"Your key is {KEY[:-1]}*."  # what had been said before it was known
            escaped = "".join(f"\\u{ord(character):04x}" for character in KEY)
            server.reply = body(f'{{"choices": [{{"message": {{"content": "{escaped}"}}}}]}}'.encode())
            assert asked.complete([{"role": "user", "content": "hi"}]).text == "*" * len(KEY)

    def test_debug_logging_of_the_client(self, server: ChatServer) -> None:
        script = (
            "import sys; sys.path.insert(0, '.')\n"
            "from memvid.llm import resolve_backend\n"
            f"b = resolve_backend(api_key={KEY!r}, base_url={server.url!r})\n"
            "print(b.complete([{'role': 'user', 'content': 'hi'}]).text); b.close()"
        )
        environment = {**os.environ, "OPENAI_LOG": "debug", "PYTHONPATH": os.pathsep.join(sys.path)}
        run = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True, timeout=120
        )
        assert run.stdout == "Yes [1].\n"
        assert "DEBUG" in run.stderr
        assert KEY not in run.stderr
        assert server.requests[-1].headers["Authorization"] == f"Bearer {KEY}"


class TestWhereRequestsGo:
    def test_a_redirect_to_another_host_gets_nothing(self, server: ChatServer) -> None:
        with running() as other:
            for number in (301, 302, 307, 308):
                server.script.append(status(number, "", {"Location": f"{other.url}chat/completions"}))
                with backend(server) as asked, pytest.raises(LLMConnectionError, match="redirects"):
                    asked.complete([{"role": "user", "content": "secret"}])
            assert other.requests == []

    def test_a_request_to_another_host_is_stopped(self, server: ChatServer) -> None:
        with running() as other, backend(server) as asked:
            client = asked._service.client(Meter(seconds=9, max_bytes=1 << 20))
            with pytest.raises(StoppedError, match="requests go to"):
                client.get(f"{other.url}models", cast_to=object)
            assert other.requests == []

    @pytest.mark.parametrize("provider", ["custom", "anthropic", "ollama"])
    def test_what_the_environment_says_to_openai_is_not_told_to_others(
        self, server: ChatServer, provider: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_ORG_ID", "org-canary")
        monkeypatch.setenv("OPENAI_PROJECT_ID", "project-canary")
        monkeypatch.setenv("OPENAI_ADMIN_KEY", "admin-canary")
        monkeypatch.setenv("OPENAI_API_KEY", "key-canary")
        monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Mine: header-canary\nAuthorization: Bearer other-canary")
        with backend(server, provider=provider, key=None) as asked:
            asked.complete([{"role": "user", "content": "hi"}])
        assert "canary" not in json.dumps(server.requests[0].headers)
        assert "Authorization" not in server.requests[0].headers

    @pytest.mark.parametrize("at_home", [True, False])
    def test_openai_hears_it_at_its_own_address(
        self, server: ChatServer, monkeypatch: pytest.MonkeyPatch, at_home: bool
    ) -> None:
        monkeypatch.setenv("OPENAI_ORG_ID", "org-canary")
        monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Mine: header-canary")
        if at_home:
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            monkeypatch.setenv("OPENAI_API_KEY", KEY)
            asked = resolve_backend(provider="openai")
        else:
            asked = resolve_backend(provider="openai", base_url=server.url, api_key=KEY)
        asked.complete([{"role": "user", "content": "hi"}])
        asked.close()  # type: ignore[attr-defined]
        sent = json.dumps(server.requests[0].headers)
        assert ("org-canary" in sent, "header-canary" in sent) == (at_home, at_home)

    def test_headers_of_the_users_own_are_sent(self, server: ChatServer) -> None:
        options = {"extra_headers": {"X-Gateway": "mine"}}
        with backend(server, provider="custom", options=options) as asked:
            asked.complete([{"role": "user", "content": "hi"}])
        assert server.requests[0].headers["x-gateway"] == "mine"
        for wrong, message in (({"authorization": "x"}, "llm_api_key"), (["X-Gateway"], "a dict")):
            with pytest.raises(ConfigError, match=message), backend(server, options={"extra_headers": wrong}):
                pass

    def test_no_proxy_for_this_machine(self, server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
        with running() as proxy:
            for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
                monkeypatch.setenv(name, proxy.url)
            monkeypatch.delenv("NO_PROXY", raising=False)
            with backend(server) as asked:
                assert asked.complete([{"role": "user", "content": "hi"}]).text == "Yes [1]."
            assert proxy.requests == []

    def test_names_of_hosts_are_compared_as_they_are_sent(self) -> None:
        libraries = libraries_of(openai)
        http, core = libraries.http, libraries.core
        for written, sent in (
            ("https://EXAMPLE.com/v1", "https://example.com:443/v1/chat"),
            ("https://b\u00fccher.example/v1", "https://xn--bcher-kva.example/v1/chat"),
        ):
            at = Endpoint(provider=CUSTOM, base_url=written, key=Secret(KEY, name="key"))
            request = http.Request("POST", sent, headers={"Authorization": "Bearer other"})
            admitted = Gate(at).admit(core, http, request, Meter(seconds=9, max_bytes=9))
            assert [value for name, value in admitted.headers if name.lower() == b"authorization"] == [
                f"Bearer {KEY}".encode()
            ]
            for other in ("http://example.com/v1", "https://example.com:444/v1", "https://example.com.evil/v1"):
                with pytest.raises(StoppedError, match="requests go to"):
                    Gate(at).admit(core, http, http.Request("GET", other), Meter(seconds=9, max_bytes=9))
