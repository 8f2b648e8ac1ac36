//! HBAs and TCMU devices (`target_core_configfs.c`, `target_core_user.c`).

use nix::errno::Errno;

use super::objects::{Kind, Rule, join, split};
use super::{Kernel, number};

const BIG: i64 = i64::MAX;

impl Kernel {
    /// `target_core_call_addhbatotarget`: `<plugin>_<number>`.
    pub(super) fn make_hba(&mut self, path: &str, name: &str) -> Result<(), Errno> {
        let (plugin, digits) = name.rsplit_once('_').ok_or(Errno::EINVAL)?;
        if !matches!(plugin, "user" | "fileio" | "iblock" | "rd_mcp" | "pscsi") || digits.parse::<u32>().is_err() {
            return Err(Errno::EINVAL);
        }
        self.objects.add_directory(path, Kind::Hba, false);
        self.objects.add_attributes(
            path,
            &[
                ("hba_info", "HBA Index: 1 plugin: user version: v5.0", Rule::ReadOnly),
                ("hba_mode", "0", Rule::ReadOnly),
            ],
        );
        Ok(())
    }

    /// `target_core_make_subdev`.
    pub(super) fn make_device(&mut self, path: &str) -> Result<(), Errno> {
        self.objects.add_directory(path, Kind::Device, false);
        self.objects.add_attributes(
            path,
            &[
                ("control", "", Rule::Control),
                ("enable", "0", Rule::DeviceEnable),
                ("info", "Status: DEACTIVATED", Rule::ReadOnly),
            ],
        );
        self.group(path, "attrib", DEVICE_ATTRIB);
        let action = [
            ("block_dev", "unblocked", Rule::BlockDev),
            ("reset_ring", "", Rule::ResetRing),
            ("free_kept_buf", "", Rule::FreeKeptBuf),
        ];
        self.group(path, "action", &action);
        self.group(path, "wwn", &[("vpd_unit_serial", "", Rule::UnitSerial), ("vendor_id", "LIO-ORG", Rule::ReadOnly)]);
        self.group(path, "pr", &[]);
        self.group(path, "alua", &[]);
        self.group(&join(path, "alua"), "default_tg_pt_gp", PORT_GROUP);
        self.group(path, "statistics", &[]);
        Ok(())
    }

    /// A default group with its attributes.
    pub(super) fn group(&mut self, directory: &str, name: &str, attributes: &[(&str, &str, Rule)]) {
        self.group_of(Kind::Plain, directory, name);
        self.objects.add_attributes(&join(directory, name), attributes);
    }

    /// A default group in which objects can be made.
    pub(super) fn group_of(&mut self, kind: Kind, directory: &str, name: &str) {
        self.objects.add_directory(&join(directory, name), kind, true);
    }

    fn is_configured(&self, device: &str) -> bool {
        self.objects.text(&join(device, "enable")) == "1"
    }

    fn is_exported(&self, device: &str) -> bool {
        self.objects.links_to(device).next().is_some()
    }

    /// `tcmu_set_configfs_dev_params`: unknown keys are passed over in silence.
    pub(super) fn control(&mut self, attr: &str, text: &str) -> Result<(), Errno> {
        let device = split(attr).0.to_owned();
        for token in text.split([',', '\n']).filter(|token| !token.is_empty()) {
            let Some((key, value)) = token.split_once('=') else { continue };
            self.parameter(&device, key, value)?;
        }
        Ok(())
    }

    fn parameter(&mut self, device: &str, key: &str, value: &str) -> Result<(), Errno> {
        let configured = self.is_configured(device);
        let (file, text) = match key {
            "dev_config" => ("dev_config", value.chars().take(255).collect()),
            "dev_size" => ("dev_size", number(value, 0, BIG)?.to_string()),
            "hw_block_size" => ("hw_block_size", number(value, 1, BIG)?.to_string()),
            "hw_max_sectors" => ("hw_max_sectors", number(value, 1, BIG)?.to_string()),
            "nl_reply_supported" => ("nl_reply_supported", number(value, -1, BIG)?.to_string()),
            "max_data_area_mb" | "cmd_ring_size_mb" if configured => return Err(Errno::EINVAL),
            "max_data_area_mb" => ("max_data_area_mb", number(value, 1, BIG)?.min(2048).to_string()),
            "cmd_ring_size_mb" => ("cmd_ring_size_mb", number(value, 1, 8)?.to_string()),
            _ => return Ok(()),
        };
        self.objects.set(&format!("{device}/attrib/{file}"), text);
        Ok(())
    }

    /// `target_dev_enable_store`, `target_configure_device`, `tcmu_configure_device`. Where the kernel would wait for a
    /// netlink answer for ever, the rescued waiter's EINTR is returned (tcmu.md §2.3).
    pub(super) fn enable_device(&mut self, attr: &str, text: &str) -> Result<String, Errno> {
        let device = split(attr).0.to_owned();
        let attrib = |name: &str| format!("{device}/attrib/{name}");
        if !text.contains('1') {
            return Err(Errno::EINVAL);
        }
        if self.is_configured(&device) {
            return Err(Errno::EEXIST);
        }
        if self.objects.text(&attrib("nl_reply_supported")) != "-1" {
            return Err(Errno::EINTR);
        }
        for (name, default) in [("hw_block_size", "512"), ("hw_max_sectors", "128"), ("hw_queue_depth", "128")] {
            if self.objects.text(&attrib(name)) == "0" {
                self.objects.set(&attrib(name), default.to_owned());
            }
        }
        let minor = (0..).find(|minor| !self.uio.values().any(|used| used == minor)).unwrap_or_default();
        self.uio.insert(device, minor);
        Ok("1".to_owned())
    }

    /// `tcmu_dev_size_store` and its like: a living device's daemon is asked over netlink, and there is none.
    pub(super) fn reconfigure(&mut self, attr: &str, text: &str) -> Result<String, Errno> {
        let device = split(split(attr).0).0;
        if self.is_configured(device) { Err(Errno::ESRCH) } else { Ok(text.to_owned()) }
    }

    /// `tcmu_cmd_time_out_store`.
    pub(super) fn unless_exported(&mut self, attr: &str, text: &str) -> Result<String, Errno> {
        let device = split(split(attr).0).0;
        if self.is_exported(device) {
            return Err(Errno::EINVAL);
        }
        number(text, 0, BIG).map(|number| number.to_string())
    }

    /// `target_wwn_vpd_unit_serial_store`.
    pub(super) fn unit_serial(&mut self, attr: &str, text: &str) -> Result<String, Errno> {
        let device = split(split(attr).0).0;
        match text.len() {
            _ if self.is_exported(device) => Err(Errno::EINVAL),
            length if length > 254 => Err(Errno::EOVERFLOW),
            _ => Ok(text.trim().to_owned()),
        }
    }

    pub(super) fn block_dev(&mut self, attr: &str, text: &str) -> Result<String, Errno> {
        self.configured_action(attr)?;
        let block = number(text, 0, 1)? == 1;
        Ok(if block { "blocked" } else { "unblocked" }.to_owned())
    }

    pub(super) fn reset_ring(&mut self, attr: &str, text: &str) -> Result<(), Errno> {
        self.configured_action(attr)?;
        number(text, 1, 2).map(|_| ())
    }

    /// As if every id had its buffers kept.
    pub(super) fn free_kept_buf(&mut self, attr: &str, text: &str) -> Result<(), Errno> {
        self.configured_action(attr)?;
        number(text, 0, 0xffff).map(|_| ())
    }

    fn configured_action(&self, attr: &str) -> Result<(), Errno> {
        let device = split(split(attr).0).0;
        if self.is_configured(device) { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// `tcmu_update_uio_info`.
    pub(super) fn uio_names(&self) -> Vec<(u32, String)> {
        let name = |device: &String| {
            let (hba, name) = split(device);
            let config = self.objects.text(&format!("{device}/attrib/dev_config"));
            format!("tcm-user/{}/{name}/{config}", split(hba).1.trim_start_matches("user_"))
        };
        self.uio.iter().map(|(device, minor)| (*minor, name(device))).collect()
    }

    /// A LUN's link to a device (`target_fabric_port_link`).
    pub(super) fn link_lun(&mut self, lun: &str, device: &str, kind: Kind) -> Result<(), Errno> {
        match kind {
            Kind::Device if !self.is_configured(device) => Err(Errno::ENODEV),
            Kind::Device if self.objects.links_in(lun).next().is_some() => Err(Errno::EEXIST),
            Kind::Device => Ok(()),
            _ => Err(Errno::EFAULT),
        }
    }
}

const DEVICE_ATTRIB: &[(&str, &str, Rule)] = &[
    ("alua_support", "1", Rule::Number(0, 1)),
    ("cmd_ring_size_mb", "8", Rule::ReadOnly),
    ("cmd_time_out", "30", Rule::UnlessExported),
    ("data_pages_per_blk", "1", Rule::ReadOnly),
    ("dev_config", "", Rule::Reconfigured),
    ("dev_size", "0", Rule::Reconfigured),
    ("emulate_pr", "1", Rule::Number(0, 1)),
    ("emulate_write_cache", "0", Rule::Reconfigured),
    ("hw_block_size", "0", Rule::ReadOnly),
    ("hw_max_sectors", "0", Rule::ReadOnly),
    ("hw_queue_depth", "0", Rule::ReadOnly),
    ("max_data_area_mb", "1024", Rule::ReadOnly),
    ("nl_reply_supported", "0", Rule::Number(-1, BIG)),
    ("pgr_support", "1", Rule::Number(0, 1)),
    ("qfull_time_out", "-1", Rule::Number(-1, BIG)),
    ("tmr_notification", "0", Rule::Number(0, 1)),
];

/// `core_alua_allocate_tg_pt_gp` of the default group.
const PORT_GROUP: &[(&str, &str, Rule)] = &[
    ("alua_access_state", "0", Rule::ReadOnly),
    ("alua_access_type", "Implicit and Explicit", Rule::ReadOnly),
    ("alua_support_active_nonoptimized", "1", Rule::ReadOnly),
    ("alua_support_active_optimized", "1", Rule::ReadOnly),
    ("alua_support_lba_dependent", "1", Rule::ReadOnly),
    ("alua_support_offline", "1", Rule::ReadOnly),
    ("alua_support_standby", "1", Rule::ReadOnly),
    ("alua_support_transitioning", "1", Rule::ReadOnly),
    ("alua_support_unavailable", "1", Rule::ReadOnly),
    ("implicit_trans_secs", "0", Rule::ReadOnly),
    ("preferred", "0", Rule::ReadOnly),
    ("tg_pt_gp_id", "0", Rule::ReadOnly),
];
