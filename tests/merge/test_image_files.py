"""An image of an export finds its file on disk, and only that one."""

import json
import tempfile
from pathlib import Path
from unicodedata import normalize

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from helpers.merge.file_names import stored_name
from helpers.merge.image_files import ImageFiles

EXPORTS = Path(__file__).parents[3] / "shared" / "exports"

LONG = "a-very-long-camera-file-name-" * 5


def find(folder: Path, image: str, file: str | None = None) -> list[str]:
    """Where an image is found, relative to the folder."""
    found = ImageFiles(folder).find(image, image.rpartition("/")[2] if file is None else file)
    return [Path(path).relative_to(folder).as_posix() for path in found]


@pytest.fixture
def folder(tmp_path):
    def make(*names: str) -> Path:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(name.encode())
        return tmp_path

    return make


class TestUploads:
    @pytest.mark.parametrize(
        ("stored", "uploaded"),
        [
            ("fdeeaf5c-plain.jpg", "plain.jpg"),
            ("fdeeaf5c--leading-hyphen.jpg", "-leading-hyphen.jpg"),
            ("fdeeaf5c-two__spaces.jpg", "two  spaces.jpg"),
            ("fdeeaf5c-Moon_full_1.jpg", "Moon [full] (1).jpg"),
            ("fdeeaf5c-a20b.jpg", "a%20b.jpg"),
            ("fdeeaf5c-ab.jpg", "a&amp;b.jpg"),
            ("fdeeaf5c-emoji.jpg", "emoji🪐.jpg"),
            ("fdeeaf5c-木星.jpg", "木星.jpg"),
            ("fdeeaf5c-EARTH.v2.JPG", "EARTH.v2.JPG"),
            ("fdeeaf5c-Vénus.jpg", normalize("NFC", "Vénus.jpg")),
            ("fdeeaf5c-Venus.jpg", normalize("NFD", "Vénus.jpg")),
        ],
    )
    def test_name_as_label_studio_stores_it(self, folder, stored, uploaded):
        assert find(folder(uploaded, "other.jpg"), f"/data/upload/3/{stored}") == [uploaded]

    def test_accents_may_be_written_differently_on_this_disk(self, folder):
        nfd, nfc = normalize("NFD", "Vénus.jpg"), normalize("NFC", "été.jpg")
        images = folder(nfd, nfc)
        assert find(images, "/data/upload/3/fdeeaf5c-Vénus.jpg") == [nfd]
        assert find(images, "/data/upload/3/fdeeaf5c-ete.jpg") == [nfc]

    def test_a_name_without_accents_is_not_taken_for_one_with(self, folder):
        images = folder("Venus.jpg", normalize("NFC", "Vénus.jpg"))
        assert find(images, "/data/upload/3/fdeeaf5c-Venus.jpg") == ["Venus.jpg"]

    def test_prefix_is_taken_off_once(self, folder):
        images = folder("deadbeef-mars.jpg", "mars.jpg")
        assert find(images, "/data/upload/3/03f50317-deadbeef-mars.jpg") == ["deadbeef-mars.jpg"]

    def test_file_under_its_stored_name_settles_it(self, folder):
        images = folder("media/03f50317-mars.jpg", "mars.jpg")
        assert find(images, "/data/upload/3/03f50317-mars.jpg") == ["media/03f50317-mars.jpg"]

    def test_behind_a_sub_path(self, folder):
        assert find(folder("mars.jpg"), "https://labels.example/ls/data/upload/3/03f50317-mars.jpg") == ["mars.jpg"]

    @pytest.mark.parametrize("end", ["?v=a/b", "#a/b"])
    def test_with_a_query_or_a_fragment(self, folder, end):
        image = f"https://labels.example/data/upload/3/03f50317-mars.jpg{end}"
        assert find(folder("mars.jpg"), image, "03f50317-mars.jpg") == ["mars.jpg"]

    def test_names_that_become_one_are_all_candidates(self, folder):
        images = folder("a b.jpg", "sub/a_b.jpg")
        assert find(images, "/data/upload/3/fdeeaf5c-a_b.jpg") == ["a b.jpg", "sub/a_b.jpg"]

    @pytest.mark.parametrize(("project", "letters"), [("3/", 70), ("", 72)], ids=["numbered", "of an old server"])
    def test_cut_name(self, folder, project, letters):
        stored = f"upload/{project}fdeeaf5c-{LONG[:letters]}_VkFkpRP.jpg"
        image = f"/data/{stored}"
        assert len(stored) == 100
        too_short = [f"{LONG[:60]}.jpg", f"{LONG[:70]}.jpg", f"{LONG[:letters]}-as-long.jpg"]
        images = folder(f"{LONG}001.jpg", f"{LONG}.png", *too_short, "other.jpg")
        assert find(images, image) == [f"{LONG}001.jpg"]
        assert find(folder(f"{LONG}002.jpg"), image) == [f"{LONG}001.jpg", f"{LONG}002.jpg"]

    def test_name_that_only_looks_cut(self, folder):
        assert find(folder("mars-and-more.jpg"), "/data/upload/3/fdeeaf5c-mars_VkFkpRP.jpg") == []

    @given(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=60))
    def test_any_name_that_leaves_something_to_store(self, name):
        assume(name not in {".", ".."} and stored_name(name))
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, name).touch()
            assert find(Path(folder), f"/data/upload/3/fdeeaf5c-{stored_name(name)}") == [name]


class TestStorage:
    def test_equal_names_in_two_folders_stay_apart(self, folder):
        images = folder("a/img.jpg", "b/img.jpg")
        assert find(images, "s3://bucket/a/img.jpg", "a/img.jpg") == ["a/img.jpg"]
        assert find(images, "s3://bucket/b/img.jpg", "b/img.jpg") == ["b/img.jpg"]
        assert find(images, "s3://bucket/c/img.jpg", "c/img.jpg") == []

    @pytest.mark.parametrize("path", ["img.jpg", "a/img.jpg", "set/a/img.jpg", "mnt/data/set/a/img.jpg"])
    def test_either_path_may_begin_further_up(self, folder, path):
        images = folder("set/a/img.jpg")
        assert find(images, f"/data/local-files/?d={path}", path) == ["set/a/img.jpg"]

    def test_the_whole_path_counts_more_than_its_end(self, folder):
        images = folder("img.jpg", "a/img.jpg", "b/a/img.jpg")
        assert find(images, "gs://bucket/img.jpg", "img.jpg") == ["img.jpg"]
        assert find(images, "gs://bucket/x/a/img.jpg", "x/a/img.jpg") == ["a/img.jpg"]

    def test_written_on_windows_or_macos(self, folder):
        images = folder(normalize("NFC", "a/été.jpg"))
        assert find(images, "/data/local-files/?d=a%5Cété.jpg", normalize("NFD", "a\\été.jpg")) == ["a/été.jpg"]

    def test_a_name_without_a_suffix_is_that_of_a_picture_with_one(self, folder):
        images = folder("m/1234.jpg", "m/12345.jpg")
        assert find(images, "https://a.org/m/1234", "m/1234") == ["m/1234.jpg"]
        assert find(images, "https://a.org/m/123", "m/123") == []

    def test_has_no_prefix_to_take_off(self, folder):
        assert find(folder("mars.jpg"), "s3://bucket/03f50317-mars.jpg", "03f50317-mars.jpg") == []

    @pytest.mark.parametrize("file", ["", "/", "..", "../../etc/passwd", "/etc/passwd", "a\0b"])
    def test_nothing_outside_is_found(self, folder, file):
        assert find(folder("mars.jpg"), "data:image/png;base64,AAAA", file) == []


@pytest.mark.skipif(not EXPORTS.is_dir(), reason="the genuine exports are not here")
def test_every_image_of_the_genuine_exports():
    files = ImageFiles(EXPORTS / "images")
    on_disk = {path.name for path in (EXPORTS / "images").rglob("*") if path.is_file()}
    # Two names of 158 characters differ only where Label Studio cuts them off: only their content tells them apart.
    twins = sorted(name for name in on_disk if len(name) > 100)
    checked = 0
    for rows in json.loads((EXPORTS / "expected.json").read_text()).values():
        for row in rows:
            original = row["original_name"]
            if row["label"] and original in on_disk:
                found = sorted(Path(path).name for path in files.find(row["image"], row["stored_name"]))
                assert found == (twins if original in twins else [original])
                checked += 1
    assert checked > 70
