#!/usr/bin/env bash
# A Slurm cluster of several nodes on this machine, to try things and for the tests. Needs the packages slurmctld, slurmd, slurm-client and munge, and root.
#
#   scripts/cluster.sh start DIR [NODES]     starts it; DIR keeps all its files
#   export SLURM_CONF=DIR/slurm.conf         now sbatch, squeue and naslab find it
#   scripts/cluster.sh controller DIR stop|start
#   scripts/cluster.sh node DIR n2 stop|start    stop ends the node's programs with all that runs on it, as a power cut would
#   scripts/cluster.sh stop DIR
set -euo pipefail

fail() { echo "cluster: $*" >&2; exit 1; }

# Ends what a pid file names.
end() {
  local pid
  pid=$(cat "$1" 2> /dev/null) || return 0
  kill -9 "$pid" 2> /dev/null || true
  rm -f "$1"
}

# Asks what a pid file names to end, so that it saves its state, and ends it if it is there after 30 seconds.
# A process that has ended and that nobody has waited for has no program.
end_gently() {
  local pid
  pid=$(cat "$1" 2> /dev/null) || return 0
  kill "$pid" 2> /dev/null || true
  for _ in $(seq 300); do
    readlink "/proc/$pid/exe" > /dev/null 2>&1 || break
    sleep 0.1
  done
  kill -9 "$pid" 2> /dev/null || true
  rm -f "$1"
}

# A port that is free now, and the NODES after it.
free_port() {
  python3 - "$1" << 'PY'
import socket, sys, random
for _ in range(200):
    first = random.randrange(20000, 32000)
    try:
        taken = [socket.socket() for _ in range(int(sys.argv[1]) + 1)]
        for i, s in enumerate(taken):
            s.bind(("127.0.0.1", first + i))
        print(first)
        break
    except OSError:
        continue
PY
}

write_conf() {
  local host port
  host=$(hostname -s)
  port=$(free_port "$2")
  cat > "$1/slurm.conf" << CONF
ClusterName=naslab
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$1/munge.socket
CryptoType=crypto/munge
StateSaveLocation=$1/state
SlurmdSpoolDir=$1/spool.%n
SlurmdPidFile=$1/slurmd.%n.pid
SlurmctldPidFile=$1/slurmctld.pid
SlurmctldLogFile=$1/slurmctld.log
SlurmdLogFile=$1/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=10
SlurmctldTimeout=5
KillWait=5
MinJobAge=300
MessageTimeout=5
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0
NodeName=n[1-$2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + $2))] CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
}

start_munge() {
  dd if=/dev/urandom of="$1/munge.key" bs=1 count=1024 2> /dev/null
  chmod 600 "$1/munge.key"
  munged --force --key-file="$1/munge.key" --socket="$1/munge.socket" --pid-file="$1/munged.pid" --log-file="$1/munged.log" --seed-file="$1/munge.seed"
}

node_up() {
  mkdir -p "$1/spool.$2"
  slurmd -N "$2" -f "$1/slurm.conf"
}

# The step outlives slurmd, so both go, and with them what the step runs.
node_down() {
  end "$1/slurmd.$2.pid"
  local step
  for step in $(pgrep -f "slurmstepd: .*" || true); do
    if tr '\0' '\n' < "/proc/$step/environ" 2> /dev/null | grep -q "^SLURM_CONF=$1/slurm.conf" && ls -l "/proc/$step/fd" 2> /dev/null | grep -q "$1/spool.$2\|slurmd.$2.log"; then
      local child
      for child in $(pgrep -P "$step" || true); do kill -9 "$child" 2> /dev/null || true; done
      kill -9 "$step" 2> /dev/null || true
    fi
  done
}

nodes_of() { sed -n 's/^NodeName=n\[1-\([0-9]*\)\].*/\1/p' "$1/slurm.conf"; }

[ $# -ge 2 ] || fail "usage: $0 start|stop|controller|node DIR ..."
directory=$(realpath -m "$2")
export SLURM_CONF=$directory/slurm.conf
case $1 in
  start)
    for tool in slurmctld slurmd sbatch munged; do command -v "$tool" > /dev/null || fail "'$tool' is missing; install slurmctld, slurmd, slurm-client and munge"; done
    mkdir -p "$directory/state"
    chmod 755 "$directory"
    write_conf "$directory" "${3:-3}"
    start_munge "$directory"
    slurmctld -f "$SLURM_CONF" -c
    for n in $(seq "${3:-3}"); do node_up "$directory" "n$n"; done
    for _ in $(seq 60); do
      [ "$(sinfo -h -t idle -o %D 2> /dev/null)" = "${3:-3}" ] && exit 0
      sleep 0.5
    done
    fail "the nodes are not idle after 30 s; see the logs in $directory"
    ;;
  stop)
    end "$directory/slurmctld.pid"
    for n in $(seq "$(nodes_of "$directory")"); do node_down "$directory" "n$n"; done
    end "$directory/munged.pid"
    ;;
  controller)
    if [ "$3" = stop ]; then end_gently "$directory/slurmctld.pid"; else slurmctld -f "$SLURM_CONF"; fi
    ;;
  node)
    if [ "$4" = stop ]; then node_down "$directory" "$3"; else node_up "$directory" "$3"; fi
    ;;
  *) fail "no such command: $1" ;;
esac
