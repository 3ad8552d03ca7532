#!/usr/bin/env bash
# Makes the virtual environment $1 and installs hostproof and its tools into it.
# A fresh Debian lacks what makes environments: its package is installed first where that is possible (root, apt-get).
set -eu
cd "$(dirname "$0")/.."
venv=$1
python=${PYTHON:-python3}

stop() {
    printf '%s\n' "$@" >&2
    exit 3
}

runs() {
    "$python" -c "$1" 2>/dev/null
}

# Installs Debian packages; says what apt-get said only where that fails.
install_packages() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    local said
    said=$(
        exec 2>&1
        apt-get update -qq -o DPkg::Lock::Timeout=300 # a source that fails may be one that is not needed
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
    ) || {
        printf '%s\n' "$said" >&2
        return 1
    }
}

if [ "$python" = python3 ] && ! command -v python3 >/dev/null; then
    install_packages python3 python3-venv || true
fi
command -v "$python" >/dev/null ||
    stop "hostproof needs Python 3.11 or newer, and there is no $python: install it, or name one: make PYTHON=python3.12 ..."
runs 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    stop "hostproof needs Python 3.11 or newer; $python is $("$python" --version 2>&1)." \
        "Name another one: make PYTHON=python3.12 ..."

if "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    pip=("$venv/bin/python" -m pip)
else
    package=$("$python" -c 'import sys; print("python{}.{}-venv".format(*sys.version_info))')
    if runs 'import ensurepip, venv' || { install_packages "$package" && runs 'import ensurepip, venv'; }; then
        "$python" -m venv --clear "$venv"
        pip=("$venv/bin/python" -m pip)
    elif runs 'import pip, venv; assert tuple(map(int, pip.__version__.split(".")[:2])) >= (22, 3)'; then
        "$python" -m venv --clear --without-pip "$venv"
        pip=("$python" -m pip --python "$venv/bin/python")
    else
        stop "$python cannot make virtual environments. As root: apt-get install $package" \
            "(elsewhere: install what gives $python the modules venv and ensurepip), then run make again."
    fi
fi

"${pip[@]}" install --quiet --disable-pip-version-check --requirement requirements.txt
"${pip[@]}" install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
