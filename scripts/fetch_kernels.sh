#!/usr/bin/env bash
# Downloads the named kernel packages into the directory $1 from the machine's package sources; keeps what is there.
# A source that cannot be reached, or no longer has the package, is said and is not an error: the tests that need the
# package then skip, saying so.
set -u
mkdir -p "$1" && cd "$1" || exit 3
shift

missing=()
for package in "$@"; do
    compgen -G "${package}_*.deb" >/dev/null || missing+=("$package")
done
[ ${#missing[@]} = 0 ] && exit 0

without() {
    echo "$1: ${missing[*]} not fetched, and tests that need it skip" >&2
    exit 0
}

command -v apt-get >/dev/null || without "no apt-get here"
# Beside the packages, not in them: what an interrupted download leaves is never taken for a package.
scratch=$(mktemp -d) || exit 3
trap 'rm -rf "$scratch"' EXIT
options=(-qq -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30 -o Acquire::Retries=2)
if [ "$(id -u)" != 0 ]; then # the machine's lists are not this user's to write
    mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial"
    options+=(-o "Dir::State::Lists=$scratch/lists" -o "Dir::Cache=$scratch/cache")
fi
timeout 300 apt-get "${options[@]}" update >"$scratch/said" 2>&1 || cat "$scratch/said" >&2
for package in "${missing[@]}"; do
    mkdir "$scratch/$package"
    if (cd "$scratch/$package" && timeout 900 apt-get "${options[@]}" download "$package") >"$scratch/said" 2>&1; then
        mv "$scratch/$package"/*.deb .
    else
        cat "$scratch/said" >&2
        echo "$package cannot be fetched: tests that need it skip" >&2
    fi
done
exit 0
