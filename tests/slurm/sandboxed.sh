# What the tests on the Slurm sandbox share. Sourced by bash, with $mixspan set.
# shellcheck shell=bash
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
failures=0

# begin: the working directory becomes $work, laid out as the scripts of slurm/ want it. The sandbox and the small disk
# runs/full are those of the test that MIXSPAN_TEST_CLUSTER names, or its own.
begin() {
  trap end EXIT
  trap 'exit 1' INT TERM
  cd "$work" && ln -s "$root/slurm" slurm && ln -s "$mixspan" mixspan && mkdir -p configs runs || exit 1
  if [[ -z ${MIXSPAN_TEST_CLUSTER:-} ]]; then start_cluster; fi
  ln -s "${MIXSPAN_TEST_CLUSTER:-$work}/small-disk" runs/full
  # More ranks than processors: they must not spin while they wait for each other.
  export OMPI_MCA_mpi_yield_when_idle=1
}

# Exit 77 (skipped), with the reason, where none can be made.
start_cluster() {
  local answer status=0
  # Here and not later: nodes see what was mounted before they boot.
  mkdir small-disk
  if [[ $(id -u) == 0 ]] && ! mount -t tmpfs -o size=64m tmpfs small-disk; then
    echo "skipped: no file system can be mounted here"
    exit 77
  fi
  export SLURM_SANDBOX_DIR=$work/slurm-sandbox SLURM_SANDBOX_NODES=14
  answer=$(slurm/sandbox/up 2>&1) || status=$?
  if [[ $status != 0 ]]; then
    echo "${answer}"
    [[ $status != 2 ]] || exit 77
    exit 1
  fi
  eval "$answer"
}

end() {
  if [[ -z ${MIXSPAN_TEST_CLUSTER:-} || $MIXSPAN_TEST_CLUSTER == "$work" ]]; then
    slurm/sandbox/down
    cd / && umount "$work/small-disk" 2>/dev/null
  fi
  if [[ $failures -gt 0 && -n ${MIXSPAN_TEST_KEEP:-} ]]; then
    echo "kept: $work"
  else
    rm -rf "$work"
  fi
}

ok() { printf 'ok    %s (%d s)\n' "$1" $SECONDS; }
bad() {
  printf 'FAIL  %s (%d s)\n' "$1" $SECONDS
  failures=$((failures + 1))
}
# expect WHAT COMMAND...
expect() {
  local what=$1
  shift
  if "$@"; then ok "$what"; else bad "$what"; fi
}

# within SECONDS COMMAND...: until it succeeds; fails when it has not by then.
within() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < end)) || return 1
    sleep 0.1
  done
}

# base_config: on two ranks, on any machine some seconds of work.
base_config() {
  cat <<'TOML'
[model]
layers = 4
width = 32
heads = 4
context = 128
spans = ["full", "sliding:16", "sliding:75", "block-prev:16"]
[data]
train = "synthetic:recall"
[train]
steps = 60
batch_tokens = 256
[log]
every_steps = 1
tensorboard = false
[checkpoint]
every_steps = 10
[eval]
every_steps = 20
rows = 8
[parallel]
cp = 2
TOML
}

# A job of Slurm's: its state, and a field of what Slurm knows about it.
field() { scontrol show job "$1" 2>/dev/null | grep -oE "(^| )$2=[^ ]*" | head -1 | cut -d= -f2; }
in_state() { [[ $(field "$1" JobState) =~ ^($2)$ ]]; }
restarted() { [[ $(field "$1" Restarts) -ge ${2:-1} ]]; }

# A run, by its folder.
steps() { grep -cs '"kind":"train"' "$1/metrics.jsonl"; }
past() { [[ $(steps "$1") -ge $2 ]]; }
finished() { [[ -e $1/result.json ]]; }
says() { grep -qs -- "$2" "$1/status.json"; }

# The ranks of a run, on whatever node.
ranks_of() {
  local pid
  for pid in $(pgrep -f "train .*$1( |\$)"); do
    [[ /proc/$pid/exe -ef $mixspan ]] && echo "$pid"
  done
}
# told_to_save RUN: USR1 waits for its held ranks.
told_to_save() {
  local pid pending
  for pid in $(ranks_of "$1"); do
    pending=$(awk '$1 == "ShdPnd:" { print $2 }' "/proc/$pid/status" 2>/dev/null)
    (((16#${pending:-0}) & 1 << 9)) && return
  done
  return 1
}
no_process() { ! kill -0 "$@" 2>/dev/null; }
no_rank_of() { [[ -z $(ranks_of "$1") ]]; }
# hold RUN [SECONDS]: waits until it has a checkpoint and some steps more, and freezes its ranks there, so that what
# comes next always finds it on its way. Fails when it was too fast, or did not come so far in SECONDS (120).
hold() {
  within "${2:-120}" past "$1" 12 || return
  ranks_of "$1" | xargs -r kill -STOP || true # one that was listed may be gone: a shell on its way to another program
  ! finished "$1"
}
let_go() { ranks_of "$1" | xargs -r kill -CONT; }

# What a run wrote, without what depends on the machine and the moment (experiments/run/metrics.h names it).
metrics_of() {
  local keys
  keys=$(grep -A2 kTimingKeys "$root/experiments/run/metrics.h" | grep -oE '"[a-z_]+"' | tr -d '"' | paste -sd'|')
  sed -E "s/\"($keys)\":[^,}]*,?//g" "$1/metrics.jsonl"
}
# same_run A B: finished both, and equal in all that training computes, bit for bit.
same_run() {
  finished "$1" && finished "$2" && [[ $(steps "$1") == 60 ]] && cmp <(metrics_of "$1") <(metrics_of "$2")
}
