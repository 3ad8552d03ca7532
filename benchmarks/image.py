"""How long an image alone takes: unpacking it to sections, and reading its symbols; processor seconds, and their sum.

    python benchmarks/image.py IMAGE ...

The numbers are those of a fresh process each, without the start of the interpreter, and with the import of numpy.
Budget of everything that is read from an image: 1.5 s on two cores.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

WORK = """
import json, resource, sys, time
from pathlib import Path
data = Path(sys.argv[1]).read_bytes()
start = time.process_time()
from hostproof.artefacts.kernel.kallsyms import find_kallsyms
from hostproof.artefacts.kernel.unpack import open_image
imported = time.process_time()
kernel = open_image(data, sys.argv[1]).kernel
opened = time.process_time()
symbols = find_kallsyms(kernel)
read = time.process_time()
print(json.dumps({
    "symbols": len(symbols or ()), "import": imported - start, "unpack": opened - imported, "kallsyms": read - opened,
    "sum": read - start, "MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))
"""


def main() -> int:
    images = [Path(word) for word in sys.argv[1:]]
    if not images:
        print("give images: boot/vmlinuz-RELEASE, Image, vmlinux", file=sys.stderr)
        return 2
    print("symbols  import  unpack  kallsyms  sum    MiB  image")
    for image in images:
        run = subprocess.run([sys.executable, "-c", WORK, str(image)], capture_output=True, text=True, check=True)
        row = json.loads(run.stdout)
        times = "  ".join(f"{row[name]:6.2f}" for name in ("import", "unpack", "kallsyms", "sum"))
        print(f"{row['symbols']:7}  {times}  {row['MiB']:5.0f}  {image.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
