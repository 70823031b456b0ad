#!/bin/sh
# Runs a program on a copy of this machine that nobody else sees, and prints what it changed, as a tar archive.
#
# usage: sandbox.sh SCRATCH PROGRAM CRI_SOCKET COMMANDS   (as root, in new mount, network, UTS and PID namespaces)
#
# SCRATCH is an empty directory to mount on. Standard input is a tar archive of files to begin with. COMMANDS is a
# shell script for which PROGRAM is /program. All of it is in memory and goes with the last process.
set -eu
scratch=$1 program=$2 socket=$3 commands=$4
umask 022

mount --make-rprivate /
mount -t tmpfs -o mode=0755 parity "$scratch"
mkdir "$scratch/base" "$scratch/upper" "$scratch/work" "$scratch/root"

# What belongs to the machine: a runtime, a service manager that does as it is told, and nothing in the kubelet's name.
base=$scratch/base root=$scratch/root
mkdir -p "$base/run/containerd" "$base/usr/bin" "$base/proc" "$base/dev" "$base/tmp" "$base/etc"
chmod 1777 "$base/tmp"
: >"$base/program"
# Nobody to ask for names, told at once: kubeadm looks for the newest version when it is given none.
: >"$base/etc/resolv.conf"
: >"$base/run/containerd/containerd.sock"
cat >"$base/usr/bin/systemctl" <<'END'
#!/bin/sh
case $* in
"show systemd-resolved "*|"show systemd-resolved.service "*) active=${RESOLVED:-inactive} ;;
"is-active "*systemd-resolved*|"status systemd-resolved"*) active=${RESOLVED:-inactive} ;;
*) active=inactive ;;
esac
case $1 in
show) printf 'LoadState=loaded\nActiveState=%s\nUnitFileState=enabled\nNRestarts=0\n' "$active" ;;
is-active) echo "$active" ;;
is-enabled) echo enabled ;;
status) printf 'Loaded: loaded\nActive: %s\n' "$active" ;;
esac
END
chmod 755 "$base/usr/bin/systemctl"

mount -t overlay -o "lowerdir=$base:/,upperdir=$scratch/upper,workdir=$scratch/work" parity "$root"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount --bind "$program" "$root/program"
mount --bind "$socket" "$root/run/containerd/containerd.sock"
for path in etc/kubernetes var/lib/kubelet var/lib/etcd var/lib/rkadm run/systemd/resolve; do
    [ ! -e "$root/$path" ] || rm -rf "${root:?}/$path"
done

echo the-machine >/proc/sys/kernel/hostname
ip -batch - <<'END'
link set lo up
link add eth0 type veth peer name far
link set far up
link set eth0 up
address add 192.0.2.10/24 dev eth0
address add 2001:db8::10/64 dev eth0 nodad
route add default via 192.0.2.1 dev eth0
route add default via 2001:db8::1 dev eth0
END

tar --extract --numeric-owner --directory "$root"
chroot "$root" /bin/sh -euc "$commands" >&2 </dev/null
exec tar --create --numeric-owner --directory "$scratch/upper" .
