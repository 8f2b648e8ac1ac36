//! A VM to type commands into, for developers: each line runs in a shell of its own in the guest.
//!
//! No terminal: editors and pagers do not work, `cd` does not last. It is for looking around.

use crate::runner::Context;
use crate::vm::{Vm, VmSpec};
use crate::{DiskSpec, GuestCommand, Result};
use std::io::{BufRead, Write};
use std::time::Duration;

const LONGEST: Duration = Duration::from_secs(3600);

/// Boots a VM with an empty 4 GiB disk and runs the lines of standard input in it, until they end. With `counting`
/// its clock counts instructions, as the bench's does.
///
/// # Errors
/// When the VM does not come up, or is gone.
pub fn run(context: &Context, counting: bool) -> Result<()> {
    let bed = context.bed()?;
    let spec = VmSpec::new("shell").disk(DiskSpec::empty("scratch", 4 << 30));
    let vm = Vm::boot(&bed, if counting { spec.counting_instructions() } else { spec })?;
    println!(
        "Linux {} at {}; /dev/vda is an empty disk; files pass through /bed = {}",
        context.kernel(),
        vm.ipv4(),
        vm.share().display()
    );
    println!("Each line runs in a shell of its own. End of input (Ctrl-D) ends the VM.");
    let mut lines = std::io::stdin().lock().lines();
    loop {
        print!("shell# ");
        std::io::stdout().flush()?;
        let Some(line) = lines.next() else { return Ok(()) };
        let output = vm.run(GuestCommand::shell(&line?).patience(LONGEST))?;
        print!("{}", output.printed());
        if !output.success() {
            println!("(status {})", output.status);
        }
    }
}
