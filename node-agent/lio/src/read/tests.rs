//! Reading what is whole, half-made, ours and not ours.

use super::*;
use crate::configfs::Fake;
use crate::fixtures::*;
use crate::name::HbaNumber;
use crate::tree::{Acl, Export};

#[test]
fn nothing_is_found_in_an_empty_kernel() {
    let fs = Fake::new();
    assert!(read_tree(&fs, &prefix()).unwrap().is_empty());
    let found = read(&fs);
    assert!(found.is_empty() && !found.fabric);
    assert_eq!(found.hba.number, HbaNumber::derived(&uid()));
}

#[test]
fn the_tree_holds_every_lun_of_ours_and_nobody_elses() {
    let fs = kernel_with(&export([(initiator("alice"), Acl::new(None, true))]));
    let backstore_only = Uid::parse("b").unwrap();
    let target_only = Uid::parse("c").unwrap();
    let foreign = Node::iscsi().child("iqn.2003-01.org.linux-iscsi.host:sn.1");
    let disk = Node::hba(HbaNumber(1)).child("disk");
    let made = [
        Node::hba(HbaNumber(2)),
        Node::device(HbaNumber(2), &backstore_only),
        Node::target(&prefix().target(&target_only)),
    ];
    for node in made.into_iter().chain([foreign, Node::hba(HbaNumber(1)), disk]) {
        fs.mkdir(&node).unwrap();
    }
    let tree = read_tree(&fs, &prefix()).unwrap();
    assert_eq!(tree.keys().collect::<Vec<_>>(), [&uid(), &backstore_only, &target_only]);
    assert!(tree[&backstore_only].export.backstore.as_ref().is_some_and(|backstore| !backstore.enabled));
    assert!(tree[&target_only].export.backstore.is_none() && tree[&target_only].export.target.is_some());
}

#[test]
fn empty_hbas_of_our_numbers_are_swept_and_no_others() {
    let fs = kernel_with(&export([]));
    let ours = Node::hba(HbaNumber::derived(&Uid::parse("never-finished").unwrap()));
    for node in [ours.clone(), Node::hba(HbaNumber(5))] {
        fs.mkdir(&node).unwrap();
    }
    assert_eq!(abandoned(&fs).unwrap(), [Step::Rmdir(ours)]);
}

#[test]
fn a_backstore_is_found_behind_a_neighbour_that_has_gone() {
    let fs = Fake::new();
    let place = HbaNumber::derived(&uid()).next();
    for node in [Node::hba(place), Node::device(place, &uid())] {
        fs.mkdir(&node).unwrap();
    }
    let found = read(&fs);
    assert_eq!((found.hba.number, found.export.backstore.is_some()), (place, true));
}

#[test]
fn another_prefix_sees_another_tree() {
    let fs = kernel_with(&Export { backstore: None, ..export([]) }.without_luns());
    let other = IqnPrefix::parse("iqn.2026-01.com.example").unwrap();
    assert_eq!(read_tree(&fs, &prefix()).unwrap().len(), 1);
    assert!(read_tree(&fs, &other).unwrap().is_empty());
}

#[test]
fn what_was_read_prints_and_serialises_without_the_secret() {
    let acl = Acl::new(Some(chap("alice", "a-secret-of-16-bytes")), false);
    let found = read(&kernel_with(&export([(initiator("alice"), acl)])));
    let texts = [
        format!("{found:?}"),
        serde_json::to_string(&found.export.target.as_ref().unwrap().tpgs.values().collect::<Vec<_>>())
            .unwrap_or_default(),
    ];
    for text in texts {
        assert!(text.contains("alice") && !text.contains("a-secret"), "{text}");
    }
}

#[test]
fn a_text_that_is_no_number_is_an_error_that_names_the_file() {
    let fs = kernel_with(&export([]));
    // Only a kernel that we do not know would print this.
    let device = read(&fs).device();
    fs.overwrite(&device.child("attrib/dev_size"), "many");
    let error = read_export(&fs, &prefix(), &uid()).unwrap_err();
    assert!(error.to_string().contains("attrib/dev_size reads \"many\""), "{error}");
}
