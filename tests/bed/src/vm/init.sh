#!/bin/busybox sh
# Process 1 of a guest: reaches the host's root over 9p, lays memory over it, becomes the network's member that the
# kernel's command line names, and leaves the rest to the agent. Everything a test needs beyond that, it starts.
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
read -r line </proc/cmdline
for word in $line; do
	case $word in bed.*) eval "bed_${word#bed.}" ;; esac
done
if [ -n "$bed_trial" ]; then
	echo bed-trial-passed
	$b poweroff -f
fi
for module in /modules/*.ko; do $b insmod "$module"; done

options=trans=virtio,version=9p2000.L,msize=512000
$b mount -t 9p -o $options,cache=loose,ro root /lower || $b poweroff -f
$b mount -t tmpfs -o size=100% memory /memory
$b mkdir /memory/upper /memory/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/memory/upper,workdir=/memory/work root /newroot || $b poweroff -f

cd /newroot || $b poweroff -f
for moved in proc sys dev; do $b mount -o move /$moved $moved; done
$b mkdir -p dev/pts dev/shm bed
$b mount -t devpts devpts dev/pts
$b mount -t tmpfs shm dev/shm
$b mount -t tmpfs -o mode=755 run run
$b mkdir -p run/lock
$b mount -t 9p -o $options,cache=none bed bed
$b mount -t cgroup2 cgroup sys/fs/cgroup

release=$($b uname -r)
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
$b mkdir -p "lib/modules/$release"
$b mount -o bind "/newroot/$bed_modules" "lib/modules/$release"
echo "$bed_name" >etc/hostname
$b hostname "$bed_name"
printf '127.0.0.1 localhost\n::1 localhost\n%s host\n%s %s\n' "$bed_host" "$bed_ipv4" "$bed_name" >etc/hosts
$b rm -rf etc/iscsi/nodes etc/iscsi/send_targets etc/iscsi/ifaces var/lib/iscsi
$b mkdir -p etc/iscsi
echo "InitiatorName=$bed_initiator" >etc/iscsi/initiatorname.iscsi

# No duplicate address detection: the address could not be used while it runs.
echo 0 >proc/sys/net/ipv6/conf/eth0/accept_dad
$b ip link set lo up
$b ip link set eth0 up
$b ip addr add "$bed_ipv4/24" dev eth0
$b ip addr add "$bed_ipv6/64" dev eth0

$b cat >run/start.sh <<'START'
modprobe configfs
mount -t configfs configfs /sys/kernel/config
# Process 1 adopts what loses its parent; waiting for the agent reaps those too.
"$1" guest-exec &
wait $!
echo "the agent ended with $?"
busybox poweroff -f
START
exec $b switch_root /newroot /bin/sh /run/start.sh "$bed_agent"
