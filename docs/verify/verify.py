#!/usr/bin/env python3
"""Check a bundle that `annals audit export` wrote: offline, with nothing but public keys.

This is a second verifier. It shares no code with Annals and needs nothing beyond
Python's standard library (3.8 or later), so that it can be read in one sitting:

    python3 verify.py BUNDLE --key KEYS

KEYS is a file with the public keys that you were given by another way, one a line: the
log's, and any of witnesses. The status is 0 if nothing is wrong, and 1 otherwise, with a
line for each thing that is, and where.

Sources: RFC 6962 (Merkle trees), RFC 8032 (Ed25519), C2SP signed-note,
tlog-checkpoint and tlog-cosignature.
"""

import argparse
import base64
import binascii
import hashlib
import json
import os
import struct
import sys
import uuid

# --- Ed25519, verification only: RFC 8032, section 5.1 -----------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def recover_x(y, sign):
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if x2 == 0:
        return None if sign else 0
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * SQRT_M1 % P
    if (x * x - x2) % P:
        return None
    return P - x if x & 1 != sign else x


def point_add(a, b):
    """Points are (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z."""
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def point_mul(n, point):
    out = (0, 1, 1, 0)
    while n:
        if n & 1:
            out = point_add(out, point)
        point, n = point_add(point, point), n >> 1
    return out


def point_equal(a, b):
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


def point_read(raw):
    n = int.from_bytes(raw, "little")
    y, sign = n & ((1 << 255) - 1), n >> 255
    x = recover_x(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = recover_x(BASE_Y, 0)
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def ed25519_holds(public, message, signature):
    if len(public) != 32 or len(signature) != 64:
        return False
    a, r = point_read(public), point_read(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    return point_equal(point_mul(s, BASE), point_add(r, point_mul(h, a)))


# --- signed notes, keys and checkpoints ---------------------------------------------------

ED25519, COSIGNATURE = 1, 4


class Bad(Exception):
    """What is wrong with something."""


def from_base64(text):
    """The bytes of base64 that is written the one way that it is."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Bad("it cannot be read")
    if base64.b64encode(raw).decode() != text:
        raise Bad("it is not written as it was")
    return raw


class Key:
    """A public key: name+hash+base64(type, key)."""

    def __init__(self, line):
        parts = line.split("+", 2)
        if len(parts) != 3:
            raise Bad("%r is no public key" % line)
        self.name = parts[0]
        raw = from_base64(parts[2])
        self.kind, self.public = raw[0], raw[1:]
        self.id = hashlib.sha256(self.name.encode() + b"\n" + raw).digest()[:4]
        if self.kind not in (ED25519, COSIGNATURE) or len(self.public) != 32 or self.id.hex() != parts[1]:
            raise Bad("%r is no public key" % line)

    def holds(self, text, signature):
        if self.kind == COSIGNATURE:
            if len(signature) != 72:
                return False
            at = struct.unpack(">Q", signature[:8])[0]
            text = b"cosignature/v1\ntime %d\n" % at + text
            signature = signature[8:]
        return ed25519_holds(self.public, text, signature)


def read_keys(path):
    """The key of the log, and those of witnesses."""
    with open(path, encoding="utf-8") as f:
        keys = [Key(line.strip()) for line in f if line.strip()]
    logs = [k for k in keys if k.kind == ED25519]
    if len(logs) != 1:
        raise Bad("there is not one public key of a log in %s" % path)
    return logs[0], [k for k in keys if k.kind == COSIGNATURE]


def open_note(raw, log, witnesses):
    """The text of a note that the log has signed, how many signatures it has, and by whom else."""
    try:
        text, signatures = raw.decode("utf-8").rsplit("\n\n", 1)
    except (UnicodeDecodeError, ValueError):
        raise Bad("it is not a signed note")
    text += "\n"
    lines = signatures.split("\n")
    if lines.pop() != "" or not lines:
        raise Bad("it is not a signed note")
    by, count = set(), len(lines)
    for line in lines:
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != "\u2014":
            raise Bad("it is not a signed note")
        signature = from_base64(parts[2])
        for key in [log] + witnesses:
            if parts[1] == key.name and signature[:4] == key.id:
                if not key.holds(text.encode(), signature[4:]):
                    raise Bad("the signature of %s does not hold: it was changed after it was signed" % key.name)
                by.add(key.name)
    if log.name not in by:
        raise Bad("the log has not signed it: it was signed with another key, or the signature is missing")
    return text, count, by - {log.name}


def open_checkpoint(raw, log, witnesses):
    text, _, by = open_note(raw, log, witnesses)
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] != "" or not lines[1].isdigit() or str(int(lines[1])) != lines[1]:
        raise Bad("it is not a checkpoint")
    root = from_base64(lines[2])
    if len(root) != 32:
        raise Bad("it is not a checkpoint")
    if lines[0] != log.name:
        raise Bad("it is of the log %s, and the key of %s" % (lines[0], log.name))
    return int(lines[1]), root, by


# --- the Merkle tree: RFC 6962, section 2.1 ----------------------------------------------


def leaf_hash(data):
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def root_of(leaf, index, size, proof):
    """The root that a proof leads to (RFC 9162, section 2.1.3.2)."""
    if not 0 <= index < size:
        raise Bad("its index is not in the tree")
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        if sn == 0:
            raise Bad("its proof is too long")
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise Bad("its proof is too short")
    return r


# --- events -------------------------------------------------------------------------------

FIELDS = ["index", "commit", "prepare", "stream", "revision", "id", "type", "created", "json", "data", "metadata", "data_sha256", "metadata_sha256", "proof"]


def digest_of(event, name):
    """The SHA-256 of an event's data or metadata, which may be all that is there."""
    raw, digest = event.get(name), event.get(name + "_sha256")
    if (raw is None) == (digest is None):
        raise Bad("it has neither %s nor their digest, or both" % name)
    if raw is not None:
        return hashlib.sha256(from_base64(raw)).digest()
    try:
        out = bytes.fromhex(digest)
    except ValueError:
        raise Bad("the digest of its %s cannot be read" % name)
    if len(out) != 32 or out.hex() != digest:
        raise Bad("the digest of its %s cannot be read" % name)
    return out


def leaf_of(event):
    """The bytes of an event's leaf."""
    stream, kind = event["stream"].encode()[:65535], event["type"].encode()[:65535]
    if str(uuid.UUID(event["id"])) != event["id"]:
        raise Bad("its id is no UUID")
    return b"".join([
        b"annals-event-v1\n",
        struct.pack(">QQQq", event["commit"], event["prepare"], event["revision"], event["created"]),
        uuid.UUID(event["id"]).bytes,
        b"\1" if event["json"] else b"\0",
        struct.pack(">H", len(stream)), stream,
        struct.pack(">H", len(kind)), kind,
        digest_of(event, "data"), digest_of(event, "metadata"),
    ])


class Sequence:
    """The events so far, each checked by itself and by those before it."""

    def __init__(self, tree, period):
        self.tree, self.period = tree, period
        self.seen, self.last, self.position = {}, -1, 0
        self.where = ""  # of what the line is about, once that is known

    def line(self, raw):
        self.where = ""
        event = json.loads(raw.decode("utf-8"))
        again = json.dumps(event, separators=(",", ":"), ensure_ascii=False)
        again = again.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").encode()
        if again != raw or not isinstance(event, dict) or [f for f in FIELDS if f in event] != list(event):
            raise Bad("it is not written as it was")
        self.where = " (%s revision %s)" % (event["stream"], event["revision"])
        leaf = leaf_hash(leaf_of(event))
        index, before = event["index"], self.last
        self.last = max(self.last, index)
        if index <= before or event["commit"] < self.position:
            raise Bad("it is out of order: it comes after a later one, or twice")
        if self.period and before >= 0 and index != before + 1:
            raise Bad("%d events before it are missing" % (index - before - 1))
        self.position = event["commit"]
        stream = event["stream"]
        if not self.period and event["revision"] != self.seen.get(stream, 0) and event["type"] != "$streamDeleted":
            self.seen[stream] = event["revision"] + 1
            raise Bad("an event of its stream before it is missing")
        self.seen[stream] = self.seen.get(stream, 0) + 1
        if self.tree:
            proof = [from_base64(h) for h in event["proof"]]
            if any(len(h) != 32 for h in proof) or root_of(leaf, index, self.tree[0], proof) != self.tree[1]:
                raise Bad("it is not in the tree that was signed: it, its place or its proof was changed")


class Verifier:
    def __init__(self, bundle, log, witnesses):
        self.bundle, self.log, self.witnesses = bundle, log, witnesses
        self.faults = []
        self.tree = None  # size and root
        self.by = set()

    def fault(self, where, what):
        self.faults.append("%s: %s" % (where, what))

    def read(self, name):
        try:
            with open(os.path.join(self.bundle, name), "rb") as f:
                return f.read()
        except OSError:
            self.fault(name, "it is missing, or cannot be read")
            return None

    def manifest(self):
        """What the manifest says, or nothing if it cannot be trusted."""
        raw = self.read("MANIFEST")
        if raw is None:
            return None
        try:
            text, count, _ = open_note(raw, self.log, [])
            if count != 1:
                raise Bad("there is more than one signature")
            lines = text.split("\n")
            names = ["origin", "scope", "made", "events", "leaves"]
            if lines[0] != "annals bundle v1" or len(lines) < 7 or lines[-1] != "":
                raise Bad("it is not the manifest of a bundle that this program knows")
            out = {}
            for name, line in zip(names, lines[1:]):
                if not line.startswith(name + " "):
                    raise Bad("it is not the manifest of a bundle that this program knows")
                out[name] = line[len(name) + 1:]
            out["files"] = {}
            for line in lines[6:-1]:
                word, digest, size, name = line.split(" ", 3)
                if word != "file":
                    raise Bad("it is not the manifest of a bundle that this program knows")
                out["files"][name] = (digest, int(size))
            if out["origin"] != self.log.name:
                raise Bad("it is of the log %s, and the key of %s" % (out["origin"], self.log.name))
            return out
        except (Bad, ValueError) as e:
            self.fault("MANIFEST", e)
            return None

    def checkpoint(self):
        raw = self.read("checkpoint.txt")
        if raw is None:
            return
        try:
            size, root, self.by = open_checkpoint(raw, self.log, self.witnesses)
            self.tree = size, root
        except Bad as e:
            self.fault("checkpoint.txt", e)

    def files(self, manifest):
        for name, (digest, size) in manifest["files"].items():
            if name.startswith("/") or ".." in name.split("/"):
                self.fault("MANIFEST", "it names %r" % name)
                continue
            try:
                h, n = hashlib.sha256(), 0
                with open(os.path.join(self.bundle, name), "rb") as f:
                    for part in iter(lambda: f.read(1 << 20), b""):
                        h.update(part)
                        n += len(part)
            except OSError:
                self.fault(name, "it is missing, or cannot be read")
                continue
            if n != size:
                self.fault(name, "it has %d bytes, and had %d when it was signed" % (n, size))
            elif h.hexdigest() != digest:
                self.fault(name, "it is not what was signed")
        for name in ["checkpoint.txt", "events.ndjson", "streams.txt", "history.ndjson", "keys.txt", "report.html"]:
            if name not in manifest["files"]:
                self.fault("MANIFEST", "it does not list %s" % name)
        for folder, _, names in os.walk(self.bundle):
            for name in names:
                path = os.path.relpath(os.path.join(folder, name), self.bundle).replace(os.sep, "/")
                if path != "MANIFEST" and path not in manifest["files"]:
                    self.fault(path, "it is not in the manifest: it was added")

    def lines(self, name):
        """The lines of a file, numbered from 1."""
        try:
            with open(os.path.join(self.bundle, name), "rb") as f:
                for n, line in enumerate(f, 1):
                    if not line.endswith(b"\n"):
                        self.fault("%s line %d" % (name, n), "it is not a whole line")
                        return
                    yield n, line[:-1]
        except OSError:
            self.fault(name, "it is missing, or cannot be read")

    def streams(self):
        counts = {}
        for n, line in self.lines("streams.txt"):
            count, _, stream = line.decode("utf-8", "replace").partition(" ")
            if not count.isdigit() or int(count) < 1 or not stream or stream in counts:
                self.fault("streams.txt line %d" % n, "it is not a count and a stream, or there are two of it")
                continue
            counts[stream] = int(count)
        return counts

    def events(self, manifest, counts):
        s = Sequence(self.tree, manifest is not None and manifest["scope"].startswith("period "))
        n = 0
        for n, raw in self.lines("events.ndjson"):
            try:
                s.line(raw)
            except Bad as e:
                self.fault("events.ndjson line %d%s" % (n, s.where), e)
            except (ValueError, KeyError, TypeError, AttributeError, struct.error):
                self.fault("events.ndjson line %d%s" % (n, s.where), "it cannot be read")
        if manifest is not None and str(n) != manifest["events"]:
            self.fault("events.ndjson", "it has %d events, and had %s when it was signed" % (n, manifest["events"]))
        for stream in sorted(set(counts) | set(s.seen)):
            if counts.get(stream, 0) != s.seen.get(stream, 0):
                self.fault("events.ndjson", "it has %d events of %s, and there should be %d" % (s.seen.get(stream, 0), stream, counts.get(stream, 0)))

    def run(self):
        manifest = self.manifest()
        self.checkpoint()
        if manifest is not None:
            self.files(manifest)
        self.events(manifest, self.streams())
        return manifest


def main():
    args = argparse.ArgumentParser(description="Check a bundle of annals audit export, offline.")
    args.add_argument("bundle")
    args.add_argument("--key", help="file with the public keys; without it those that the bundle brings, which prove less")
    args = args.parse_args()
    try:
        if not args.key:
            print("checked with the keys that the bundle brings: compare them with those that you were given by another way, or use --key", file=sys.stderr)
        log, witnesses = read_keys(args.key or os.path.join(args.bundle, "keys.txt"))
    except (Bad, OSError, UnicodeDecodeError, IndexError) as e:
        print("public keys: %s" % e)
        return 1
    v = Verifier(args.bundle, log, witnesses)
    manifest = v.run()
    for fault in v.faults:
        print(fault)
    if v.faults or manifest is None:
        return 1
    print("%s: %s events, unchanged and complete, in the tree of %s that %s has signed" % (manifest["scope"], manifest["events"], v.tree[0], log.name))
    for name in sorted(v.by):
        print("countersigned by %s" % name)
    return 0


if __name__ == "__main__":
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status)
