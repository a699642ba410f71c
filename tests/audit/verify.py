#!/usr/bin/env python3
"""Verifies an audit log of Bailiwick. Written from docs/audit.md; shares no code with the program. Standard library only.

    verify.py log LOG [--key KEY] [--checkpoints FILE]   LOG: the state file (*.db), or an export in JSON Lines
    verify.py proof FILE --key KEY

Prints one line of JSON. Ends with 0 if all is well, 3 if not, 1 if something cannot be read.
"""

import argparse
import base64
import hashlib
import json
import sqlite3
import sys

# --- Ed25519 (RFC 8032 section 5.1), to verify alone: slow and plain.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
I = pow(2, (P - 1) // 4, P)


def recover_x(y, sign):
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if x2 == 0:
        return None if sign else 0
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * I % P
    if (x * x - x2) % P:
        return None
    return P - x if x & 1 != sign else x


def decompress(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    x = recover_x(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


def add(a, b):
    e1, e2 = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    c, d = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = e2 - e1, d - c, d + c, e2 + e1
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(number, point):
    result = (0, 1, 1, 0)
    while number:
        if number & 1:
            result = add(result, point)
        point, number = add(point, point), number >> 1
    return result


def equal(a, b):
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


G_Y = 4 * pow(5, P - 2, P) % P
G_X = recover_x(G_Y, 0)
G = (G_X, G_Y, 1, G_X * G_Y % P)


def signed(public, message, signature):
    if len(public) != 32 or len(signature) != 64:
        return False
    key, point = decompress(public), decompress(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if key is None or point is None or s >= L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    return equal(times(s, G), add(point, times(h, key)))


# --- The tree (RFC 9162 section 2.1).
def sha(data):
    return hashlib.sha256(data).digest()


def leaf(record):
    return sha(b"\x00" + record)


def node(left, right):
    return sha(b"\x01" + left + right)


class Tree:
    """Roots of complete subtrees with their heights, from left to right."""

    def __init__(self):
        self.size, self.parts = 0, []

    def push(self, value):
        self.parts.append((0, value))
        while len(self.parts) > 1 and self.parts[-1][0] == self.parts[-2][0]:
            (height, right), (_, left) = self.parts.pop(), self.parts.pop()
            self.parts.append((height + 1, node(left, right)))
        self.size += 1

    def root(self):
        if not self.parts:
            return sha(b"")
        value = self.parts[-1][1]
        for _, left in reversed(self.parts[:-1]):
            value = node(left, value)
        return value


def split(size):
    k = 1
    while k * 2 < size:
        k *= 2
    return k


def root_from_inclusion(index, size, value, proof):
    """The root that the proof leads to, by the recursion of section 2.1.3.1 read backwards."""
    if size == 1:
        if proof:
            raise ValueError("too long")
        return value
    if not proof:
        raise ValueError("too short")
    k = split(size)
    if index < k:
        return node(root_from_inclusion(index, k, value, proof[:-1]), proof[-1])
    return node(proof[-1], root_from_inclusion(index - k, size - k, value, proof[:-1]))


def roots_from_consistency(old, size, proof, whole, first):
    """Both roots that the proof leads to, by the recursion of section 2.1.4.1 read backwards."""
    if old == size:
        if whole:
            if proof:
                raise ValueError("too long")
            return first, first
        if len(proof) != 1:
            raise ValueError("wrong length")
        return proof[0], proof[0]
    if not proof:
        raise ValueError("too short")
    k = split(size)
    if old <= k:
        a, b = roots_from_consistency(old, k, proof[:-1], whole, first)
        return a, node(b, proof[-1])
    a, b = roots_from_consistency(old - k, size - k, proof[:-1], False, first)
    return node(proof[-1], a), node(proof[-1], b)


# --- Checkpoints: signed notes.
class Key:
    def __init__(self, text):
        self.name, identity, key = text.strip().split("+", 2)
        raw = base64.b64decode(key, validate=True)
        if raw[0] != 1 or len(raw) != 33:
            raise ValueError("no Ed25519 key")
        self.public = raw[1:]
        self.id = sha(self.name.encode() + b"\n" + raw)[:4]
        if self.id.hex() != identity:
            raise ValueError("the key is not the one of its name")


class Note:
    def __init__(self, text):
        body, rest = text.split("\n\n", 1)
        self.body = body + "\n"
        origin, size, root, at, head = body.split("\n")
        self.log = origin.removeprefix("bailiwick/audit/")
        self.size, self.root = int(size), base64.b64decode(root, validate=True)
        self.at, self.head = int(at.removeprefix("at ")), bytes.fromhex(head.removeprefix("head "))
        self.lines = rest.splitlines()
        if any(len(base64.b64decode(line.split(" ")[2], validate=True)) < 68 for line in self.lines):
            raise ValueError("a signature is too short")

    def is_signed(self, key):
        for line in self.lines:
            _, name, data = line.split(" ")
            data = base64.b64decode(data, validate=True)
            if name == key.name == "bailiwick/audit/" + self.log and data[:4] == key.id:
                if signed(key.public, self.body.encode(), data[4:]):
                    return True
        return False


def notes(text):
    parts = [part.strip("\n") for part in text.split("\n\n")]
    found, body = [], None
    for part in parts:
        if part.startswith("\u2014 "):
            if body is not None:
                try:
                    found.append(Note(body + "\n\n" + part + "\n"))
                except ValueError:
                    pass  # torn
            body = None
        elif part:
            body = part
    return found


# --- The log.
class Damaged(Exception):
    def __init__(self, seq, what):
        super().__init__(what)
        self.seq, self.what = seq, what


class Log:
    """Records in order, with what else is known of the log."""

    def __init__(self, path):
        self.leaves, self.through, self.last_hash, self.kept = [], 0, None, []
        if path.endswith(".db"):
            db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            db.execute("BEGIN")  # all of it as it was at one moment, also while somebody writes
            self.log, self.head_seq, self.head_hash = db.execute("SELECT log_id, seq, hash FROM audit_head").fetchone()
            self.rows = db.execute("SELECT seq, record, hash FROM audit ORDER BY seq")
            self.leaves = db.execute("SELECT seq, leaf FROM audit_leaf ORDER BY seq").fetchall()
            for self.through, self.last_hash in db.execute("SELECT through, hash FROM audit_pruned"):
                self.last_hash = bytes.fromhex(self.last_hash)
            self.kept = [(size, note) for size, note in db.execute("SELECT size, note FROM audit_checkpoint ORDER BY size")]
        else:
            self.rows = self.lines(path)
            self.log = self.head_seq = self.head_hash = None

    @staticmethod
    def lines(path):
        with open(path, "rb") as file:
            for line in file:
                record = line.rstrip(b"\n")
                yield None, record.decode(), None


def verify(log, outside, key):
    marks = {}
    for size, text in log.kept:
        try:
            note = Note(text)
        except ValueError:
            note = None
        marks.setdefault(size, []).append(note)
    for note in outside:
        if log.log is not None and note.log != log.log:
            raise Damaged(note.size, "other log")
        if not note.is_signed(key):
            raise Damaged(note.size, "unsigned")
        marks.setdefault(note.size, []).append(note)
    tree, last, seen = Tree(), 0, 0

    def check(previous):
        nonlocal last, seen
        for note in marks.pop(tree.size, []):
            if note is None or note.size != tree.size or (key and not note.is_signed(key)):
                raise Damaged(tree.size, "unsigned")
            if note.root != tree.root() or (previous is not None and note.head != previous):
                raise Damaged(last + 1, "forked")
            last, seen = tree.size, seen + 1

    previous, seq = None, 0
    for number, value in log.leaves:
        if number > log.through:
            break
        seq += 1
        if number != seq:
            raise Damaged(seq, "missing")
        tree.push(value)
        previous = log.last_hash if seq == log.through else None
        check(previous)
    if seq < log.through:
        raise Damaged(seq + 1, "missing")
    for number, text, kept in log.rows:
        if log.head_seq is not None and number > log.head_seq:
            raise Damaged(number, "behind the head")
        seq += 1
        if number is not None and number != seq:
            raise Damaged(seq, "missing")
        digest = sha(text.encode())
        if kept is not None and kept != digest.hex():
            raise Damaged(seq, "altered")
        try:
            record = json.loads(text)
            place, names, chained = record["seq"], record["log_id"], bytes.fromhex(record["prev_hash"])
        except (ValueError, KeyError, TypeError):
            raise Damaged(seq, "unreadable") from None
        log.log = log.log or names
        if names != log.log:
            raise Damaged(seq, "other log")
        if number is None and seq == 1 and place > 1:
            raise Damaged(1, "missing")
        if place != seq:
            # Without a number beside it, a gap and a move look alike: the next record says which.
            raise Damaged(seq, "moved" if number is not None else "missing or moved")
        if chained != (previous or bytes(32)):
            raise Damaged(seq - 1 if seq > 1 else 1, "replaced" if seq > 1 else "altered")
        previous = digest
        tree.push(leaf(text.encode()))
        check(previous)
    if log.head_seq is not None:
        if seq < log.head_seq:
            raise Damaged(seq + 1, "truncated")
        if previous is not None and previous.hex() != log.head_hash:
            raise Damaged(seq, "replaced")
    if marks:
        raise Damaged(seq + 1, "cut off")
    return {"records": seq, "checkpoints": seen, "root": tree.root().hex()}


def check_proof(proof, key):
    hashes = [bytes.fromhex(one) for one in proof["hashes"]]
    if proof["type"] == "inclusion":
        note = Note(proof["checkpoint"])
        value = bytes.fromhex(proof["leaf"])
        if "record" in proof:
            record = json.loads(proof["record"])
            if leaf(proof["record"].encode()) != value or (record["seq"], record["log_id"]) != (proof["seq"], note.log):
                raise ValueError("the record is another")
        index = proof["seq"] - 1
        if not 0 <= index < note.size:
            raise ValueError("not in the log")
        good = note.is_signed(key) and root_from_inclusion(index, note.size, value, hashes) == note.root
    else:
        old, new = Note(proof["from"]), Note(proof["to"])
        if not 0 < old.size <= new.size or old.log != new.log:
            raise ValueError("backwards")
        roots = roots_from_consistency(old.size, new.size, hashes, True, old.root)
        good = old.is_signed(key) and new.is_signed(key) and roots == (old.root, new.root)
    if not good:
        raise ValueError("the proof does not hold")


def main(arguments=None):
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("log")
    one.add_argument("log")
    one.add_argument("--key", type=Key)
    one.add_argument("--checkpoints", action="append", default=[])
    one = commands.add_parser("proof")
    one.add_argument("file")
    one.add_argument("--key", type=Key, required=True)
    args = parser.parse_args(arguments)
    try:
        if args.command == "log":
            outside = [note for path in args.checkpoints for note in notes(open(path, encoding="utf-8").read())]
            print(json.dumps(verify(Log(args.log), outside, args.key)))
        else:
            check_proof(json.load(open(args.file, encoding="utf-8")), args.key)
            print(json.dumps({"holds": True}))
    except Damaged as damage:
        print(json.dumps({"seq": damage.seq, "what": damage.what}))
        return 3
    except ValueError as error:
        print(json.dumps({"what": str(error)}))
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
