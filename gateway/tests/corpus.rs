//! Runs the fuzzer's check of request bodies over its whole corpus: the seeds and the bodies that it found.

#[path = "../../fuzz/checks/request.rs"]
mod check;

#[test]
fn corpus_bodies_pass_the_fuzz_check() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/request");
    let mut bodies = 0;
    for entry in std::fs::read_dir(corpus).expect("the corpus directory exists") {
        let body = std::fs::read(entry.expect("a readable directory").path()).expect("a readable file");
        check::assert_invariants(&body);
        // Also truncated at each byte, and with each byte changed.
        for position in 0..body.len().min(600) {
            check::assert_invariants(&body[..position]);
            let mut changed = body.clone();
            changed[position] ^= 0x11;
            check::assert_invariants(&changed);
        }
        bodies += 1;
    }
    assert!(bodies >= 10);
}
