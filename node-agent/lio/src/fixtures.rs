//! What the tests of several files share: names, a plain export, and the way to bring one about.

use std::collections::BTreeMap;

use crate::apply::{StepError, apply};
use crate::configfs::{Configfs, Fake};
use crate::iqn::{Iqn, IqnPrefix};
use crate::name::Uid;
use crate::node::Node;
use crate::plan::{Plan, plan};
use crate::portal::Portal;
use crate::read::read_export;
use crate::secret::{Chap, Login, Secret};
use crate::tree::{Acl, Backstore, Export, Found, Target};

pub(crate) fn uid() -> Uid {
    Uid::parse("6f1c9d2e-8f4e-4b44-9a55-0a3c2f8d7e10").unwrap()
}

pub(crate) fn prefix() -> IqnPrefix {
    IqnPrefix::default()
}

pub(crate) fn target() -> Iqn {
    prefix().target(&uid())
}

pub(crate) fn initiator(name: &str) -> Iqn {
    Iqn::parse(&format!("iqn.2026-01.com.example:{name}")).unwrap()
}

pub(crate) fn chap(user: &str, password: &str) -> Chap {
    Chap::new(Login::new(user, Secret::new(password)).unwrap(), None).unwrap()
}

/// Two GiB, one portal, and these initiators.
pub(crate) fn export(acls: impl IntoIterator<Item = (Iqn, Acl)>) -> Export {
    let portal = Portal::parse("10.0.0.1:3260").unwrap();
    Export {
        backstore: Some(Backstore::new(2 << 30, 512, "serial-1")),
        target: Some(Target::new(target(), [portal], BTreeMap::from_iter(acls))),
        local: None,
    }
}

pub(crate) fn read(fs: &Fake) -> Found {
    read_export(fs, &prefix(), &uid()).unwrap()
}

pub(crate) fn plan_for(fs: &Fake, want: Option<&Export>) -> Plan {
    plan(&read(fs), want).unwrap()
}

/// Reads, plans and applies once, as the agent does.
pub(crate) fn attempt(fs: &Fake, want: Option<&Export>) -> Result<(), StepError> {
    let steps: Vec<_> = plan_for(fs, want).all().cloned().collect();
    apply(fs, &steps, |_, _| {})
}

/// A kernel in which this export was brought about.
pub(crate) fn kernel_with(want: &Export) -> Fake {
    let fs = Fake::new();
    attempt(&fs, Some(want)).unwrap();
    fs
}

pub(crate) fn write(fs: &Fake, node: &Node, text: &str) {
    fs.write_once(node, text.as_bytes()).unwrap();
}

impl Export {
    /// A target that serves nothing needs no backstore.
    pub(crate) fn without_luns(mut self) -> Export {
        self.local = None;
        for tpg in self.target.iter_mut().flat_map(|target| target.tpgs.values_mut()) {
            tpg.luns.clear();
        }
        self
    }
}
