//! Placement: tables of who wins and why not, and what holds for any set of nodes.

use std::collections::BTreeMap;

use kube::api::ObjectMeta;
use lunette_api::{LunPoolSpec, LunSource, LunSpec, ReclaimPolicy, Size, WriteCache};
use proptest::prelude::*;

use super::*;

const GI: u64 = 1 << 30;

fn lun(gi: u64, pin: Option<&str>) -> Lun {
    let spec = LunSpec {
        pool: "fast".to_owned(),
        size: Size::Quantity(format!("{gi}Gi")),
        block_size: 512,
        node_name: pin.map(str::to_owned),
        initiators: vec![],
        write_cache: WriteCache::WriteBack,
        reclaim_policy: ReclaimPolicy::Retain,
        qos: None,
        source: None,
    };
    let metadata =
        ObjectMeta { name: Some("db".to_owned()), namespace: Some("prod".to_owned()), ..ObjectMeta::default() };
    Lun { metadata, spec, status: None }
}

fn pool(change: impl FnOnce(&mut LunPoolSpec)) -> LunPool {
    let mut spec = LunPoolSpec { directory: None, nodes: vec![], namespaces: vec![], overcommit_percent: None };
    change(&mut spec);
    LunPool::new("fast", spec)
}

fn node(name: &str, capacity_gi: u64, promised_gi: u64) -> NodeView {
    let pool = NodePool {
        ready: true,
        message: String::new(),
        capacity: capacity_gi * GI,
        available: capacity_gi * GI,
        max_volume: 16 << 40,
        snapshots: true,
        images: BTreeMap::from([("debian.raw".to_owned(), 2 * GI)]),
    };
    NodeView { name: name.to_owned(), trouble: None, pool: Some(pool), luns: 0, promised: promised_gi * GI }
}

fn why(result: Result<String, NoPlace>) -> String {
    result.expect_err("no place").to_string()
}

#[test]
fn the_least_promised_node_wins_then_the_one_with_fewest_luns_then_the_first_by_name() {
    let any = pool(|_| ());
    let (a, b) = (node("a", 100, 50), node("b", 100, 20));
    assert_eq!(place(&lun(1, None), &any, None, &[a, b]), Ok("b".to_owned()));
    let larger = node("b", 1000, 60);
    assert_eq!(place(&lun(1, None), &any, None, &[node("a", 100, 50), larger]), Ok("b".to_owned()));
    let mut busy = node("a", 100, 50);
    busy.luns = 3;
    assert_eq!(place(&lun(1, None), &any, None, &[busy, node("b", 100, 50)]), Ok("b".to_owned()));
    assert_eq!(place(&lun(1, None), &any, None, &[node("b", 100, 0), node("a", 100, 0)]), Ok("a".to_owned()));
}

#[test]
fn a_node_that_is_preferred_wins_where_it_can_take_the_lun() {
    let mut wanted = lun(1, None);
    wanted.metadata.annotations = Some([(PREFERRED_NODE_ANNOTATION.to_owned(), "b".to_owned())].into());
    let any = pool(|_| ());
    assert_eq!(place(&wanted, &any, None, &[node("a", 100, 0), node("b", 100, 90)]), Ok("b".to_owned()));
    let mut silent = node("b", 100, 0);
    silent.trouble = Some(Trouble::Silent);
    assert_eq!(place(&wanted, &any, None, &[node("a", 100, 50), silent]), Ok("a".to_owned()));
    assert_eq!(place(&wanted, &any, None, &[node("a", 100, 50)]), Ok("a".to_owned()));
}

#[test]
fn a_pinned_node_wins_or_says_why_it_cannot() {
    let any = pool(|_| ());
    let nodes = [node("a", 100, 0), node("b", 100, 90)];
    assert_eq!(place(&lun(1, Some("b")), &any, None, &nodes), Ok("b".to_owned()));
    let mut without = nodes.clone();
    without[1].pool = None;
    assert_eq!(
        why(place(&lun(1, Some("b")), &any, None, &without)),
        "no node can take it: b: its agent says nothing of the pool"
    );
    assert_eq!(
        why(place(&lun(1, Some("c")), &any, None, &nodes[..1])),
        "no node can take it: a: spec.nodeName asks for another"
    );
}

#[test]
fn every_refusal_is_said_for_its_node() {
    let limited = pool(|spec| {
        spec.nodes = ["b", "c", "d", "e", "f", "g", "h"].map(str::to_owned).to_vec();
        spec.overcommit_percent = Some(100);
    });
    let mut nodes: Vec<_> = ["a", "b", "c", "d", "e", "f", "g", "h"].iter().map(|n| node(n, 100, 95)).collect();
    nodes[1].trouble = Some(Trouble::Silent);
    nodes[2].trouble = Some(Trouble::NotReady("target_core_user is missing".to_owned()));
    nodes[3].pool = None;
    nodes[4].pool.as_mut().unwrap().ready = false;
    nodes[4].pool.as_mut().unwrap().message = "/var/lib/lunette/pool is no directory".to_owned();
    nodes[5].pool.as_mut().unwrap().max_volume = GI;
    nodes[6].pool.as_mut().unwrap().available = 0;
    assert_eq!(
        why(place(&lun(10, None), &limited, None, &nodes)),
        "no node can take it: a: the pool's spec.nodes leaves it out; b: its agent gives no sign of life; \
         c: it is not ready: target_core_user is missing; d: its agent says nothing of the pool; \
         e: it cannot serve the pool: /var/lib/lunette/pool is no directory; \
         f: 10737418240 bytes are more than its largest volume of 1073741824; g: its pool has no space left; \
         h: 102005473280 bytes promised and 10737418240 wanted would pass the pool's overcommit limit of 107374182400"
    );
}

#[test]
fn the_overcommit_limit_is_exact() {
    let twice = pool(|spec| spec.overcommit_percent = Some(200));
    assert_eq!(place(&lun(10, None), &twice, None, &[node("a", 100, 190)]), Ok("a".to_owned()));
    let refused = place(&lun(11, None), &twice, None, &[node("a", 100, 190)]);
    assert_eq!(
        refused,
        Err(NoPlace::AllRefuse(vec![("a".to_owned(), Refusal::Overcommitted(190 * GI, 11 * GI, 200 * GI))]))
    );
}

#[test]
fn a_pool_may_be_for_some_namespaces_only() {
    let theirs = pool(|spec| spec.namespaces = vec!["test".to_owned()]);
    let refused = place(&lun(1, None), &theirs, None, &[node("a", 100, 0)]);
    assert_eq!(refused.as_ref().map_err(NoPlace::reason), Err(reasons::POOL_NOT_ALLOWED));
    assert_eq!(why(refused), "pool fast is not for namespace prod: an admin lists it in the pool's spec.namespaces");
}

#[test]
fn a_long_list_of_nodes_is_cut() {
    let nodes: Vec<_> = (0..25).map(|i| NodeView { pool: None, ..node(&format!("n{i:02}"), 1, 0) }).collect();
    let text = why(place(&lun(1, None), &pool(|_| ()), None, &nodes));
    assert!(text.ends_with("n09: its agent says nothing of the pool; and 15 more"), "{text}");
    assert_eq!(why(place(&lun(1, None), &pool(|_| ()), None, &[])), NoPlace::NoNodes.to_string());
}

prop_compose! {
    fn any_node()(
        name in "[a-e]{1,3}", silent in prop::bool::weighted(0.2), ready in prop::bool::weighted(0.8),
        has_pool in prop::bool::weighted(0.9), capacity in 1_u64..200, promised in 0_u64..300, luns in 0_usize..9,
    ) -> NodeView {
        let mut view = node(&name, capacity, promised);
        view.luns = luns;
        view.trouble = silent.then_some(Trouble::Silent);
        view.pool = view.pool.filter(|_| has_pool).map(|p| NodePool { ready, ..p });
        view
    }
}

proptest! {
    #[test]
    fn order_does_not_matter_and_only_a_fit_node_is_chosen(
        mut nodes in prop::collection::vec(any_node(), 0..12), gi in 1_u64..100, percent in prop::option::of(50_u32..300),
        turn in 0_usize..12,
    ) {
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        nodes.dedup_by(|a, b| a.name == b.name);
        let (lun, pool) = (lun(gi, None), pool(|spec| spec.overcommit_percent = percent));
        let chosen = place(&lun, &pool, None, &nodes);
        let mut turned = nodes.clone();
        if !turned.is_empty() {
            let by = turn % turned.len();
            turned.rotate_left(by);
        }
        prop_assert_eq!(&chosen, &place(&lun, &pool, None, &turned));
        let fit: Vec<_> = nodes.iter().filter(|n| refusal(&lun, gi * GI, &pool, n).is_none()).collect();
        match chosen {
            Ok(name) => {
                let node = fit.iter().find(|n| n.name == name);
                prop_assert!(node.is_some());
                let best = fit.iter().map(|n| load(n, gi * GI)).min();
                prop_assert_eq!(node.map(|n| load(n, gi * GI)), best);
            }
            Err(_) => prop_assert!(fit.is_empty()),
        }
    }
}

#[test]
fn a_copy_is_placed_where_its_origin_is_or_nowhere() {
    let origin = |node: &str| Origin {
        what: "LunSnapshot s".to_owned(),
        node: node.to_owned(),
        pool: "fast".to_owned(),
        size: GI,
        block_size: 512,
    };
    let (any, nodes) = (pool(|_| ()), [node("a", 100, 0), node("b", 100, 90)]);
    assert_eq!(place(&lun(1, None), &any, Some(&origin("b")), &nodes), Ok("b".to_owned()));
    let refused = why(place(&lun(1, None), &any, Some(&origin("c")), &nodes));
    assert!(refused.contains("a: what the Lun is made from is on node c"), "{refused}");
    let pinned = why(place(&lun(1, Some("a")), &any, Some(&origin("b")), &nodes));
    assert_eq!(pinned, "no node can take it: a: what the Lun is made from is on node b");
}

#[test]
fn a_lun_that_begins_as_an_image_goes_where_the_image_is() {
    let of = |image: &str, gi: u64| {
        let mut lun = lun(gi, None);
        lun.spec.source = Some(LunSource { image: Some(image.to_owned()), ..LunSource::default() });
        lun
    };
    let (a, mut b) = (node("a", 100, 50), node("b", 100, 0));
    b.pool.as_mut().expect("a pool").images.clear();
    let both = [a, b];
    assert_eq!(place(&of("debian.raw", 2), &pool(|_| ()), None, &both), Ok("a".to_owned()));
    let none = place(&of("none.raw", 2), &pool(|_| ()), None, &both).expect_err("no place");
    assert_eq!(none.reason(), reasons::SOURCE_NOT_FOUND);
    assert!(none.to_string().contains("a: there is no image none.raw in the folder import of its pool"), "{none}");
    let small = why(place(&of("debian.raw", 1), &pool(|_| ()), None, &both[..1]));
    assert!(small.contains("a: its image debian.raw has 2147483648 bytes: ask for at least as many"), "{small}");
}
