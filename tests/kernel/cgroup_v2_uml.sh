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
  sed -n '/^##/,/^DONE/p' "$state/log" | grep -avE '^(\[ RUN|\[ +OK|\[---|\[===|Running|Note:|Memory cgroup|$)' || true
  grep -aq '^DONE' "$state/log" && ! grep -aqE '^(\[  FAILED|LEFT)' "$state/log"
  exit
fi

tests=$2
export GTEST_COLOR=no GTEST_BRIEF=0 PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /tmp
cd /tmp
cg=/sys/fs/cgroup
suite() { "$tests" --gtest_filter='Cgroups*' 2>&1 || echo "[  FAILED  ] exit $?"; }
left() { find $cg -name 'casemate-*' -type d ! -name 'casemate-*-*-0' | sed 's/^/LEFT /'; }
# A cgroup as systemd delegates it to a user: the directory and three files are theirs.
delegate() {
  mkdir -p "$1"
  chown 65534:65534 "$1" "$1/cgroup.procs" "$1/cgroup.threads" "$1/cgroup.subtree_control"
}
as_user='exec setpriv --reuid 65534 --regid 65534 --clear-groups'

for options in nsdelegate none; do
  if [ $options = nsdelegate ]; then mount -t cgroup2 -o nsdelegate cgroup2 $cg; else mount -t cgroup2 cgroup2 $cg; fi
  echo "## $options: root, in the root cgroup"
  suite
  left
  echo "## $options: root, in a cgroup that others are in: cells go to an ancestor"
  mkdir -p $cg/sys/svc
  (echo 0 >$cg/sys/svc/cgroup.procs; suite)
  left
  rmdir $cg/sys/svc $cg/sys
  echo "## $options: user, alone in a delegated cgroup: moves into a leaf"
  echo "+memory +pids +cpu +io" >$cg/cgroup.subtree_control
  mkdir $cg/user
  echo "+memory +pids +cpu +io" >$cg/user/cgroup.subtree_control
  delegate $cg/user/scope
  sh -c "echo 0 >$cg/user/scope/cgroup.procs; $as_user $tests --gtest_filter='Cgroups*' 2>&1" || echo "[  FAILED  ] exit $?"
  left
  ls $cg/user/scope | grep -q '^casemate-.*-0$' || echo "[  FAILED  ] no leaf was made"
  find $cg/user -depth -mindepth 1 -type d -exec rmdir {} \;
  echo "## $options: user, in a cgroup that is not delegated: none, with the reason"
  mkdir $cg/user/session
  sh -c "echo 0 >$cg/user/session/cgroup.procs; $as_user $tests --gtest_filter='Cgroups*' 2>&1" || echo "[  FAILED  ] exit $?"
  rmdir $cg/user/session $cg/user
  umount $cg
done
echo DONE
halt -f
