"""Changes single bytes of a bundle's events, each in turn, and has the second verifier look
at each changed line, after those before it: prints how many it was given, and those in which
it found nothing.

bytes.py VERIFIER BUNDLE KEYS EVERY SEED
"""

import copy
import importlib.util
import io
import os
import random
import struct
import sys

verifier, bundle, keys, every, seed = sys.argv[1:]
sys.dont_write_bytecode = True
spec = importlib.util.spec_from_file_location("verify", verifier)
verify = importlib.util.module_from_spec(spec)
spec.loader.exec_module(verify)
log, witnesses = verify.read_keys(keys)
check = verify.Verifier(bundle, log, witnesses)
check.checkpoint()
every, rand = int(every), random.Random(int(seed))
with open(os.path.join(bundle, "events.ndjson"), "rb") as f:
    lines = f.readlines()


def found(sequence, text):
    """Whether anything is wrong with text after what the sequence has seen."""
    after = copy.copy(sequence)
    after.seen = dict(sequence.seen)
    for line in io.BytesIO(text):
        if not line.endswith(b"\n"):
            return True
        try:
            after.line(line[:-1])
        except (verify.Bad, ValueError, KeyError, TypeError, AttributeError, struct.error):
            return True
    return False


tried = 0
sequence = verify.Sequence(check.tree, False)
for n, line in enumerate(lines):
    following = lines[n + 1] if n + 1 < len(lines) else b""
    for at in range(rand.randrange(every), len(line), every):
        kind = rand.randrange(4)
        if kind == 0:
            text, what = line[:at] + line[at + 1:], "removed"
        elif kind == 1:
            text, what = line[:at] + bytes([rand.randrange(256)]) + line[at:], "inserted"
        elif kind == 2:
            text, what = line[:at] + bytes([line[at] ^ 1 << rand.randrange(8)]) + line[at + 1:], "flipped"
        else:
            text, what = line[:at] + bytes([(line[at] + 1 + rand.randrange(255)) % 256]) + line[at + 1:], "changed"
        if not text.endswith(b"\n"):  # then what follows is of the same line
            text += following
        tried += 1
        if not found(sequence, text):
            print("byte %d of line %d %s: nothing is found" % (at, n + 1, what))
    sequence.line(line[:-1])
print(tried)
