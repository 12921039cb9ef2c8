//! The vectors that every store is held to.

use std::cell::Cell;

use annul::Namespace;
use annul::testkit::vectors;

use crate::folder::Folder;
use crate::open;

#[tokio::test(flavor = "multi_thread")]
async fn every_rotation_comes_to_what_the_vectors_say() {
    let folder = Folder::in_memory();
    let (root, count) = (open(&folder), Cell::new(0));
    let fresh = || {
        count.set(count.get() + 1);
        root.namespace(&Namespace::new(format!("case-{}", count.get())))
    };
    let checked = vectors::check_rotation(fresh).await.unwrap();
    assert_eq!(checked.wrong, Vec::<String>::new());
    // Generations at their limits, and imported tokens with a family: the store calls the rule, whose own test has them all.
    let unreachable = 43;
    assert_eq!(checked.unreachable.len(), unreachable);
    assert_eq!(checked.cases, vectors::rotation().len() - unreachable);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_token_is_covered_by_what_the_vectors_say() {
    let folder = Folder::in_memory();
    let (root, count) = (open(&folder), Cell::new(0));
    let fresh = || {
        count.set(count.get() + 1);
        root.namespace(&Namespace::new(format!("case-{}", count.get())))
    };
    let checked = vectors::check_covering(fresh).await.unwrap();
    assert_eq!(checked.wrong, Vec::<String>::new());
    assert_eq!(checked.cases, 2 * vectors::covering().len());
}
