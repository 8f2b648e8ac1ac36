# What the bench does inside the VM: functions for the lines that server.rs and mod.rs have it run.

core=/sys/kernel/config/target/core
tracing=/sys/kernel/tracing

# The disk of one fabric: tcm_loop's is not a session's.
disk() {
	for d in /sys/block/sd*; do
		case $(readlink -f "$d/device") in */session*) found=iscsi ;; *) found=loop ;; esac
		[ "$found" = "$1" ] && [ -b "/dev/${d##*/}" ] && echo "${d##*/}" && return
	done
	return 1
}

# Neither merges nor a scheduler: a command for each request of the load.
settle() {
	echo none >"/sys/block/$1/queue/scheduler"
	echo 2 >"/sys/block/$1/queue/nomerges"
	dd if=/dev/zero "of=/dev/$1" bs=1M count=$(($(cat "/sys/block/$1/size") / 2048)) oflag=direct status=none
}

# export_loop BACKSTORE: as a disk of this machine.
export_loop() {
	modprobe -a tcm_loop sd_mod
	tpg=/sys/kernel/config/target/loopback/naa.5001405000000001/tpgt_1
	mkdir -p $tpg
	echo naa.5001405000000002 >$tpg/nexus
	mkdir -p $tpg/lun/lun_0
	ln -s "$core/$1" $tpg/lun/lun_0/port
}

# export_iscsi BACKSTORE IQN PORTAL INITIATOR: with the parameters that Lunette gives its targets (lio/src/tree.rs).
export_iscsi() {
	modprobe iscsi_target_mod
	tpg=/sys/kernel/config/target/iscsi/$2/tpgt_1
	mkdir -p "$tpg/lun/lun_0"
	ln -s "$core/$1" "$tpg/lun/lun_0/port"
	mkdir "$tpg/np/$3"
	echo 0 >"$tpg/attrib/authentication"
	echo 128 >"$tpg/attrib/default_cmdsn_depth"
	echo 262144 >"$tpg/param/FirstBurstLength"
	echo 524288 >"$tpg/param/MaxBurstLength"
	echo No >"$tpg/param/InitialR2T"
	echo 262144 >"$tpg/param/MaxRecvDataSegmentLength"
	echo 262144 >"$tpg/param/MaxXmitDataSegmentLength"
	mkdir -p "$tpg/acls/$4/lun_0"
	ln -s "$tpg/lun/lun_0" "$tpg/acls/$4/lun_0/port"
	echo 1 >"$tpg/enable"
}

# login IQN PORTAL
login() {
	iscsiadm -m node -T "$1" -p "$2" -o new >/dev/null
	iscsiadm -m node -T "$1" -p "$2" --login >/dev/null
}

completed() {
	read -r reads _ _ _ writes _ <"/sys/block/$1/stat"
	echo $((reads + writes))
}

# start_load DISK OPTIONS...: fio, until its first thousand commands are through. Registered buffers and files, and
# nothing measured or varied: the load's own cost is part of every figure, so it is to be as small as it can.
start_load() {
	wanted=$(($(completed "$1") + 1000))
	disk=$1
	shift
	fio --name=load "--filename=/dev/$disk" --ioengine=io_uring --fixedbufs=1 --registerfiles=1 --nonvectored=1 \
		--direct=1 --time_based --runtime=3600 --thread --norandommap --gtod_reduce=1 --scramble_buffers=0 \
		--disk_util=0 --allow_file_create=0 --output=/dev/null "$@" &
	load=$!
	until [ "$(completed "$disk")" -gt "$wanted" ]; do
		kill -0 $load && sleep 0.02 || exit 1
	done
}

end_load() {
	kill $load
	wait $load || true
}

# sample NAME DISK PID: the clock, the idle time, and what disk and server have done until now.
sample() {
	echo "=== $1"
	if [ -n "$3" ]; then
		tail -v -n +1 /proc/timer_list /proc/stat "/sys/block/$2/stat" /proc/"$3"/task/*/schedstat /proc/"$3"/task/*/status
	else
		tail -v -n +1 /proc/timer_list /proc/stat "/sys/block/$2/stat"
	fi
}

# trace DISK PID SECONDS: how many system calls the server makes meanwhile.
trace() {
	mountpoint -q $tracing || mount -t tracefs tracefs $tracing
	ls "/proc/$2/task" >$tracing/set_event_pid
	echo 1 >$tracing/events/raw_syscalls/sys_enter/enable
	echo "=== traced from"
	tail -v -n +1 "/sys/block/$1/stat" $tracing/per_cpu/cpu0/stats
	sleep "$3"
	echo "=== traced to"
	tail -v -n +1 "/sys/block/$1/stat" $tracing/per_cpu/cpu0/stats
	echo 0 >$tracing/events/raw_syscalls/sys_enter/enable
}

# measure SECONDS PID DISK OPTIONS...: samples before and after a window of a load that is in full flow.
measure() {
	window=$1 pid=$2
	shift 2
	start_load "$@"
	sample from "$disk" "$pid" >/tmp/from
	sleep "$window"
	sample to "$disk" "$pid" >/tmp/to
	cat /tmp/from /tmp/to
	[ -z "$pid" ] || trace "$disk" "$pid" 0.1
	end_load
}

# profile SECONDS DISK OPTIONS...: one sample for each 20000 instructions.
profile() {
	window=$1
	shift
	start_load "$@"
	perf record -q -a -e cpu-clock -c 20000 -o /tmp/perf.data -- sleep "$window"
	end_load
	perf report -q --stdio -i /tmp/perf.data --sort comm,symbol --percent-limit 0.4
}
