"""What Python makes of a granted folder: every step that a program is likely to take, each with how it ended.

Everything is imported here: a component holds only what was imported when it was built.
"""

import errno
import glob
import os
import pathlib
import shutil
import stat
import tempfile

from wit_world import exports
from wit_world.exports import handler
from wit_world.imports import types

NAME = "files_python"
ROOT = pathlib.Path("/notes/python")
LONG_AGO = 1_600_000_000


def put(path, text, mode="w"):
    with open(path, mode) as file:
        return file.write(text)


def sought(path):
    with open(path, "r+b") as file:
        file.seek(6)
        file.write(b"SECOND")
        file.flush()
        os.fsync(file.fileno())
        return file.seek(0, os.SEEK_END)


def about(path):
    found = os.stat(path)
    return found.st_size, stat.S_ISREG(found.st_mode), found.st_mtime > LONG_AGO


def temporary_file():
    with tempfile.NamedTemporaryFile(dir=ROOT) as file:
        file.write(b"x")
        file.seek(0)
        read = file.read()
    return read, os.path.exists(file.name)


def temporary_folder():
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        put(os.path.join(folder, "x"), "x")
    return os.path.exists(folder)


STEPS = [
    ("mkdir", lambda: os.mkdir(ROOT)),
    ("mkdir again", lambda: os.mkdir(ROOT)),
    ("makedirs", lambda: os.makedirs(ROOT / "a/b/c")),
    ("open w", lambda: put(ROOT / "one", "first\n")),
    ("open a", lambda: put(ROOT / "one", "second\n", "a")),
    ("open x", lambda: put(ROOT / "one", "", "x")),
    ("read", lambda: (ROOT / "one").read_text()),
    ("seek", lambda: sought(ROOT / "one")),
    ("truncate", lambda: os.truncate(ROOT / "one", 12)),
    ("lines", lambda: (ROOT / "one").read_text().splitlines()),
    ("stat", lambda: about(ROOT / "one")),
    ("utime", lambda: os.utime(ROOT / "one", (LONG_AGO, LONG_AGO))),
    ("mtime", lambda: int(os.stat(ROOT / "one").st_mtime)),
    ("rename", lambda: os.rename(ROOT / "one", ROOT / "two")),
    ("write_bytes", lambda: (ROOT / "three").write_bytes(b"3")),
    ("replace", lambda: os.replace(ROOT / "three", ROOT / "two")),
    ("read", lambda: (ROOT / "two").read_text()),
    ("exists", lambda: ((ROOT / "one").exists(), (ROOT / "two").exists(), (ROOT / "a").is_dir())),
    ("listdir", lambda: sorted(os.listdir(ROOT))),
    ("scandir", lambda: sorted((entry.name, entry.is_dir()) for entry in os.scandir(ROOT))),
    ("walk", lambda: [folder for folder, _, _ in os.walk(ROOT)]),
    ("glob", lambda: sorted(glob.glob(f"{ROOT}/*"))),
    ("rglob", lambda: sorted(path.name for path in ROOT.rglob("*"))),
    ("symlink", lambda: os.symlink("two", ROOT / "link")),
    ("readlink", lambda: os.readlink(ROOT / "link")),
    ("through it", lambda: (ROOT / "link").read_text()),
    ("resolve", lambda: str((ROOT / "link").resolve())),
    ("symlink out", lambda: os.symlink("/etc/passwd", ROOT / "out")),
    ("symlink up", lambda: os.symlink("../../..", ROOT / "up")),
    ("through up", lambda: os.listdir(ROOT / "up")),
    ("link", lambda: os.link(ROOT / "two", ROOT / "hard")),
    ("copy", lambda: str(shutil.copy(ROOT / "two", ROOT / "four"))),
    ("copy2", lambda: str(shutil.copy2(ROOT / "two", ROOT / "five"))),
    ("copytree", lambda: str(shutil.copytree(ROOT / "a", ROOT / "z"))),
    ("move", lambda: str(shutil.move(ROOT / "five", ROOT / "a" / "five"))),
    ("temporary file", temporary_file),
    ("temporary folder", temporary_folder),
    ("chdir", lambda: os.chdir(ROOT)),
    ("relative", lambda: pathlib.Path("two").read_text()),
    ("up and out", lambda: put("/notes/../out", "x")),
    ("absolute", lambda: put("/etc/passwd", "", "r")),
    ("list all", lambda: os.listdir("/")),
    ("grow", lambda: os.truncate(ROOT / "two", 1 << 21)),
    # That there is no room is not said: the adapter within componentize-py does not ask why a stream failed.
    ("fill", lambda: put(ROOT / "large", bytes(1 << 21), "wb")),
    ("remove", lambda: os.remove(ROOT / "large")),
    ("rmdir full", lambda: os.rmdir(ROOT)),
    ("rmtree", lambda: shutil.rmtree(ROOT)),
    ("left", lambda: os.listdir("/notes")),
]


def ended(step):
    try:
        return repr(step())
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))


class Handler(exports.Handler):
    def describe(self):
        description = "Uses a folder as programs in Python do, and says how each step ended."
        tool = handler.Definition(NAME, None, description, '{"type":"object"}', None, ["files"])
        return handler.Description([tool])

    def call(self, name, arguments):
        lines = [f"{name}: {ended(step)}" for name, step in STEPS]
        return types.Reply([types.Content_Text("\n".join(lines))], None)
