#!/bin/sh
# tests.sh PYTHON TARGET...: what runs inside of the other kernel. As on this one, what failed gets a second run by
# itself: a busy machine is late, a defect stays.
set -u
python=$1
shift
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 # saves a second; those that are needed are named
run() {
  "$python" -m pytest -q -p pytest_timeout -o cache_dir="$TMPDIR/pytest" -m "lab and not nf_tables" "$@"
}
echo "on Linux $(uname -r):"
run "$@" && exit
echo "once more, what failed, by itself"
run --lf --lfnf=none "$@"
