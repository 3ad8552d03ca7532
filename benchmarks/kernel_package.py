"""How long a kernel package takes, from the file to the facts and to the driver sets; seconds and peak memory.

    python benchmarks/kernel_package.py [PACKAGE ...]

Without arguments it takes the packages in HOSTPROOF_KERNELS. Each package is read in a fresh interpreter, so that the
times are those of one run of the tool (imports included) and the peak is that of one package. `--cold` drops the page
cache first, which needs root. Budget: below 8 s and 1 GiB for a kernel of 4,000 modules on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

WORK = """
import json, resource, sys, time
start = time.perf_counter()
from pathlib import Path
from hostproof.artefacts.kernel import match
from hostproof.artefacts.kernel.facts_file import decode, encode
from hostproof.artefacts.kernel.read import read_kernel
imported = time.perf_counter()
facts = read_kernel(Path(sys.argv[1]))
read = time.perf_counter()
text = encode(facts)
encoded = time.perf_counter()
facts = decode(text, "facts")
decoded = time.perf_counter()
buses = ("pci", "virtio", "acpi", "pnp")
match.configured(facts, ["pci:v00001AF4d00001041sv00001AF4sd00001100bc02sc00i00"])
sets = [match.presentable(facts, buses), match.presentable(facts, (*buses, *match.BEHIND_CONTROLLER))]
match.driver_texts(facts, sets[1].direct)
matched = time.perf_counter()
print(json.dumps({
    "modules": len(facts.modules or ()),
    "presentable": len(sets[0].closure),
    "presentable_bytes": sets[0].text_bytes,
    "import": imported - start,
    "read": read - imported,
    "encode": encoded - read,
    "decode": decoded - encoded,
    "match": matched - decoded,
    "facts_bytes": len(text),
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
}))
"""


def measure(package: Path, *, cold: bool) -> dict[str, float]:
    """The numbers of one run on `package`."""
    if cold:
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3")
    done = subprocess.run([sys.executable, "-c", WORK, str(package)], check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main() -> int:
    """Prints one block per package; 1 where a package is over the budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", nargs="*", type=Path)
    parser.add_argument("--cold", action="store_true", help="drop the page cache before each run (needs root)")
    args = parser.parse_args()
    packages = args.package or sorted(Path(os.environ.get("HOSTPROOF_KERNELS", ".kernels")).glob("*.deb"))
    if not packages:
        parser.error("no package given, and none in HOSTPROOF_KERNELS (make kernels)")
    over = False
    for package in packages:
        numbers = measure(package, cold=args.cold)
        seconds = sum(numbers[step] for step in ("import", "read", "match"))
        over |= seconds > 8 or numbers["peak"] > 1 << 30
        print(f"{package.name}: {package.stat().st_size / 1e6:.1f} MB, {numbers['modules']:,.0f} modules")
        steps = ", ".join(f"{step} {numbers[step]:.2f}" for step in ("import", "read", "match"))
        codec = ", ".join(f"{step} {numbers[step]:.3f} s" for step in ("encode", "decode"))
        print(f"  package to driver sets  {seconds:6.2f} s   ({steps})")
        print(f"  peak memory             {numbers['peak'] / (1 << 20):6.0f} MiB")
        print(f"  facts file              {numbers['facts_bytes'] / 1e6:6.2f} MB  ({codec})")
        print(f"  facts to driver sets    {numbers['decode'] + numbers['match']:6.3f} s")
        mebibytes = numbers["presentable_bytes"] / (1 << 20)
        print(f"  presentable             {numbers['presentable']:,.0f} modules, {mebibytes:.2f} MiB")
    return int(over)


if __name__ == "__main__":
    sys.exit(main())
