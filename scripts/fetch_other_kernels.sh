#!/usr/bin/env bash
# Downloads kernels of other Debian releases and architectures into the directory $1, through this machine's own package
# sources with the release's name replaced: `fetch_other_kernels.sh DIR SUITE ARCHITECTURE PATTERN...`. Of what a pattern
# (of grep -E, for a whole name) matches, the newest is taken. Keeps what is there. A source that cannot be reached is
# said and is no error: the tests that need the package then skip.
set -u
mkdir -p "$1" && cd "$1" || exit 3
suite=$2 architecture=$3
shift 3

say() {
    echo "kernels of $suite for $architecture: $*; tests that need them skip" >&2
    exit 0
}

command -v apt-get >/dev/null || say "no apt-get here"
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
[ -n "$codename" ] || say "this machine does not say its release"
scratch=$(mktemp -d) || exit 3
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial" "$scratch/parts"

# sid has neither updates nor security: a source that is left without a suite is dropped.
number=0
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
    [ -f "$file" ] && grep -q "$codename" "$file" || continue
    number=$((number + 1))
    if [ "$suite" = sid ]; then
        sed -E "/^deb.* $codename-(updates|security|backports)/d; s/\b$codename-(updates|security|backports)\b//g; s/\b$codename\b/sid/g" "$file"
    else
        sed -E "/\b$codename-backports\b/d; s/\b$codename\b/$suite/g" "$file"
    fi | awk -v RS= -v ORS='\n\n' '!/Suites:[ \t]*(\n|$)/' >"$scratch/parts/$number.${file##*.}"
done

options=(-qq -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$scratch/parts"
    -o "Dir::State::Lists=$scratch/lists" -o "Dir::Cache=$scratch/cache" -o "APT::Architecture=$architecture"
    -o "APT::Architectures=$architecture" -o APT::Sandbox::User=root
    -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30 -o Acquire::Retries=2)
timeout 300 apt-get "${options[@]}" update >"$scratch/said" 2>&1 || cat "$scratch/said" >&2
for pattern in "$@"; do
    package=$(apt-cache "${options[@]}" pkgnames | grep -Ex "$pattern" | sort -V | tail -1)
    if [ -z "$package" ]; then
        echo "$suite has no $pattern for $architecture: tests that need it skip" >&2
        continue
    fi
    compgen -G "${package}_*.deb" >/dev/null && continue
    mkdir "$scratch/new"
    if (cd "$scratch/new" && timeout 900 apt-get "${options[@]}" download "$package") >"$scratch/said" 2>&1; then
        mv "$scratch/new"/*.deb .
    else
        cat "$scratch/said" >&2
        echo "$package cannot be fetched: tests that need it skip" >&2
    fi
    rm -rf "$scratch/new"
done
exit 0
