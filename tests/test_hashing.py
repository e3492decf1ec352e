"""What files hash to is remembered for as long as they stay as they are, and no longer."""

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from helpers import hashing
from helpers.hashing import hash_all, sha256_of

LONG_AGO, YESTERDAY = 1_600_000_000_000_000_000, 1_700_000_000_000_000_000  # nanoseconds


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "hashes.json"


@pytest.fixture
def files(tmp_path) -> list[str]:
    """Two files that nobody has touched for years."""
    names = [str(tmp_path / "a"), str(tmp_path / "b")]
    for name in names:
        write(name, name)
    return names


def write(name: str, text: str, modified: int = LONG_AGO) -> None:
    Path(name).write_text(text)
    os.utime(name, ns=(modified, modified))


def hash_and_save(files: list[str], cache: Path) -> tuple[dict[str, str], list[str]]:
    """The hashes of files, and which of them were read for that."""
    read = []

    def note(file: str) -> str:
        read.append(file)
        if Path(file).name == "broken":
            raise ValueError("a broken file")
        return sha256_of(file)

    hashes, problems = hash_all(files, note, cache, "Reading")
    if cache.is_file():
        wait_a_tick(cache)
    assert hashes.keys() | problems.keys() == set(files)
    assert all(problems.values())
    return hashes, read


def wait_a_tick(cache: Path) -> None:
    """Let the cache be a second younger than all files, as if these had not been made right before it."""
    later = time.time_ns() + 10**9
    os.utime(cache, ns=(later, later))


def truth(files: list[str]) -> dict[str, str]:
    return {file: sha256_of(file) for file in files}


def test_files_are_read_once(files, cache):
    assert hash_and_save(files, cache) == (truth(files), files)
    assert hash_and_save(files, cache) == (truth(files), [])


def test_files_are_known_from_any_folder(files, cache, tmp_path, monkeypatch):
    hash_and_save(files, cache)
    monkeypatch.chdir(tmp_path)
    assert hash_and_save(["a", "b"], cache) == (truth(["a", "b"]), [])


@pytest.mark.parametrize("place", ["a", "elsewhere"])
def test_a_file_that_got_the_inode_size_and_time_of_a_deleted_one_is_read(files, cache, tmp_path, monkeypatch, place):
    before, other = Path(files[0]).stat(), str(tmp_path / place)
    hash_and_save(files, cache)
    Path(files[0]).unlink()
    write(other, files[0].upper())
    stat = Path.stat

    def stat_as_on_ext4(path: Path, **options: bool) -> os.stat_result | SimpleNamespace:
        status = stat(path, **options)
        if str(path) != other:
            return status
        same = {"st_ino": before.st_ino, "st_size": before.st_size, "st_mtime_ns": before.st_mtime_ns}
        return SimpleNamespace(st_mode=status.st_mode, st_ctime_ns=status.st_ctime_ns, **same)

    monkeypatch.setattr(Path, "stat", stat_as_on_ext4)
    assert hash_and_save([other], cache) == (truth([other]), [other])
    assert hash_and_save([other], cache) == (truth([other]), [])


def test_a_file_whose_name_is_no_text_is_known(cache, tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    write(name, "content")
    hash_and_save([name], cache)
    assert hash_and_save([name], cache) == (truth([name]), [])


def test_a_cache_of_an_earlier_version_knows_nothing(files, cache):
    status = Path(files[0]).stat()
    cache.write_text(json.dumps({f"{status.st_ino} {status.st_size} {status.st_mtime_ns}": "0" * 64}))
    assert hash_and_save(files, cache) == (truth(files), files)


@pytest.mark.parametrize(("length", "modified"), [(0, YESTERDAY), (1, LONG_AGO)], ids=["later", "longer"])
def test_what_changed_is_read_again(files, cache, length, modified):
    hash_and_save(files, cache)
    write(files[0], files[0].upper() + length * "!", modified)
    assert hash_and_save(files, cache) == (truth(files), files[:1])


def test_another_file_in_its_place_is_read(files, cache, tmp_path):
    hash_and_save(files, cache)
    write(str(tmp_path / "other"), files[0].upper())
    (tmp_path / "other").replace(files[0])
    assert hash_and_save(files, cache) == (truth(files), files[:1])


def test_what_may_have_changed_within_one_tick_of_the_clock_is_read_again(files, cache):
    hash_and_save(files, cache)
    os.utime(cache, ns=(LONG_AGO, LONG_AGO))
    assert hash_and_save(files, cache) == (truth(files), files)
    assert hash_and_save(files, cache) == (truth(files), []), "by now the clock has gone on"


def test_a_problem_is_not_remembered(files, cache, tmp_path):
    broken = str(tmp_path / "broken")
    write(broken, "broken")
    assert hash_and_save([broken], cache) == ({}, [broken])
    assert hash_and_save([broken], cache) == ({}, [broken])


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere"), lambda path: None])
def test_only_files_are_read(cache, tmp_path, make):
    make(tmp_path / "odd")
    assert hash_and_save([str(tmp_path / "odd")], cache) == ({}, [])


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe"])
def test_a_damaged_cache_knows_nothing_and_is_made_again(files, cache, content):
    cache.write_bytes(content)
    assert hash_and_save(files, cache) == (truth(files), files)
    assert hash_and_save(files, cache) == (truth(files), [])


def test_a_cache_that_grew_too_large_starts_over(files, cache, monkeypatch):
    hash_and_save(files, cache)
    monkeypatch.setattr(hashing, "LARGEST_CACHE", 10)
    assert hash_and_save(files[:1], cache) == (truth(files[:1]), files[:1])
    monkeypatch.undo()
    assert hash_and_save(files, cache) == (truth(files), files[1:])


@pytest.mark.parametrize("place", ["no-folder/hashes.json", "a-folder"])
def test_without_room_for_a_cache_files_are_hashed_all_the_same(files, tmp_path, place):
    (tmp_path / "a-folder").mkdir()
    before = sorted(tmp_path.iterdir())
    assert hash_and_save(files, tmp_path / place) == (truth(files), files)
    assert sorted(tmp_path.iterdir()) == before
