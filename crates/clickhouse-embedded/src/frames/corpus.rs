//! Checks the fuzzer's invariants on its corpus: the seeds, and the inputs that once failed.

#[path = "../../../../fuzz/checks/frames.rs"]
mod check;

#[test]
fn fuzzing_invariants_hold_for_the_corpus() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/frames");
    let mut inputs = 0;
    for entry in std::fs::read_dir(corpus).expect("the corpus directory exists") {
        let input = std::fs::read(entry.expect("a directory entry").path()).expect("the file is readable");
        check::assert_invariants(&input);
        // Also for the input truncated at any position, and with any one byte changed.
        for position in 0..input.len().min(600) {
            check::assert_invariants(&input[..position]);
            let mut changed = input.clone();
            changed[position] ^= 0x11;
            check::assert_invariants(&changed);
        }
        inputs += 1;
    }
    assert!(inputs >= 5);
}
