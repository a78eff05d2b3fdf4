#!/bin/sh
# Sets everything up and runs the tests; arguments are those of pytest.
extras="[documents,test]"
. "$(dirname "$0")/setup.sh"
exec "$python" -m pytest "$@"
