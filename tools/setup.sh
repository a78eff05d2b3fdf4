# Makes a virtual environment, installs memvid with the extras named in $extras, sets $python. The other scripts source it.
set -eu
cd "$(dirname "$0")/.."
venv=${MEMVID_VENV:-.venv}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
python=$venv/bin/python
echo "Installing memvid into $venv: the native core is compiled, which takes a minute or two." >&2
"$python" -m pip install --quiet --disable-pip-version-check ".$extras"
