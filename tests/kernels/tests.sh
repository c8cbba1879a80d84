#!/bin/sh
# tests.sh PYTHON TARGET...: what runs inside of the other kernel.
set -u
python=$1
shift
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 # saves a second; those that are needed are named
echo "on Linux $(uname -r):"
exec "$python" -m pytest -q -p pytest_timeout -p no:cacheprovider -m "lab and not nf_tables" "$@"
