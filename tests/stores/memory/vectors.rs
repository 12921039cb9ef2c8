//! The vectors that every store is held to.

use annul::MemoryStore;
use annul::testkit::vectors;

#[tokio::test]
async fn every_rotation_comes_to_what_the_vectors_say() {
    let checked = vectors::check_rotation(MemoryStore::new).await.unwrap();
    assert_eq!(checked.wrong, Vec::<String>::new());
    // Generations at their limits, and imported tokens with a family: the store calls the rule, whose own test has them all.
    let unreachable = 43;
    assert_eq!(checked.unreachable.len(), unreachable);
    assert_eq!(checked.cases, vectors::rotation().len() - unreachable);
}

#[tokio::test]
async fn every_token_is_covered_by_what_the_vectors_say() {
    let checked = vectors::check_covering(MemoryStore::new).await.unwrap();
    assert_eq!(checked.wrong, Vec::<String>::new());
    assert_eq!(checked.cases, 2 * vectors::covering().len());
}
