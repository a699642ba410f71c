"""The tamper drill over one log: every alteration is located by the program and by `verify.py` alike."""

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile

import verify

BAILIWICK = os.environ["BAILIWICK"]
UNGUARDED = [
    f"DROP TRIGGER IF EXISTS {table}_is_append_only_{what}"
    for table in ("audit", "audit_checkpoint")
    for what in ("update", "delete")
]


def program(folder, *arguments):
    command = [BAILIWICK, "audit", *arguments, "--dir", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def other(*arguments):
    """What `verify.py` ends with and says, without a process for each question."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = verify.main(arguments)
    return code, json.loads(said.getvalue())


def copied(folder, work):
    """A copy of the state, as whoever has the file could make one."""
    target = tempfile.mkdtemp(dir=work)
    shutil.copy(os.path.join(folder, "bailiwick.toml"), target)
    db = sqlite3.connect(os.path.join(folder, "state.db"))
    copy = sqlite3.connect(os.path.join(target, "state.db"))
    db.backup(copy)
    for statement in UNGUARDED:
        copy.execute(statement)
    return target, copy


def rewrite(db, first):
    """A new chain from this record on, with a head that fits: what only a checkpoint shows."""
    previous = "0" * 64
    for seq, text in db.execute("SELECT seq, record FROM audit ORDER BY seq").fetchall():
        if seq >= first:
            record = json.loads(text)
            record["prev_hash"] = previous
            if seq == first:
                record["type"] = "tool.forged"
            text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        previous = hashlib.sha256(text.encode()).hexdigest()
        db.execute("UPDATE audit SET record = ?, hash = ? WHERE seq = ?", (text, previous, seq))
    db.execute("UPDATE audit_head SET hash = ?", (previous,))


def cut(db, size):
    db.execute("DELETE FROM audit WHERE seq > ?", (size,))
    db.execute("UPDATE audit_head SET seq = ?1, hash = (SELECT hash FROM audit WHERE seq = ?1)", (size,))


def swap(db, one, two):
    db.execute("UPDATE audit SET seq = -1 WHERE seq = ?", (one,))
    db.execute("UPDATE audit SET seq = ? WHERE seq = ?", (one, two))
    db.execute("UPDATE audit SET seq = ? WHERE seq = -1", (two,))


def forget(db):
    db.execute("DELETE FROM audit_checkpoint")


def with_digest(db, seq):
    text = db.execute("SELECT record FROM audit WHERE seq = ?", (seq,)).fetchone()[0].replace('"v":1', '"v":2')
    hashed = hashlib.sha256(text.encode()).hexdigest()
    db.execute("UPDATE audit SET record = ?, hash = ? WHERE seq = ?", (text, hashed, seq))


def says(db, seq, old, new):
    text = db.execute("SELECT record FROM audit WHERE seq = ?", (seq,)).fetchone()[0]
    assert old in text, text
    db.execute("UPDATE audit SET record = ? WHERE seq = ?", (text.replace(old, new), seq))


def main():
    folder, outside = sys.argv[1:]
    code, key = program(folder, "key")
    assert code == 0, key
    key = key.strip()
    anchors = ("--checkpoint", outside, "--key", key)
    work = tempfile.mkdtemp(dir=os.path.dirname(outside))
    state = os.path.join(folder, "state.db")
    code, said = program(folder, "verify", *anchors)
    assert code == 0, said
    code, seen = other("log", state, "--key", key, "--checkpoints", outside)
    assert code == 0, seen
    size, last = seen["records"], seen["records"]
    db = sqlite3.connect(state)
    # What was done is in it, by the names of docs/audit.md.
    done = {(one["type"], one["phase"]): one["seq"] for one in (json.loads(row[0]) for row in db.execute("SELECT record FROM audit"))}
    told = [("tool.call", "intent"), ("tool.call", "outcome"), ("tool.denied", "outcome"), ("auth.failed", "event")]
    told += [(f"consent.{what}", "event") for what in ("asked", "given")]
    assert done.keys() >= set(told), done
    sizes = [row[0] for row in db.execute("SELECT size FROM audit_checkpoint ORDER BY size")]
    assert len(sizes) >= 3 and sizes[-1] == size, (sizes, size)
    assert seen["checkpoints"] == 2 * len(sizes), seen
    first, second = sizes[0], sizes[1]
    # Between two checkpoints the first record that is not covered by the older one is named. Which records end one is for the clock
    # to say, so these two are taken from between.
    fifth, seventh = (next(seq for seq in range(least, size) if seq not in sizes) for least in (5, 7))
    outcome, given = done["tool.call", "outcome"], done["consent.given", "event"]
    drills = [
        ("a call ended otherwise", outcome, lambda d: says(d, outcome, '"status":"replied"', '"status":"refused"')),
        ("a consent was given by somebody else", given, lambda d: says(d, given, '"subject":"', '"subject":"0')),
        ("a record is altered", 5, lambda d: d.execute("UPDATE audit SET record = replace(record, '\"v\":1', '\"v\":2') WHERE seq = 5")),
        ("a record is altered with its digest", fifth, lambda d: with_digest(d, fifth)),
        ("the last record is altered with its digest", last, lambda d: with_digest(d, last)),
        ("a record is taken out", 6, lambda d: d.execute("DELETE FROM audit WHERE seq = 6")),
        ("the first record is taken out", 1, lambda d: d.execute("DELETE FROM audit WHERE seq = 1")),
        ("two records change places", 4, lambda d: swap(d, 4, 5)),
        ("the end is cut off", last, lambda d: d.execute("DELETE FROM audit WHERE seq >= ?", (last,))),
        ("the end is cut off with the head", first + 2, lambda d: cut(d, first + 1)),
        ("the end is cut off with head and checkpoints", first + 2, lambda d: (cut(d, first + 1), forget(d))),
        ("the log is rewritten", first + 1, lambda d: rewrite(d, first + 1)),
        ("the log is rewritten without checkpoints", first + 1, lambda d: (rewrite(d, first + 1), forget(d))),
        ("the whole log is rewritten without checkpoints", 1, lambda d: (rewrite(d, 1), forget(d))),
        ("a checkpoint is altered", second, lambda d: d.execute("UPDATE audit_checkpoint SET note = replace(note, 'at 1', 'at 2') WHERE size = ?", (second,))),
        ("a record is no record", 3, lambda d: d.execute("UPDATE audit SET record = 'x', hash = ? WHERE seq = 3", (hashlib.sha256(b"x").hexdigest(),))),
    ]
    for name, expected, alter in drills:
        target, copy = copied(folder, work)
        alter(copy)
        copy.commit()
        copy.close()
        code, said = program(target, "verify", *anchors)
        named = re.search(r"audit record (\d+): ", said)
        assert code == 3 and named and int(named[1]) == expected, (name, expected, code, said)
        code, seen = other("log", os.path.join(target, "state.db"), "--key", key, "--checkpoints", outside)
        assert code == 3 and seen["seq"] == expected, (name, expected, seen)
        print(f"{name}: record {expected}, {seen['what']}")

    # A checkpoint that somebody else signed says nothing.
    forged = os.path.join(work, "forged.txt")
    text = open(outside, encoding="utf-8").read()
    with open(forged, "w", encoding="utf-8") as file:
        file.write(text.replace(f"\n{first}\n", f"\n{first + 1}\n"))
    code, said = program(folder, "verify", "--checkpoint", forged, "--key", key)
    assert code == 3 and "not signed" in said, said
    code, seen = other("log", state, "--key", key, "--checkpoints", forged)
    assert code == 3 and seen["what"] == "unsigned", seen

    # An export is enough for somebody who has no part of the state.
    code, exported = program(folder, "export")
    assert code == 0 and exported.count("\n") == size
    path = os.path.join(work, "log.jsonl")
    with open(path, "w", encoding="utf-8") as file:
        file.write(exported)
    code, seen = other("log", path, "--key", key, "--checkpoints", outside)
    assert code == 0 and seen["records"] == size, seen
    with open(path, "w", encoding="utf-8") as file:
        file.write(exported.replace('"v":1', '"v":2', seventh).replace('"v":2', '"v":1', seventh - 1))
    code, seen = other("log", path, "--key", key, "--checkpoints", outside)
    assert code == 3 and seen["seq"] == seventh, seen

    proof = os.path.join(work, "proof.json")
    proofs = [("inclusion", str(seq)) for seq in (1, 2, first, first + 1, size - 1, size)]
    proofs += [("consistency", str(old), str(new)) for old in sizes for new in sizes if old <= new][:12]
    for wanted in proofs:
        code, said = program(folder, "prove", *wanted)
        assert code == 0, (wanted, said)
        good = json.loads(said)
        bad = [good | {"hashes": good["hashes"] + ["00" * 32]}]
        bad += [good | {"hashes": good["hashes"][:at] + ["00" * 32] + good["hashes"][at + 1:]} for at in range(len(good["hashes"]))]
        if wanted[0] == "inclusion":
            bad += [good | {"seq": good["seq"] + 1}, good | {"record": good["record"].replace('"v":1', '"v":2')}]
        for at, one in enumerate([good] + bad):
            with open(proof, "w", encoding="utf-8") as file:
                json.dump(one, file)
            expected = 0 if at == 0 else 3
            code, seen = other("proof", proof, "--key", key)
            assert code == expected, (wanted, one, seen)
            if at < 2:
                code, said = program(folder, "check-proof", proof, "--key", key)
                assert code == expected, (wanted, one, said)
    print(f"{len(drills)} alterations located by both, {len(proofs)} proofs checked by both, in a log of {size} records")


main()
