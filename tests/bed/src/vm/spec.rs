//! What a VM is to be like, said before it is booted. Plain data: nothing here touches the machine.

use super::disk::DiskSpec;
use crate::setup::Kernel;

/// What a VM is to be like. Two processors and 1.5 GiB unless said.
#[derive(Debug, Clone)]
pub struct VmSpec {
    name: String,
    kernel: Option<Kernel>,
    memory_mib: u32,
    processors: u32,
    disks: Vec<DiskSpec>,
    initiator_name: Option<String>,
    kernel_arguments: Vec<String>,
    counts_instructions: bool,
}

impl VmSpec {
    /// A VM named `name` (also its host name, so keep to letters, digits and hyphens).
    #[must_use]
    pub fn new(name: &str) -> VmSpec {
        VmSpec {
            name: name.to_owned(),
            kernel: None,
            memory_mib: 1536,
            processors: 2,
            disks: Vec::new(),
            initiator_name: None,
            kernel_arguments: Vec::new(),
            counts_instructions: false,
        }
    }

    /// Boots this kernel instead of the bed's.
    #[must_use]
    pub fn kernel(mut self, kernel: Kernel) -> VmSpec {
        self.kernel = Some(kernel);
        self
    }

    /// Memory in MiB. Everything the guest writes outside its disks is in it too.
    #[must_use]
    pub fn memory_mib(mut self, memory_mib: u32) -> VmSpec {
        self.memory_mib = memory_mib;
        self
    }

    /// The number of virtual processors.
    #[must_use]
    pub fn processors(mut self, processors: u32) -> VmSpec {
        self.processors = processors;
        self
    }

    /// Adds a disk; the first is `/dev/vda`. At most 26.
    #[must_use]
    pub fn disk(mut self, disk: DiskSpec) -> VmSpec {
        self.disks.push(disk);
        self
    }

    /// The initiator name that iscsid uses; one made from the VM's name unless said.
    #[must_use]
    pub fn initiator(mut self, iqn: &str) -> VmSpec {
        self.initiator_name = Some(iqn.to_owned());
        self
    }

    /// Adds an argument to the kernel's command line.
    #[must_use]
    pub fn kernel_argument(mut self, argument: &str) -> VmSpec {
        self.kernel_arguments.push(argument.to_owned());
        self
    }

    /// Makes its clock count instructions, a nanosecond each, on its one processor: what it measures as time does not
    /// depend on how busy the host is. Emulated even where KVM works, so it is slow.
    #[must_use]
    pub fn counting_instructions(mut self) -> VmSpec {
        self.counts_instructions = true;
        self.processors = 1;
        self
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn chosen_kernel(&self) -> Option<Kernel> {
        self.kernel
    }

    pub(super) fn memory(&self) -> u32 {
        self.memory_mib
    }

    pub(super) fn processor_count(&self) -> u32 {
        self.processors
    }

    pub(super) fn disks(&self) -> &[DiskSpec] {
        &self.disks
    }

    pub(super) fn initiator_name(&self) -> String {
        self.initiator_name.clone().unwrap_or_else(|| format!("iqn.2026-01.bed.test:{}", self.name))
    }

    pub(super) fn kernel_arguments(&self) -> &[String] {
        &self.kernel_arguments
    }

    pub(super) fn is_counting_instructions(&self) -> bool {
        self.counts_instructions
    }
}
