#!/bin/sh
# Sets everything up and runs the demo; arguments are those of `memvid demo`.
extras=
. "$(dirname "$0")/setup.sh"
exec "$python" -m memvid demo "$@"
