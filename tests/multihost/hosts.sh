# Hosts for tests: network namespaces joined by a bridge, each with its own host name and /dev/shm.
# Sourced by bash. Needs root and iproute2.

hosts_possible() {
  [[ $(id -u) == 0 ]] && command -v ip >/dev/null && command -v unshare >/dev/null &&
    ip netns add mixspan-try 2>/dev/null || return
  local status=0
  # Which also wants / to be a mount point: it is none in a bare chroot.
  ip netns exec mixspan-try true 2>/dev/null || status=1
  ip netns del mixspan-try
  return $status
}

# Starts hosts h1 .. h$1 with addresses 10.97.0.1 .. and writes their launcher's agent to $2/agent.
hosts_up() {
  hosts_down
  ip link add ms-br type bridge && ip link set ms-br up
  local i
  for ((i = 1; i <= $1; i++)); do
    ip netns add "ms-h$i"
    ip link add "ms-v$i" type veth peer name eth0 netns "ms-h$i"
    ip link set "ms-v$i" master ms-br up
    ip -n "ms-h$i" addr add "10.97.0.$i/24" dev eth0
    ip -n "ms-h$i" link set eth0 up
    ip -n "ms-h$i" link set lo up
  done
  # What ssh is elsewhere: agent ADDRESS COMMAND... runs the command on that host.
  cat >"$2/agent" <<'AGENT'
#!/bin/bash
host=${1##*.}
shift
exec ip netns exec "ms-h$host" unshare --mount --uts --propagation private \
  bash -c "mount -t tmpfs tmpfs /dev/shm; hostname h$host; $*"
AGENT
  chmod +x "$2/agent"
}

hosts_down() {
  local ns link
  for ns in $(ip netns list 2>/dev/null | awk '$1 ~ /^ms-h[0-9]+$/ {print $1}'); do
    ip netns pids "$ns" | xargs -r kill -KILL 2>/dev/null
    ip netns del "$ns"
  done
  for link in $(ip -o link show 2>/dev/null | grep -oE ' ms-(v[0-9]+|br)' | sort -u); do
    ip link del "$link" 2>/dev/null
  done
  return 0
}

# on_hosts FOLDER N COMMAND...: one rank on each of the first N hosts, over TCP between them.
on_hosts() {
  local folder=$1 n=$2 list="" i
  shift 2
  for ((i = 1; i <= n; i++)); do list+="${list:+,}10.97.0.$i:1"; done
  OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
    "$folder/agent" h.1 mpirun --host "$list" --mca plm rsh --mca plm_rsh_agent "$folder/agent" \
    --mca btl tcp,self --mca btl_tcp_if_include 10.97.0.0/24 --mca oob_tcp_if_include 10.97.0.0/24 \
    --bind-to none "$@"
}
