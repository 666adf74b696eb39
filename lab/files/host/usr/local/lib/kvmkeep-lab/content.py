"""Fill a directory with files of known content, and a list of their hashes."""

import hashlib
import pathlib
import random
import sys

name, target = sys.argv[1], pathlib.Path(sys.argv[2])
source = random.Random(name)  # noqa: S311  (known content is the point)
lines = []
for number in range(32):
    data = source.randbytes(64 * 1024)
    file = target / f"{name}-{number:02}.bin"
    file.write_bytes(data)
    lines.append(f"{hashlib.sha256(data).hexdigest()}  {file.name}\n")
(target / "SHA256SUMS").write_text("".join(lines))
