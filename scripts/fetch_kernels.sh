#!/usr/bin/env bash
# Downloads the named kernel packages into the directory $1 from the machine's package sources; keeps what is there.
# A source that cannot be reached, or no longer has the package, is said and is not an error: the tests that need the
# package then skip, saying so.
set -u
into=$1
shift
mkdir -p "$into"
cd "$into" || exit 3
updated=
for package in "$@"; do
    compgen -G "${package}_*.deb" >/dev/null && continue
    if ! command -v apt-get >/dev/null; then
        echo "no apt-get here: $package is not fetched, and tests that need it skip" >&2
        continue
    fi
    if [ -z "$updated" ]; then
        [ "$(id -u)" = 0 ] && apt-get update -qq
        updated=yes
    fi
    apt-get download -qq "$package" 2>/dev/null || echo "$package cannot be fetched: tests that need it skip" >&2
done
exit 0
