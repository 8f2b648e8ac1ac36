//! Luns that begin as images of their pool.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lun_begins_as_an_image_and_where_there_is_none_it_says_so() {
    let bed = Bed::with_pool();
    let folder = bed.path("pool").join("import");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("disk.raw"), [0x5a; 1000]).unwrap();
    bed.put("db.yaml", &manifest("db", "size: 1Mi, source: {image: disk.raw}"));
    let agent = bed.agent();
    let lun = agent.until_ready().await;
    let data = std::fs::read(bed.path("pool").join(lun.metadata.uid.unwrap()).join("data")).unwrap();
    assert_eq!((data.len(), &data[..1000], &data[1000..1512]), (1 << 20, &[0x5a; 1000][..], &[0; 512][..]));
    bed.put("none.yaml", &manifest("none", "size: 1Mi, source: {image: none.raw}"));
    let message = agent.until_trouble("SourceNotFound").await;
    assert!(message.starts_with("there is no image none.raw: an administrator puts it at"), "{message}");
    // Put there, it is found.
    std::fs::write(folder.join("none.raw"), [1; 512]).unwrap();
    agent.until(|lun| is_ready(lun) && lun.metadata.name.as_deref() == Some("none")).await;
    agent.stop().await;
}
