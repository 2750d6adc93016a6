# Sourced by the scripts: runs a script as named, timed stages.
# shellcheck shell=bash
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
stage_names=()
stage_seconds=()
stage_states=()
script_start=$SECONDS

# How many compilers and tests run at a time.
jobs() {
  nproc
}

# stage NAME COMMAND...: runs the command under a heading and notes how long it took. Returns its status. A function
# given here joins its steps with &&: bash ignores errexit in whatever runs under a test of its status.
stage() {
  local name=$1 start=$SECONDS status=0
  shift
  printf '\n== %s\n' "$name"
  ("$@") || status=$?
  stage_names+=("$name")
  stage_seconds+=($((SECONDS - start)))
  if [[ $status -eq 0 ]]; then stage_states+=(ok); else stage_states+=("failed ($status)"); fi
  return "$status"
}

# One line a stage: what, how long, how it ended; then the sum.
print_stages() {
  local i
  printf '\n%-40s %8s\n' stage seconds
  for i in "${!stage_names[@]}"; do
    printf '%-40s %8d  %s\n' "${stage_names[i]}" "${stage_seconds[i]}" "${stage_states[i]}"
  done
  printf '%-40s %8d\n' total $((SECONDS - script_start))
}

# configure PRESET: a build folder that was configured for another place is configured anew.
configure() {
  local build="$root/build/$1" home=
  if [[ -f $build/CMakeCache.txt ]]; then
    home=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$build/CMakeCache.txt")
  fi
  if [[ -n $home && $home != "$root" ]]; then
    rm -rf "$build"
  fi
  cd "$root" && cmake --preset "$1"
}

# build PRESET [TARGET]
build() {
  cd "$root" && cmake --build --preset "$1" -j "$(jobs)" ${2:+--target "$2"}
}

# The program alone, optimised; ./mixspan is then a link to it.
build_program() {
  build cpu-release mixspan && link_program
}

link_program() {
  [[ ! -x $root/build/cpu-release/experiments/mixspan ]] ||
    ln -sfn build/cpu-release/experiments/mixspan "$root/mixspan"
}
