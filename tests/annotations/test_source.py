"""Folders and zips, also hostile ones."""

import os
import socket
import stat
import struct
import zipfile
import zlib

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


def test_folders_that_are_links_are_told(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "x.xml").touch()
    (tmp_path / "e" / "valid").symlink_to("../elsewhere")
    with pytest.raises(UserError, match=r"not looked into:\n.*e/valid: a link"):
        open_source(tmp_path / "e")
    assert open_source(tmp_path / "e" / "x.xml").names == ("x.xml",)


def test_missing_export_is_told(tmp_path):
    with pytest.raises(UserError, match="no annotation export"):
        open_source(tmp_path / "nothing.zip")


def test_pipes_and_sockets_are_no_files(tmp_path, monkeypatch):
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "x.xml").touch()
    os.mkfifo(tmp_path / "e" / "pipe.xml")
    (tmp_path / "e" / "link.xml").symlink_to("pipe.xml")
    monkeypatch.chdir(tmp_path / "e")  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.xml")
        assert open_source(tmp_path / "e").names == ("x.xml",)
    os.mkfifo(tmp_path / "e.zip")
    with pytest.raises(UserError, match="neither a file nor a folder"):
        open_source(tmp_path / "e.zip")


def test_hidden_folders_are_in_nobodys_way(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "e" / ".venv").mkdir(parents=True)
    (tmp_path / "e" / ".venv" / "lib64").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "e" / "a.json").write_text("{}")
    assert open_source(tmp_path / "e").names == ("a.json",)


def test_broken_links_are_told(tmp_path):
    (tmp_path / "x.xml").symlink_to("nothing")
    with pytest.raises(UserError, match=r"x\.xml can't be read: No such file"):
        open_source(tmp_path).read("x.xml")


def test_names_that_are_not_utf8_are_told(tmp_path):
    (tmp_path / os.fsdecode(b"gr\xfc\xdfe.png")).touch()
    with pytest.raises(UserError, match=r"not UTF-8:\n  - gr\\xfc\\xdfe\.png\n.*convmv"):
        open_source(tmp_path)


def overlapping(path, count=3):
    """A zip of members that share their packed bytes: each starts inside of the one before."""
    packer = zlib.compressobj(9, wbits=-15)
    kernel = packer.compress(b"a" * 1000) + packer.flush()
    names = [f"{number}.txt".encode() for number in range(count)]
    content, entries = b"", b""
    offsets = []
    for name in names:
        offsets.append(len(content))
        content += struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, 8, 0, 0, 0, len(kernel), 1000, len(name), 0) + name
    content += kernel
    for name, offset in zip(names, offsets, strict=True):
        entries += struct.pack(
            "<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, 0, 8, 0, 0, 0, len(kernel), 1000, len(name), 0, 0, 0, 0, 0, offset
        ) + name  # fmt: skip
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(entries), len(content), 0)
    path.write_bytes(content + entries + end)
    return path


def test_members_that_overlap_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"0\.txt: lies over 1\.txt\n  - 1\.txt: lies over 2\.txt"):
        open_source(overlapping(tmp_path / "e.zip"))
    assert open_source(overlapping(tmp_path / "one.zip", 1)).names == ("0.txt",)


def with_directory(path, change):
    """A zip of one file whose entry in the central directory is changed."""
    content = bytearray(zipped(path, **{"x.xml": b"some text " * 50}).read_bytes())
    change(content, content.rindex(b"PK\x01\x02"))
    path.write_bytes(content)
    return path


def test_more_packed_bytes_than_there_are_are_refused(tmp_path):
    """They would make the ratio by which bombs are told as small as one likes."""
    huge = with_directory(tmp_path / "e.zip", lambda content, entry: struct.pack_into("<I", content, entry + 20, 2**31))
    with pytest.raises(UserError, match=r"x\.xml: is said to be packed into more bytes"):
        open_source(huge)


def test_files_without_a_name_are_refused(tmp_path):
    nameless = with_directory(tmp_path / "e.zip", lambda content, entry: content.__setitem__(entry + 46, 0))
    with pytest.raises(UserError, match="a file without a name"):
        open_source(nameless)


def test_names_without_end_are_refused(tmp_path):
    with pytest.raises(UserError, match="a name of 5004 characters"):
        open_source(zipped(tmp_path / "e.zip", "a/" * 2500 + "a.xml"[:4]))


def test_files_that_are_read_whole_have_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("segtune.annotations.source.MAX_READ_BYTES", 2**20)
    (tmp_path / "a.json").write_bytes(b" " * (2**20 - 2) + b"{}")
    (tmp_path / "b.json").write_bytes(b" " * 2**20 + b"{}")
    assert open_source(tmp_path).json("a.json") == {}
    with pytest.raises(UserError, match=r"b\.json .* larger than 1 MiB"):
        open_source(tmp_path).json("b.json")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"a": "ü"}'.encode("utf-8-sig"), {"a": "ü"}),
        ('{"a": "ü"}'.encode("utf-16"), {"a": "ü"}),
        (rb'{"a": "\ud83d\ude00"}', {"a": "😀"}),
        (rb'{"a": "\\ud800"}', {"a": "\\ud800"}),
        (rb'{"name": "car \ud83d"}', r"x\.json in .* holds half a character, .*car \\ud83d"),
        (rb'{"\udcff": 1}', "half a character"),
        (b"", r"x\.json in .* not readable JSON: it is empty"),
        (b" \n", "it is empty"),
        (b'{"a": [1,', r"x\.json in .* not readable JSON: .*line 1 column"),
        (b'{"a": "\xed\xa0\xbd\xed\xb8\x80"}', "half a character"),
        (b"\xff{}", "not readable JSON"),
        (b"[" * 200_000, "not readable JSON"),
    ],
)
def test_json_is_read_or_told(tmp_path, content, expected):
    (tmp_path / "x.json").write_bytes(content)
    if isinstance(expected, dict):
        assert open_source(tmp_path).json("x.json") == expected
        return
    with pytest.raises(UserError, match=expected):
        open_source(tmp_path).json("x.json")


def test_texts_may_be_utf16(tmp_path):
    (tmp_path / "x.txt").write_bytes("ü\n".encode("utf-16"))
    (tmp_path / "y.txt").write_bytes("ü\n".encode("latin-1"))
    assert [open_source(tmp_path).text(name) for name in ("x.txt", "y.txt")] == ["ü\n", "ü\n"]
