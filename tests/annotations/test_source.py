"""Folders and zips, also hostile ones."""

import stat
import zipfile

import pytest

from segtune.annotations.source import open_source
from segtune.errors import UserError


def zipped(path, *members, **contents):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members:
            archive.writestr(member, b"x")
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def test_folder_and_zip_are_read_alike(tmp_path):
    (tmp_path / "a" / "ü [1], b").mkdir(parents=True)
    (tmp_path / "a" / "ü [1], b" / "x.xml").write_bytes(b"x")
    (tmp_path / "a" / ".DS_Store").touch()
    archive = zipped(tmp_path / "a.zip", "ü [1], b/x.xml", "__MACOSX/x.xml", "Thumbs.db")
    for source in (open_source(tmp_path / "a"), open_source(archive)):
        assert source.names == ("ü [1], b/x.xml",)
        assert source.read("ü [1], b/x.xml") == b"x"
        source.copy("ü [1], b/x.xml", tmp_path / f"{type(source).__name__}.xml")
    assert len(list(tmp_path.glob("*Source.xml"))) == 2


@pytest.mark.parametrize(
    "member",
    ["../x.xml", "a/../../x.xml", "/x.xml", "C:/x.xml", "..\\x.xml", "C:\\x.xml", "\\\\server\\x.xml", link("x.xml")],
    ids=str,
)
def test_zip_that_leads_out_is_refused(tmp_path, member):
    with pytest.raises(UserError, match="would not"):
        open_source(zipped(tmp_path / "a.zip", member))


def test_zip_bomb_is_refused(tmp_path):
    with pytest.raises(UserError, match="times its size"):
        open_source(zipped(tmp_path / "a.zip", **{"x.xml": b"\0" * (80 * 2**20)}))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04broken"])
def test_broken_zip_is_refused(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match="can't be opened as a zip"):
        open_source(tmp_path / "a.zip")


def test_damaged_member_is_named(tmp_path):
    archive = zipped(tmp_path / "a.zip", **{"x.xml": b"some text " * 50})
    content = bytearray(archive.read_bytes())
    content[40:50] = b"\xff" * 10
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.xml .* can't be read"):
        open_source(archive).read("x.xml")


def test_link_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "secret").write_text("x")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.xml").symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match="outside"):
        open_source(tmp_path / "a").read("x.xml")


def test_missing_export_is_told(tmp_path):
    with pytest.raises(UserError, match="no annotation export"):
        open_source(tmp_path / "nothing.zip")
