//! What classes may say, and what is refused by name.

use super::*;

fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn read(pairs: &[(&str, &str)]) -> Result<Class, ClassError> {
    Class::read(&map(pairs), &HashMap::new())
}

#[test]
fn a_pool_is_all_that_must_be_said() {
    let class = read(&[("pool", "fast")]).expect("it is enough");
    let defaults = Class {
        pool: "fast".to_owned(),
        image: None,
        block_size: 512,
        mkfs_options: None,
        write_cache: WriteCache::WriteBack,
        qos: None,
        chap: true,
        claim: Claim::default(),
    };
    assert_eq!(class, defaults);
    assert_eq!(read(&[]), Err(ClassError::NoPool));
    assert_eq!(read(&[("pool", "")]), Err(ClassError::NoPool));
}

#[test]
fn every_parameter_is_understood() {
    let class = read(&[
        ("pool", "fast"),
        ("csi.storage.k8s.io/fstype", "xfs"),
        ("image", "debian.raw"),
        ("blockSize", "4096"),
        ("mkfsOptions", "-K -q"),
        ("writeCache", "WriteThrough"),
        ("chap", "false"),
        ("csi.storage.k8s.io/pvc/name", "data"),
        ("csi.storage.k8s.io/pvc/namespace", "prod"),
        ("csi.storage.k8s.io/pv/name", "pvc-1"),
    ])
    .expect("all of it is known");
    assert_eq!((class.block_size, class.mkfs_options.as_deref(), class.chap), (4096, Some("-K -q"), false));
    assert_eq!((class.write_cache, class.image.as_deref()), (WriteCache::WriteThrough, Some("debian.raw")));
    assert_eq!(class.claim.namespace.as_deref(), Some("prod"));
    for parameter in &PARAMETERS {
        assert!(!matches!(read(&[(parameter.name, "?")]), Err(ClassError::Unknown(_))), "{}", parameter.name);
    }
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    assert_eq!(read(&[("pool", "fast"), ("Pool", "x")]), Err(ClassError::Unknown("Pool".to_owned())));
    for (name, value, says) in [
        (
            "image",
            "../x",
            "parameter \"image\" is \"../x\": it must be a file's name: letters, digits, '.', '_' and '-', beginning with a letter or a digit",
        ),
        ("blockSize", "1024", "parameter \"blockSize\" is \"1024\": it must be 512 or 4096"),
        ("writeCache", "on", "parameter \"writeCache\" is \"on\": it must be WriteBack or WriteThrough"),
        ("chap", "no", "parameter \"chap\" is \"no\": it must be true or false"),
        (FS_TYPE, "ntfs", "parameter \"csi.storage.k8s.io/fstype\" is \"ntfs\": it must be ext4, xfs or btrfs"),
    ] {
        assert_eq!(read(&[("pool", "fast"), (name, value)]).expect_err("refused").to_string(), says);
    }
}

#[test]
fn an_attributes_class_may_say_only_what_can_change() {
    let change = |pairs: &[(&str, &str)]| Change::read(&map(pairs));
    assert_eq!(change(&[]), Ok(Change::default()));
    let through = Some(WriteCache::WriteThrough);
    assert_eq!(change(&[("writeCache", "WriteThrough")]), Ok(Change { write_cache: through, ..Change::default() }));
    assert_eq!(change(&[("pool", "other")]), Err(ClassError::NotMutable("pool".to_owned())));
    let both =
        Class::read(&map(&[("pool", "p"), ("writeCache", "WriteBack")]), &map(&[("writeCache", "WriteThrough")]));
    assert_eq!(both.map(|class| class.write_cache), Ok(WriteCache::WriteThrough));
}

#[test]
fn limits_of_an_attributes_class_go_over_those_of_the_storage_class() {
    let qos = |given: &[(&str, &str)], over: &[(&str, &str)]| {
        let given: Vec<_> = [("pool", "p")].into_iter().chain(given.iter().copied()).collect();
        Class::read(&map(&given), &map(over)).map(|class| class.qos)
    };
    assert_eq!(qos(&[], &[]), Ok(None));
    let limited = Qos { iops: Some(500), burst_seconds: 10, ..Qos::default() };
    let both = [("iops", "500"), ("burstSeconds", "10")];
    assert_eq!(qos(&both, &[]), Ok(Some(limited.clone())));
    assert_eq!(qos(&both, &[("iops", "900")]), Ok(Some(Qos { iops: Some(900), ..limited.clone() })));
    let bytes = Some(Size::Quantity("100Mi".to_owned()));
    let with_bytes = Qos { bytes_per_second: bytes, ..limited };
    assert_eq!(qos(&both, &[("bytesPerSecond", "100Mi")]), Ok(Some(with_bytes)));
    assert_eq!(qos(&both, &[("iops", "none")]), Ok(None), "a saving without a limit is nothing");
    let by_kind = Qos { read_iops: Some(60), write_iops: Some(70), burst_seconds: 10, ..Qos::default() };
    let change = [("iops", "none"), ("readIops", "60"), ("writeIops", "70")];
    assert_eq!(qos(&both, &change), Ok(Some(by_kind)));
}

#[test]
fn limits_that_cannot_be_kept_are_refused_with_the_words_of_the_api() {
    for (given, says) in [
        (vec![("iops", "many")], "parameter \"iops\" is \"many\": it must be a whole number from 50, or none"),
        (vec![("burstSeconds", "-1")], "parameter \"burstSeconds\" is \"-1\": it must be a whole number of seconds"),
        (vec![("iops", "49")], "parameters of QoS cannot be kept: limits of IOPS must be at least 50"),
        (vec![("iops", "60"), ("readIops", "60")], "parameters of QoS cannot be kept: qos.iops limits reads and"),
        (vec![("bytesPerSecond", "1Mi")], "parameters of QoS cannot be kept: bytesPerSecond must be at least 4Mi"),
        (vec![("bytesPerSecond", "fast")], "parameters of QoS cannot be kept: bytesPerSecond must be bytes, or"),
        (vec![("burstSeconds", "5")], "parameters of QoS cannot be kept: qos must set a limit"),
    ] {
        let given: Vec<_> = [("pool", "p")].into_iter().chain(given).collect();
        let refused = read(&given).expect_err("refused").to_string();
        assert!(refused.starts_with(says), "{refused}");
    }
}
