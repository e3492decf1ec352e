"""Talk to a Label Studio server: reach it, ask it, and never send the key anywhere else.

The protocol was read from Label Studio 1.23.2. ``requirements.txt`` says why its SDK is not used.
"""

import logging
import math
import re
import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import httpx2
import orjson

from extras.label_studio.settings import Settings
from helpers.problems import Problem

OLDEST, NEWEST = "1.13.1", "1.23.2"  # the tests run the circle on both
LARGEST_ANSWER = 1 << 28  # bytes
SOON = 10  # seconds, in which a server that is well says who it is
WAIT = httpx2.Timeout(60, connect=10, read=600)  # seconds; an export of 100,000 tasks takes minutes to begin
# Proxies make another path of these: segments that are empty or dots, backslashes, parameters, bytes that no name has.
TIDIED = re.compile(r"/[. ]*/|/[. ]+$|[\\;\x00-\x1f\x7f\ufffd]")
AT_A_TIME = 4  # requests; that is quicker where the server is not on this machine
DECODINGS = 5  # more than any chain of proxies does

logger = logging.getLogger(__name__)


class NotFound(Problem):
    """The server has nothing at that path, or not for this key."""


class TooLarge(Problem):
    """The server, or a proxy before it, does not take so large a request."""


class KeyAuth(httpx2.Auth):
    """Send the key with each request, to the API and the data of its own server and to nothing else.

    A legacy token is sent as it is. A personal access token, which servers have since 1.17, is a JWT that first has to
    be exchanged for one that lives 300 s; when that has expired the server answers 401.
    """

    def __init__(self, url: httpx2.URL, key: str) -> None:
        self._url, self._key = url, key
        self._access = ""

    def sync_auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        if not _path_below(self._url, request.url).startswith(("/api/", "/data/")):
            raise Problem(f"{str(request.url)[:200]} is not asked for: it is neither API nor data of {self._url}.")
        if self._key.count(".") != 2:
            request.headers["Authorization"] = f"Token {self._key}"
            yield request
            return
        if self._access:
            request.headers["Authorization"] = f"Bearer {self._access}"
            response = yield request
            if response.status_code != httpx2.codes.UNAUTHORIZED:
                return
        refresh = httpx2.Request("POST", f"{self._url}/api/token/refresh/", json={"refresh": self._key})
        response = yield refresh
        if response.is_success:
            try:
                self._access = str(orjson.loads(response.read())["access"])
            except (orjson.JSONDecodeError, KeyError, TypeError):
                raise _unlike_label_studio(self._url, refresh.url.path) from None
            request.headers["Authorization"] = f"Bearer {self._access}"
            yield request


@dataclass(frozen=True)
class Server:
    """A Label Studio that was reached and knows the key."""

    url: str  # without a slash at the end
    client: httpx2.Client  # sends the key, follows no redirects, talks to no other host; takes paths below `url`

    def send(
        self, method: str, path: str, largest: int = LARGEST_ANSWER, deadline: float = math.inf, **options: Any
    ) -> bytes:
        """Send a request, and read an answer of at most `largest` bytes before `deadline` (`time.monotonic`).

        No answer, a redirect, a wrong key and any status that is not 2xx are a `Problem`, with the server's words.
        """
        try:
            with self.client.stream(method, path, **options) as response:
                _stop_on_refusal(self.url, response)
                return _read(response, largest, deadline)
        except (httpx2.HTTPError, UnicodeError) as error:  # no host can have the name
            details = [f"{method} {path}: {error!r}"]
            raise Problem(f"Label Studio at {self.url} does not answer.", details, "Is it running?") from None

    def path_of(self, image: str) -> str:
        """The path on this server of an image as a task has it; a `ValueError` if it is in a storage or elsewhere."""
        base = httpx2.URL(self.url)
        with suppress(httpx2.InvalidURL):
            path = _path_below(base, base.join(image))
            if path.startswith("/data/"):
                return path
        raise ValueError(f"{image[:200]!r} is no file of {self.url}")

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """Send a request and return the JSON that comes back; any other answer is a `Problem`."""
        content = self.send(method, path, **options)
        try:
            return orjson.loads(content) if content else None
        except orjson.JSONDecodeError:
            raise _unlike_label_studio(self.url, path, content) from None


def connect(settings: Settings, url: str = "") -> Server:
    """Reach the server of the settings, and see that it is a Label Studio, not too old, that takes the key.

    The address `url` stands in for a missing `settings.label_studio_url`, and must be equal to it otherwise: the key
    is for that server alone. Whatever is missing or wrong is a `Problem`.
    """
    base, key = settings.label_studio_url or url, settings.label_studio_api_key.get_secret_value()
    unusable = [] if base else ["LABEL_STUDIO_URL is not set"]
    if not re.fullmatch("[!-~]+", key):  # a key that no header can hold would end up in an error message
        unusable.append(f"LABEL_STUDIO_API_KEY {'has characters that no key has' if key else 'is not set'}")
    if unusable:
        raise Problem(
            "Label Studio cannot be reached without these settings.",
            unusable,
            "Set them in the environment, or as a line NAME=value in `.env` at the root of the workspace, which git "
            "ignores. The key is under Account & Settings in Label Studio.",
        )
    try:
        address, asked = httpx2.URL(base.rstrip("/")), httpx2.URL(url.rstrip("/"))
    except httpx2.InvalidURL as error:
        raise Problem(f"{base} is no address: {error}.") from None
    if url and asked != address:
        raise Problem(
            f"{url} is not the Label Studio of the settings.",
            [f"LABEL_STUDIO_URL is {base}"],
            "The key is for that server and is sent to no other. Write the address as it is there, or change it there.",
        )
    client = httpx2.Client(base_url=address, auth=KeyAuth(address, key), timeout=WAIT, follow_redirects=False)
    server = Server(str(address), client)
    _check_version(server)
    server.ask("GET", "/api/current-user/whoami", timeout=SOON)
    return server


def _check_version(server: Server) -> None:
    about = server.ask("GET", "/api/version", timeout=SOON)
    release = str(about.get("release")) if isinstance(about, dict) else ""
    numbers = _numbers(release)
    if not numbers:
        raise Problem(f"{server.url} is not a Label Studio.", advice="See LABEL_STUDIO_URL.")
    if numbers < _numbers(OLDEST):
        advice = f"Bring it to {OLDEST} or newer; {NEWEST} was tried."
        raise Problem(f"Label Studio {release} at {server.url} is too old.", advice=advice)
    if numbers > _numbers(NEWEST):
        logger.warning("Label Studio %.20s is newer than %s, the newest that was tried.", release, NEWEST)


def _numbers(release: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d{1,9}", release)[:3]]


def _path_below(base: httpx2.URL, url: httpx2.URL) -> str:
    """The path and query of an address below a server, as they are sent.

    Empty if it is elsewhere, or may be: a server behind a proxy gets the path decoded and tidied, maybe more than once.
    """
    sent, prefix = url.raw_path.decode(), base.raw_path.decode().rstrip("/")
    if (url.scheme, url.netloc) != (base.scheme, base.netloc) or not sent.startswith(f"{prefix}/"):
        return ""
    below = sent.removeprefix(prefix)
    path = below.partition("?")[0]
    for _ in range(DECODINGS):
        if TIDIED.search(path):
            return ""
        path, before = unquote(path), path
        if path == before:
            return below
    return ""


def _read(response: httpx2.Response, largest: int = LARGEST_ANSWER, deadline: float = math.inf) -> bytes:
    content = bytearray()
    for piece in response.iter_bytes():
        content += piece
        if len(content) > largest:
            raise Problem(f"The answer from {response.request.url.path} does not end after {largest:,} bytes.")
        if time.monotonic() > deadline:
            raise Problem(f"The answer from {response.request.url.path} takes too long.")
    return bytes(content)


def _unlike_label_studio(url: httpx2.URL | str, path: str, content: bytes = b"") -> Problem:
    return Problem(f"{url} does not answer like Label Studio.", [f"{path}: {content[:80]!r}"])


def _stop_on_refusal(server: str, response: httpx2.Response) -> None:
    if response.is_success:
        return
    asked = f"{response.request.method} {response.request.url.path}"
    if response.status_code == httpx2.codes.UNAUTHORIZED:
        raise Problem(
            f"Label Studio at {server} does not accept the key.",
            advice="Set LABEL_STUDIO_API_KEY to a token that is valid there: Account & Settings in Label Studio shows "
            "or makes one. A legacy token only works where the organization allows them.",
        )
    if response.is_redirect:
        raise Problem(
            f"{server} redirects to another address, which is not followed: the key stays here.",
            [f"{asked}: {response.headers.get('Location', '')[:200]!r}"],
            "If that is your Label Studio, set LABEL_STUDIO_URL to it.",
        )
    if response.status_code == httpx2.codes.CONTENT_TOO_LARGE:
        advice = "Raise the limit of the proxy before Label Studio; in nginx it is client_max_body_size."
        raise TooLarge(f"{server} refuses {asked}: 413, the request is too large.", advice=advice)
    explanations = []
    with suppress(orjson.JSONDecodeError):  # its pages in HTML explain nothing
        said = orjson.loads(_read(response))
        if isinstance(said, dict):
            explanations = [str(said.get("validation_errors") or said.get("detail"))[:500]]
    kind = NotFound if response.status_code == httpx2.codes.NOT_FOUND else Problem
    raise kind(f"{server} refuses {asked}: {response.status_code}.", explanations)
