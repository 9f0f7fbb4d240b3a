//! Looking series up, and what is left after pages that were taken and pages that were not.

use weir_model::Label;

use super::*;

fn labels(name: &str) -> LabelsBuilder {
    LabelsBuilder::from_labels([Label::new("__name__", name), Label::new("job", "j")])
}

fn cache() -> SeriesCache {
    SeriesCache::new([labels("up")].into_iter())
}

/// Meets these series in order, named by one letter, and says which were new.
fn page(cache: &mut SeriesCache, series: &str) -> String {
    cache.begin();
    let mut new = String::new();
    for name in series.chars() {
        let hash = u128::from(name as u32) << 64 | 7;
        let id = match cache.meet(hash) {
            Met::New => {
                new.push(name);
                match cache.birth(hash, &labels(&name.to_string())) {
                    Met::Series { id, .. } => id,
                    other => panic!("{other:?}"),
                }
            }
            Met::Series { id, .. } => id,
            Met::Dropped => panic!("nothing is dropped here"),
        };
        cache.track(id);
        assert_eq!(name_of(cache, id), name.to_string());
    }
    new
}

fn name_of(cache: &mut SeriesCache, id: u32) -> String {
    let value = cached::references(cache.labels(id)).nth(1).unwrap();
    cache.symbols_mut().text(value).to_owned()
}

fn commit(cache: &mut SeriesCache) -> String {
    let mut ended = Vec::new();
    cache.commit(|id| ended.push(id));
    let ended = ended.into_iter().map(|id| name_of(cache, id)).collect();
    cache.tidy();
    ended
}

#[test]
fn pages_are_told_apart_after_their_number_has_begun_again() {
    let mut cache = cache();
    page(&mut cache, "abc");
    commit(&mut cache);
    for _ in 0..2 * usize::from(u16::MAX) {
        cache.begin();
        cache.rollback(|_| {});
        cache.tidy();
    }
    assert_eq!(page(&mut cache, "ac"), "");
    // Nothing of them has lived since, and what is not seen is forgotten.
    assert_eq!((commit(&mut cache), cache.len()), (String::new(), 2));
}

#[test]
fn series_are_found_in_any_order_and_after_others_have_gone() {
    let mut cache = cache();
    assert_eq!(page(&mut cache, "abcdef"), "abcdef");
    assert_eq!(commit(&mut cache), "");
    assert_eq!(page(&mut cache, "fbadce"), "");
    assert_eq!(commit(&mut cache), "");
    assert_eq!(page(&mut cache, "fxbe"), "x");
    assert_eq!(commit(&mut cache), "acd");
    assert_eq!(cache.len(), 4);
    assert_eq!(page(&mut cache, "efbxc"), "c");
    assert_eq!(commit(&mut cache), "");
}

#[test]
fn a_page_that_fails_leaves_only_what_was_there() {
    let mut cache = cache();
    page(&mut cache, "ab");
    commit(&mut cache);
    let settled = cache.used();
    assert_eq!(page(&mut cache, "bxyz"), "xyz");
    let mut ended = 0;
    cache.rollback(|_| ended += 1);
    cache.tidy();
    assert_eq!((ended, cache.len()), (2, 2));
    assert_eq!(page(&mut cache, "ab"), "");
    assert_eq!(commit(&mut cache), "");
    // The symbols x, y and z stay until there is more to clean up.
    assert!(cache.used() <= settled + 9);
}

#[test]
fn symbols_that_nobody_needs_go_once_they_are_many() {
    let mut cache = cache();
    page(&mut cache, "ab");
    commit(&mut cache);
    let before = cache.used();
    for round in 0..50 {
        cache.begin();
        for i in 0..100 {
            let name = format!("series_{round}_{i}");
            let hash = u128::from(xxh3_64(name.as_bytes()));
            assert_eq!(cache.meet(hash), Met::New);
            cache.birth(hash, &labels(&name));
        }
        cache.commit(|_| ());
        cache.tidy();
        assert!(cache.used() < before + 3 * SLACK_BYTES, "round {round}: {} bytes", cache.used());
    }
    page(&mut cache, "a");
    assert_eq!(commit(&mut cache), "");
    assert_eq!(cache.len(), 1);
}
