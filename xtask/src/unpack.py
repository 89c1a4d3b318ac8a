"""Checks a wheel's SHA-256 and unpacks chosen members of it.

    python3 unpack.py WHEEL SHA256 FOLDER FROM=TO [FROM=TO ..]

A FROM that ends in a slash means everything below it. Prints lines of "DONE TOTAL" in bytes. Exit codes: 3 when the hash
is another one, 4 when a FROM matches nothing.
"""

import hashlib
import os
import sys
import zipfile

BLOCK = 1 << 20


def target(name, rules):
    for source, goal in rules:
        if source.endswith("/"):
            if name.startswith(source) and not name.endswith("/"):
                return source, goal + name[len(source):]
        elif name == source:
            return source, goal
    return None


def main(wheel, sha256, folder, *pairs):
    digest = hashlib.sha256()
    with open(wheel, "rb") as file:
        for block in iter(lambda: file.read(BLOCK), b""):
            digest.update(block)
    if digest.hexdigest() != sha256:
        print("its SHA-256 is %s, expected %s" % (digest.hexdigest(), sha256), file=sys.stderr)
        return 3

    rules = [tuple(pair.split("=", 1)) for pair in pairs]
    root = os.path.realpath(folder)
    with zipfile.ZipFile(wheel) as archive:
        chosen = [(info, target(info.filename, rules)) for info in archive.infolist()]
        chosen = [(info, hit[0], hit[1]) for info, hit in chosen if hit is not None]
        missing = {source for source, _ in rules} - {source for _, source, _ in chosen}
        if missing:
            print("the wheel has no %s" % ", ".join(sorted(missing)), file=sys.stderr)
            return 4
        total = sum(info.file_size for info, _, _ in chosen)
        done = reported = 0
        for info, _, relative in chosen:
            path = os.path.realpath(os.path.join(root, relative))
            if not path.startswith(root + os.sep):
                print("%s would leave %s" % (info.filename, root), file=sys.stderr)
                return 4
            os.makedirs(os.path.dirname(path), exist_ok=True)
            # A process may still have the old file mapped: a new file leaves that one alone.
            if os.path.lexists(path):
                os.remove(path)
            with archive.open(info) as source, open(path, "wb") as sink:
                for block in iter(lambda: source.read(BLOCK), b""):
                    sink.write(block)
                    done += len(block)
                    if done - reported >= 4 * BLOCK:
                        print(done, total, flush=True)
                        reported = done
            mode = (info.external_attr >> 16) & 0o777
            if mode & 0o111:
                os.chmod(path, 0o755)
        print(done, total, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
