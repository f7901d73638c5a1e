"""Writing replaces regular files whole, and nothing else."""

import os
import stat

import pytest

from sub8.errors import InputError
from sub8.files import check_writable, write_file


def test_a_link_stays_and_its_file_is_written(tmp_path):
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "file", tmp_path / "link"
    target.write_bytes(b"old")
    target.chmod(0o600)
    link.symlink_to("real/file")
    write_file(link, b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    (tmp_path / "dangling").symlink_to("real/fresh")
    write_file(tmp_path / "dangling", b"made")
    assert (tmp_path / "real" / "fresh").read_bytes() == b"made"
    assert sorted(os.listdir(tmp_path / "real")) == ["file", "fresh"]


@pytest.mark.parametrize("check", [check_writable, lambda path: write_file(path, b"x")])
def test_pipes_devices_and_folders_are_refused(tmp_path, check):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to_null").symlink_to("/dev/null")
    for name, words in (
        ("pipe", "pipe"),
        ("to_null", "device"),
        (".", "folder"),
        ("no/x", "folder"),
    ):
        with pytest.raises(InputError, match=words):
            check(tmp_path / name)
    assert stat.S_ISFIFO((tmp_path / "pipe").lstat().st_mode)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert sorted(os.listdir(tmp_path)) == ["pipe", "to_null"]
