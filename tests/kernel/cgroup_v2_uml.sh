#!/bin/sh
# Runs the cgroup tests against real cgroup v2 on a host that has only v1: in a user-mode Linux (Debian package user-mode-linux, a kernel as an
# ordinary program) that sees the host's files read-only. Boots in 2 s. usage: cgroup_v2_uml.sh PATH/kernel_tests
# Exit 77 (skipped) where there is no user-mode Linux.
set -eu
if [ "${1:-}" != inside ]; then
  tests=$(readlink -f "$1")
  command -v linux.uml >/dev/null || { echo "skipped: no linux.uml (apt install user-mode-linux)"; exit 77; }
  state=$(mktemp -d)
  trap 'rm -rf "$state"' EXIT
  # The instance's own files (TMPDIR: its memory; uml_dir: its control socket) go to the state directory.
  printf '#!/bin/sh\nexec %s inside %s\n' "$(readlink -f "$0")" "$tests" >"$state/init"
  chmod +x "$state/init"
  TMPDIR=$state timeout 300 linux.uml mem=400M uml_dir="$state" rootfstype=hostfs rootflags=/ ro quiet init="$state/init" con=null con0=null,fd:1 \
    </dev/null 2>&1 | tr -d '\r' >"$state/log" || true
  grep -aq '^##' "$state/log" || { echo "skipped: linux.uml does not start here"; exit 77; }
  # Debian's linux.uml loses a process's registers now and then on a busy host, which is no word about cgroups.
  if ! grep -aq '^DONE' "$state/log" && grep -aq 'fatal_sigsegv' "$state/log"; then echo "skipped: linux.uml itself crashed"; exit 77; fi
  sed -n '/^##/,/^DONE/p' "$state/log" | grep -avE '^(\[ RUN|\[ +OK|\[---|\[===|Running|Note:|Memory cgroup|$)' || true
  grep -aq '^DONE' "$state/log" && ! grep -aqE '^(\[  FAILED|LEFT)' "$state/log"
  exit
fi

tests=$2
export GTEST_COLOR=no PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /tmp
cd /tmp
cg=/sys/fs/cgroup
# What is about placement and limits; descriptors and time do not depend on it.
filter='Cgroups*:-*NoDescriptors'

suite() { "$tests" --gtest_filter="$filter" 2>&1 || echo "[  FAILED  ] exit $?"; }
# The same as a user in the cgroup $1, alone in it.
suite_as_user() {
  sh -c "echo 0 >$1/cgroup.procs; exec setpriv --reuid 65534 --regid 65534 --clear-groups $tests --gtest_filter='$filter' 2>&1" ||
    echo "[  FAILED  ] exit $?"
}
left() { find $cg -name 'casemate-*' -type d ! -name 'casemate-*-*-0' | sed 's/^/LEFT /'; }

as_root() {
  echo "## $1: root, in the root cgroup"
  suite
  left
  echo "## $1: root, in a cgroup that others are in: cells go to an ancestor"
  mkdir -p $cg/sys/svc
  (echo 0 >$cg/sys/svc/cgroup.procs; suite)
  left
  rmdir $cg/sys/svc $cg/sys
}

as_user() {
  mkdir $cg/user
  echo "+memory +pids +cpu +io" >$cg/cgroup.subtree_control
  echo "+memory +pids +cpu +io" >$cg/user/cgroup.subtree_control
  echo "## $1: user, alone in a delegated cgroup: moves into a leaf"
  # As systemd delegates: the directory and three files are the user's.
  mkdir $cg/user/scope
  for file in . cgroup.procs cgroup.threads cgroup.subtree_control; do chown 65534:65534 $cg/user/scope/$file; done
  suite_as_user $cg/user/scope
  left
  # There is one leaf, empty by now; without it this fails.
  rmdir $cg/user/scope/casemate-*-0 || echo "[  FAILED  ] no leaf was made"
  rmdir $cg/user/scope
  echo "## $1: user, in a cgroup that is not delegated: none, with the reason"
  mkdir $cg/user/session
  suite_as_user $cg/user/session
  rmdir $cg/user/session $cg/user
}

mount -t cgroup2 -o nsdelegate cgroup2 $cg
as_root nsdelegate
as_user nsdelegate
umount $cg
mount -t cgroup2 cgroup2 $cg
as_user "no nsdelegate"
echo DONE
halt -f
