#!/usr/bin/env bash
# The demonstration behind `./dev demo`: a real script with real requirements from PyPI, in a fresh cell, twice; beside it `docker run` doing the
# same, where a dockerd and an image with Python are at hand.
#
# usage: examples/demo.sh [--fresh]    (after ./dev build)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly tree=$PWD example=$PWD/examples/script home=$PWD/build/demo
readonly runner=$tree/build/bin/py_test_runner
[[ -x $runner ]] || { echo "demo: build/bin/py_test_runner is missing: ./dev build" >&2; exit 1; }
[[ ${1:-} == --fresh ]] && rm -rf "$home"
mkdir -p "$home"
export CASEMATE_CACHE_DIR=$home/cache CASEMATE_STATE_DIR=$home/state

milliseconds() { local t=$EPOCHREALTIME; t=${t/[.,]/}; printf '%s' "${t%???}"; }

script=$(compgen -G "$example/*.py" | head -n 1)
mapfile -t inputs < <(find "$example" -maxdepth 1 -type f ! -name '*.py' ! -name 'requirements.txt' ! -name 'README*' ! -name '*.args' | sort)
arguments=$(cat "$example"/*.args 2>/dev/null || true)
command=("$runner" --script "$script" --reqs "$example/requirements.txt")
((${#inputs[@]} == 0)) || command+=(--inputs "${inputs[@]}")
[[ -z $arguments ]] || command+=(--script-args "$arguments")

declare -A took=()
# timed NAME COMMAND...: remembers the wall time, in ms.
timed() {
  local name=$1 start
  shift
  start=$(milliseconds)
  "$@"
  took[$name]=$(($(milliseconds) - start))
}

cd "$home"
echo "The script:        ${script#"$tree"/}"
echo "Its requirements:  $(grep -vE '^\s*(#|$)' "$example/requirements.txt" | paste -sd' ')"
[[ ! -d $CASEMATE_CACHE_DIR/layers || -z $(ls -A "$CASEMATE_CACHE_DIR/layers") ]] || echo "(the environment is there from an earlier demo; ./dev demo --fresh builds it again)"
echo
echo "1. In a fresh cell, as a person would run it"
printed=$(printf ' %q' "${command[@]//"$tree"\//}")
echo "\$$printed"
timed first "${command[@]}"
echo
echo "2. The same again, as a program would run it: the environment is cached, the cell is new"
echo "\$$printed --json-output"
timed second "${command[@]}" --json-output >second.json
/usr/bin/python3 - second.json <<'PYTHON'
import json
import sys

result = json.load(open(sys.argv[1], encoding="utf-8"))
details = result["details"]
print(f"   {result['status']}: {result['message']}")
for file in details.get("captured", []):
    if file.get("type") == "directory":
        continue
    print(f"   {file.get('size', 0):>9} bytes  {file.get('digest', '')[:19]}...  {file.get('path')}")
for name, value in details.get("resources", {}).items():
    if value is not None:
        print(f"   {name}: {value}")
PYTHON
echo "   in $home/results:"
find results -type f -printf '   %9s bytes  %P\n' | sort -k3
echo

# The same by hand with docker: the image has to be here already, since this demonstration pulls nothing from a registry.
docker_image() {
  command -v docker >/dev/null || { echo "no docker program"; return 1; }
  timeout 5 docker version --format '{{.Server.Version}}' >/dev/null 2>&1 || { echo "no dockerd answers"; return 1; }
  local image
  image=$(docker image ls --format '{{.Repository}}:{{.Tag}}' | grep -E '(^|/)python:3' | head -n 1)
  [[ -n $image ]] || { echo "dockerd has no python:3.x image"; return 1; }
  echo "$image"
}
run_docker() {
  local work=$home/docker
  rm -rf "$work" && mkdir -p "$work"
  cp "$script" "$example/requirements.txt" "$work/"
  ((${#inputs[@]} == 0)) || cp "${inputs[@]}" "$work/"
  # shellcheck disable=SC2016  # expanded by the container's shell
  local inside='python3 -m venv /tmp/env && /tmp/env/bin/pip install -q -r requirements.txt && script=$1 && eval "set -- $2" && exec /tmp/env/bin/python "$script" "$@"'
  docker run --rm --network host -v "$work:/app" -w /app "$1" sh -c "$inside" sh "$(basename "$script")" "$arguments" >docker.log 2>&1
}
echo "3. docker run doing the same"
if image=$(docker_image); then
  if timed docker run_docker "$image"; then echo "   done with $image"; else echo "   failed, see $home/docker.log"; fi
else
  echo "   skipped: $image"
fi
echo
echo "Wall time of each step:"
for name in first second docker; do
  [[ -z ${took[$name]:-} ]] || printf '   %-8s %7d ms\n' "$name" "${took[$name]}"
done
