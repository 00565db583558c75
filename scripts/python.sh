# Sourced, from the repository's root, by the scripts that need Python: finds one that does, and makes virtual
# environments of it (.venv-…, kept for the next time).
# shellcheck shell=sh

# Why a Python does not do; nothing if it does.
wrong_with() {
    if ! command -v "$1" >/dev/null 2>&1; then
        echo "$1 is missing"
    elif ! "$1" -c 'import sys' >/dev/null 2>&1; then
        echo "$1 does not run"
    elif ! "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "$("$1" --version 2>&1) is too old: 3.11 is needed"
    elif ! "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        echo "$1 has no venv: Debian's package is python3-venv"
    fi
}

# Sets `python`; where none does, fails and says in `reasons` why. PYTHON names one to take.
find_python() {
    python=
    reasons=
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        wrong=$(wrong_with "$candidate")
        if [ -z "$wrong" ]; then
            python=$candidate
            return 0
        fi
        # That a newer one is not there either is no news.
        if [ -z "$reasons" ] || command -v "$candidate" >/dev/null 2>&1; then
            reasons="${reasons:+$reasons; }$wrong"
        fi
    done
    return 1
}

# Makes .venv-NAME with what FILE pins, unless it is there already, complete and of this Python.
environment() {
    folder=.venv-$1
    wanted="$("$python" -c 'import sys; print(sys.version)'; cat "$2")"
    if [ "$(cat "$folder/complete" 2>/dev/null)" = "$wanted" ] && "$folder/bin/python" -c '' 2>/dev/null; then
        return
    fi
    echo "installing $1 into $folder"
    rm -rf "$folder"
    "$python" -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$2"
    printf '%s\n' "$wanted" >"$folder/complete"
}
