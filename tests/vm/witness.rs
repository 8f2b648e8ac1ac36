//! What the client's kernel makes of an outage: the state of its session, whether its SCSI host is busy recovering commands
//! that it gave up, and when answers come again.

use std::time::Instant;

use anyhow::Context as _;
use lunette_bed::{GuestCommand, Process, Result};

use super::initiator::LONG;
use super::site::{SOON, Site, patiently};

/// Looks again and again, and writes down, with the time since the client's boot, whatever has changed. Between two looks it
/// starts one program only, which sleeps.
const WATCH: &str = r#"
disk=/sys/block/$name
device=$(readlink -f $disk/device)
host=${device%%/session*} && host=/sys/class/scsi_host/${host##*/}
session=${device%%/target*} && session=/sys/class/iscsi_session/${session##*/}
was= count=0 stood=0
while :; do
	read -r session_is <$session/state
	read -r host_is <$host/state
	read -r reads _ _ _ writes _ <$disk/stat
	read -r up _ </proc/uptime
	if [ $((reads + writes)) = $count ]; then
		stood=$((stood + 1))
	else
		[ $stood -gt 30 ] && echo "$up answers come"
		stood=0 count=$((reads + writes))
	fi
	now="session $session_is, SCSI host $host_is"
	[ "$now" = "$was" ] || echo "$up $now"
	was=$now
	sleep 0.02
done
"#;

/// One who watches until it is asked.
pub struct Witness(Process);

impl Witness {
    /// Watches over a disk of the client.
    pub fn at(site: &Site, disk: &str) -> Result<Self> {
        let script = format!("name={}\n{WATCH}", disk.trim_start_matches("/dev/"));
        let watch = GuestCommand::shell(&script).patience(LONG);
        Ok(Self(site.client.spawn("witness", watch)?))
    }

    /// What it saw, in seconds before (-) and after (+) that moment, which answers have come after.
    pub fn tells(mut self, site: &Site, moment: Instant) -> Result<String> {
        patiently(SOON, || {
            self.0.ended()?;
            self.0.stdout_so_far().contains("answers come").then_some(()).context("no answers come")
        })?;
        // Its clock was read at some time while it was being asked.
        let before = moment.elapsed();
        let up = site.client.must("cut -d' ' -f1 /proc/uptime")?;
        let moment = up.parse::<f64>()? - (before + moment.elapsed()).as_secs_f64() / 2.0;
        let told = self.0.stdout_so_far();
        let event = |line: &str| -> Option<String> {
            let (when, what) = line.split_once(' ')?;
            Some(format!("{:+.2} s {what}", when.parse::<f64>().ok()? - moment))
        };
        Ok(told.lines().filter_map(event).collect::<Vec<_>>().join("; "))
    }
}
