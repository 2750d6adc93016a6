# Sourced by up, down and node: where a sandbox lies, and how its machines are started and stopped.
# shellcheck shell=bash
#
# A machine is a PID namespace with a network, a host name, a /proc and a /dev/shm of its own: to kill its first
# process is to pull its plug. The machines are `head` (slurmctld) and n1, n2, ... (slurmd). They share this
# machine's files, as the nodes of a cluster share a file system.
set -euo pipefail

stop() {
  echo "slurm/sandbox/${0##*/}: $*" >&2
  exit 2
}

dir=$(realpath -m -- "${SLURM_SANDBOX_DIR:-/tmp/mixspan-slurm}")
[[ $dir == /*/* && $dir != *[[:space:]#]* ]] ||
  stop "SLURM_SANDBOX_DIR=$dir: wanted a folder two levels down or more, without blanks and '#'"

# Two sandboxes in two folders have other networks, unless these numbers happen to be equal.
number=$(($(cksum <<<"$dir" | cut -d' ' -f1) % 250))
net=10.98.$number
link=mxs$number # names of links and namespaces begin with it

# The host part of a machine's address.
address() {
  if [[ $1 == head ]]; then echo 250; else echo "${1#n}"; fi
}

# What the first process of a machine does: a daemon that dies leaves what it started alive, as it would elsewhere.
# shellcheck disable=SC2016
machine_main='
  dir=$1 name=$2
  mount --bind "$dir/hosts" /etc/hosts
  mount -t tmpfs tmpfs /dev/shm
  hostname "$name"
  if [[ $name == head ]]; then slurmctld -D -f "$dir/slurm.conf" & else slurmd -D -f "$dir/slurm.conf" -N "$name" & fi
  while :; do
    wait -n
    sleep 1
  done'

# background NAME COMMAND...: starts it, apart from this terminal, and notes its number in pids/NAME.
background() {
  local name=$1
  shift
  setsid "$@" >>"$dir/log/$name.log" 2>&1 </dev/null &
  echo $! >"$dir/pids/$name"
}

# machine_on NAME
machine_on() {
  background "$1" nsenter --net="/run/netns/$link-$1" \
    unshare --mount --uts --pid --fork --kill-child --mount-proc --propagation slave \
    bash -c "$machine_main" machine "$dir" "$1"
}

# Prints the process noted under NAME while it lives and is ours: a number may have been given to another one since.
process_of() {
  local pid
  pid=$(cat "$dir/pids/$1" 2>/dev/null) || return 1
  [[ -n $pid ]] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "$dir" && echo "$pid"
}

# off NAME: ends that machine, or munged, at once, and waits until it is gone.
off() {
  local pid
  if pid=$(process_of "$1"); then
    kill -KILL "$pid"
    while process_of "$1" >/dev/null; do sleep 0.02; done
  fi
  rm -f "$dir/pids/$1"
}

# The machines whose network exists.
machines() {
  ip netns list 2>/dev/null | awk -v own="$link-" 'index($1, own) == 1 { print substr($1, length(own) + 1) }'
}
