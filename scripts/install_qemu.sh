#!/usr/bin/env bash
# Installs QEMU, Rumur with its compiler, and packers for the tests that compare with them, where this machine lets us. What
# cannot be had is said and is not an error: the tests that need it skip, saying so. Nothing is upgraded.
set -u
wanted=()
command -v qemu-system-x86_64 >/dev/null || wanted+=(qemu-system-x86)
command -v qemu-system-aarch64 >/dev/null || wanted+=(qemu-system-arm)
command -v qemu-system-s390x >/dev/null || wanted+=(qemu-system-misc)
# Packers and readers that are oracles of the initrd's and the image's tests.
for tool in cpio bzip2 lzop lz4 zstd bpftool; do
    command -v "$tool" >/dev/null || [ -x "/usr/sbin/$tool" ] || wanted+=("$tool")
done
command -v xz >/dev/null || wanted+=(xz-utils)
command -v rumur >/dev/null || wanted+=(rumur)
command -v gcc >/dev/null || wanted+=(gcc libc6-dev)
[ ${#wanted[@]} = 0 ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "${wanted[*]}: not installed (that takes root and apt-get), and tests that need it skip" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
options=(-qq -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30 -o Acquire::Retries=2 -o DPkg::Lock::Timeout=120)
said=$(mktemp) || exit 3
trap 'rm -f "$said"' EXIT
timeout 300 apt-get "${options[@]}" update >"$said" 2>&1 || cat "$said" >&2
timeout 900 apt-get "${options[@]}" install -y --no-install-recommends --no-upgrade "${wanted[@]}" >"$said" 2>&1 || {
    cat "$said" >&2
    echo "${wanted[*]}: not installed, and tests that need it skip" >&2
}
exit 0
