"""The connection to Label Studio: who is asked, with what key, and what people read when it fails."""

from itertools import repeat

import httpx2
import pytest
from label_studio_server import KEY, Answer, pretend_label_studio
from servers import proxying

from extras.label_studio.client import Server, connect
from extras.label_studio.projects import list_projects
from extras.label_studio.settings import Settings
from helpers.problems import Problem

pytest_plugins = ["connected"]  # its fixtures

TOKEN = "header.claims.signature"  # a personal access token is a JWT


def settings(url: str, key: str = KEY) -> Settings:
    return Settings(_env_file=None, label_studio_url=url, label_studio_api_key=key)


def unconnected(url: str) -> Server:
    return Server(url, httpx2.Client())


@pytest.mark.label_studio
@pytest.mark.parametrize("kind", ["key", "personal_access_token"])
def test_both_kinds_of_token_are_accepted(label_studio, kind):
    server = connect(settings(label_studio.url, getattr(label_studio, kind)))

    assert isinstance(list_projects(server), dict)


@pytest.mark.label_studio
@pytest.mark.parametrize("key", [KEY[::-1], TOKEN])
def test_a_wrong_key_is_a_problem(label_studio, key):
    with pytest.raises(Problem, match="does not accept the key") as problem:
        connect(settings(label_studio.url, key))

    assert key not in str(problem.value)


def test_an_access_token_that_expired_is_renewed(pretended):
    fresh = iter([b'{"access": "first"}', b'{"access": "second"}'])
    pretended.answers["/api/token/refresh/"] = lambda _: Answer(body=next(fresh))
    server = connect(settings(pretended.url, TOKEN))

    pretended.answers["/api/x"] = lambda sent: Answer(401 if sent == "Bearer first" else 200)
    server.ask("GET", "/api/x")

    assert [sent for path, sent in pretended.requests if path == "/api/x"] == ["Bearer first", "Bearer second"]
    assert all(TOKEN not in sent for _, sent in pretended.requests)


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]"])
def test_what_gives_no_access_token_is_no_label_studio(pretended, body):
    pretended.answers["/api/token/refresh/"] = lambda _: Answer(body=body)

    with pytest.raises(Problem, match="does not answer like Label Studio"):
        connect(settings(pretended.url, TOKEN))


def test_every_missing_setting_is_named():
    with pytest.raises(Problem) as problem:
        connect(settings("", ""))

    assert problem.value.details == ["LABEL_STUDIO_URL is not set", "LABEL_STUDIO_API_KEY is not set"]


def test_a_key_that_no_header_can_hold_is_not_shown():
    with pytest.raises(Problem, match="LABEL_STUDIO_API_KEY has characters") as problem:
        connect(settings("http://localhost:8080", "secret\nkey"))

    assert "secret" not in str(problem.value)


def test_a_server_that_is_down_is_a_problem():
    with pretend_label_studio() as server:
        url = server.url

    with pytest.raises(Problem, match="does not answer"):
        connect(settings(url))


@pytest.mark.parametrize("url", ["http://a..b", "http://xn--"])
def test_a_name_that_no_server_can_have_is_a_problem(url):
    with pytest.raises(Problem, match="does not answer"):
        connect(settings(""), url)


@pytest.mark.parametrize(
    ("version", "problem"),
    [
        (Answer(body=b'{"release": "1.13.0"}'), "1.13.0 .* is too old"),
        (Answer(body=b'{"release": "1.9.2.post0"}'), "1.9.2.* is too old"),
        (Answer(body=b'{"name": "something else"}'), "not a Label Studio"),
        (Answer(body=b"<html>"), "does not answer like Label Studio"),
        (Answer(404, b"<html>"), "404"),
        (Answer(500, b'{"detail": "out of order"}'), "out of order"),
        (Answer(200, repeat(b" " * (1 << 20))), "does not end"),
        (Answer(200, b"{", {"Content-Length": "100"}), "does not answer"),
    ],
)
def test_what_is_no_usable_label_studio_is_a_problem(pretended, version, problem):
    pretended.answers["/api/version"] = lambda _: version

    with pytest.raises(Problem, match=problem):
        connect(settings(pretended.url))


@pytest.mark.parametrize(("release", "noted"), [("1.13.1", 0), ("1.16.0", 0), ("1.23.2", 0), ("1.24.0.dev1", 1)])
def test_a_version_that_nobody_tried_is_noted(pretended, caplog, release, noted):
    pretended.answers["/api/version"] = lambda _: Answer(body=b'{"release": "%b"}' % release.encode())

    connect(settings(pretended.url))

    assert caplog.text.count(f"Label Studio {release}") == noted


def test_a_redirect_is_not_followed(pretended):
    elsewhere = pretended.url.replace("127.0.0.1", "localhost") + "/elsewhere"
    pretended.answers["/api/version"] = lambda _: Answer(302, headers={"Location": elsewhere})

    with pytest.raises(Problem, match="elsewhere"):
        connect(settings(pretended.url))

    assert [path for path, _ in pretended.requests] == ["/api/version"]


def test_the_key_is_sent_to_no_other_server(pretended):
    server = connect(settings(pretended.url))

    with pytest.raises(Problem, match="neither API nor data"):
        server.client.get(pretended.url.replace("127.0.0.1", "localhost") + "/api/version")
    with pytest.raises(Problem, match="not the Label Studio of the settings"):
        connect(settings(pretended.url), "http://localhost:1")


def test_an_address_may_stand_in_for_the_setting(pretended):
    assert connect(settings(""), f"{pretended.url}/").url == pretended.url
    assert connect(settings(pretended.url), f"{pretended.url}/").url == pretended.url
    assert connect(settings(pretended.url), pretended.url.upper()).url == pretended.url
    assert connect(settings(pretended.url.upper()), pretended.url).url == pretended.url


@pytest.mark.parametrize(
    ("image", "path"),
    [
        ("/data/upload/3/0a1b2c3d-mars.jpg", "/data/upload/3/0a1b2c3d-mars.jpg"),
        ("http://localhost:8080/data/upload/3/0a1b2c3d-mars.jpg", "/data/upload/3/0a1b2c3d-mars.jpg"),
        ("/data/local-files/?d=photos/mars%201.jpg", "/data/local-files/?d=photos/mars%201.jpg"),
        ("/data/local-files/?d=100%25%20../a//b;c.jpg", "/data/local-files/?d=100%25%20../a//b;c.jpg"),
        ("/data/upload/3/0a1b2c3d-M%C3%A4rz..2.jpg", "/data/upload/3/0a1b2c3d-M%C3%A4rz..2.jpg"),
        ("/data/upload/3/0a1b2c3d-火星 1.jpg", "/data/upload/3/0a1b2c3d-%E7%81%AB%E6%98%9F%201.jpg"),
        ("/data/upload/3/0a1b2c3d-100%25.jpg", "/data/upload/3/0a1b2c3d-100%25.jpg"),
        ("/data/upload/3/0a1b2c3d-50%2520off.jpg", "/data/upload/3/0a1b2c3d-50%2520off.jpg"),
    ],
)
def test_an_image_of_the_server_has_a_path_there(image, path):
    assert unconnected("http://localhost:8080").path_of(image) == path


def test_behind_a_prefix_the_path_is_below_it():
    server = unconnected("http://localhost/ls")

    assert server.path_of("/ls/data/upload/3/0a1b2c3d-mars.jpg") == "/data/upload/3/0a1b2c3d-mars.jpg"


@pytest.mark.parametrize(
    "image",
    [
        "s3://bucket/mars.jpg",
        "http://example.com/data/upload/3/mars.jpg",
        "//example.com/data/upload/3/mars.jpg",
        "/data/../api/projects",
        "/data/%2e%2e/api/projects",
        "/data/%252e%252e/api/projects",
        "/data/%25252e%25252e/api/projects",
        "/data/" + "%" + 1000 * "25" + "2e/a.jpg",
        "/data/upload/..%2f..%2fapi/projects",
        "/data/upload/..%5c..%5capi/projects",
        "/data/upload/..;/..;/api/projects",
        "/data/upload/%2e/a.jpg",
        "/data/upload/%2e%2e%20/a.jpg",
        "/data//upload/a.jpg",
        "/data/upload/%00a.jpg",
        "/data/upload/%c0%ae%c0%ae/a.jpg",
        "/api/projects",
        "data:image/png;base64,AAAA",
        "http://[broken",
        "",
    ],
)
def test_an_image_that_is_elsewhere_has_no_path(image):
    with pytest.raises(ValueError, match="no file of http://localhost:8080"):
        unconnected("http://localhost:8080").path_of(image)


UP = ["..", "%2e%2e", "%252e%252e", "%25252e%25252e", ".%252e", "..%5c", "..;", "%2e%2e%3b", "..%2f"]


@pytest.mark.slow  # CI installs nginx after the fast tests
@pytest.mark.parametrize("up", UP)
def test_the_key_does_not_get_to_another_application_behind_the_same_proxy(pretended, tmp_path, up):
    with pretend_label_studio() as neighbour, proxying(tmp_path, ls=pretended.url, other=neighbour.url) as url:
        server = connect(settings(f"{url}/ls"))
        pretended.answers["/data/upload/3/mars.jpg"] = lambda _: Answer(body=b"a picture")
        assert server.send("GET", server.path_of("/ls/data/upload/3/mars.jpg")) == b"a picture"

        for image in (f"/ls/data/{up}/{up}/other/app", f"/ls/data/{up}/{up}//other/app"):
            with pytest.raises(ValueError, match="is no file of"):
                server.path_of(image)
        for path in (f"/data/{up}/{up}/other/app", f"/api/{up}/{up}/other/app", f"{url}/other/app", "/user/login"):
            with pytest.raises(Problem, match="neither API nor data"):
                server.client.get(path)

    assert neighbour.requests == []
